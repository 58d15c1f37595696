"""Stores that refuse, alter or reorder lifecycle rules or show them late: no rule is lost by it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from storage.core.errors import StoreRefused
from storage.core.tiers import ColdSettings
from storage.lifecycle.apply import apply, plan
from storage.lifecycle.document import read
from storage.lifecycle.errors import LifecycleNotHeld, LifecycleNotRestored
from tests.support.lifecycle_in_memory import ABORT, OPERATORS, TEMP, TIER, TIERED, Environment, fails


def test_a_store_that_refuses_one_rule_gets_the_others() -> None:
    """MinIO refuses the whole configuration because of a rule that only aborts uploads."""
    environment = Environment("minio", cold_settings=TIERED, tiers=("COLD",))
    done = environment.apply()
    assert done.changed == (TIER,)
    assert "InvalidArgument" in done.left_out[ABORT].why
    assert environment.ids == ["ops", TIER]
    again = plan(environment.manager)
    assert again.changes == ()
    assert list(again.left_out) == [ABORT], "remembered, and no drift"
    assert [one.id for one in plan(environment.manager, again=True).changes] == [ABORT]


def test_a_tier_nobody_registered_is_left_out() -> None:
    """B4: MinIO has no such class; the rest is applied, and the tier tried again once its target changes."""
    environment = Environment("minio", cold_settings=TIERED)
    done = environment.apply("delete-temp-files")
    assert done.changed == (TEMP,)
    assert "InvalidStorageClass" in done.left_out[TIER].why
    other = replace(environment.manager, tiers=ColdSettings(tiers={"cold": "OTHER"}))
    assert [one.id for one in plan(other).changes] == [TIER]


def test_what_is_refused_does_not_lose_what_was_there() -> None:
    """A change that the store refuses leaves our old rule, and the rule to be removed is removed last."""
    environment = Environment("minio", cold_settings=TIERED, tiers=("COLD",))
    environment.apply("delete-temp-files")
    moved = replace(environment.manager, tiers=ColdSettings(tiers={"cold": "GONE"}))
    seen: list[list[str]] = []
    environment.rules.traffic.before = lambda name: seen.append(environment.ids) if name == "put" else None
    made = plan(moved, drop=["delete-temp-files"])
    done = apply(moved, made, "somebody", made.sha256)
    assert all(TIER in ids and "ops" in ids for ids in seen)
    assert TIER in done.left_out
    assert environment.ids == ["ops", TIER]
    assert b">COLD<" in (environment.rules.document or b"")


def test_a_store_that_alters_our_rule_does_not_keep_it() -> None:
    """A rule that came back without its filter would act on the whole bucket: it is removed at once."""
    environment = Environment("ministack", loses=("Prefix",))
    environment.put(OPERATORS.replace(b"<Prefix>logs/</Prefix>", b""))
    done = environment.apply("delete-temp-files")
    assert done.left_out[TEMP].why == "the store altered it: lost Filter/Prefix=temp/"
    assert done.changed == (ABORT,)
    assert TEMP not in environment.ids


def test_where_others_rules_lose_a_part_all_is_put_back(environment: Environment) -> None:
    before, size = environment.rules.document, b"<ObjectSizeGreaterThan>5</ObjectSizeGreaterThan>"

    def lose() -> None:
        environment.rules.document = (environment.rules.document or b"").replace(size, b"")

    environment.at("put done", lose)
    with pytest.raises(LifecycleNotHeld, match="ops lost Filter/And/ObjectSizeGreaterThan=5"):
        environment.apply()
    assert read(environment.rules.document).rules[0].raw in (before or b"")
    assert environment.ids == ["ops"]


def test_a_store_that_cannot_even_take_back_what_it_had_is_reported() -> None:
    environment = Environment("ministack", loses=("ObjectSizeGreaterThan",))
    before = environment.rules.document
    with pytest.raises(LifecycleNotRestored, match="ops lost Filter/And/ObjectSizeGreaterThan=5"):
        environment.apply()
    assert environment.rules.puts[-1] == before, "it was tried"


def test_a_store_that_refuses_what_is_there_changes_nothing(environment: Environment) -> None:
    environment.at("put", fails(StoreRefused("videos", "NotImplemented: no")), times=99)
    before = environment.rules.document
    with pytest.raises(StoreRefused, match="NotImplemented"):
        environment.apply()
    assert environment.rules.document == before
    assert environment.versions.rows[-1].state == "failed"
    assert environment.versions.latest() is None


def test_a_changed_order_is_reported(environment: Environment) -> None:
    def turn() -> None:
        rules = [piece.raw for piece in read(environment.rules.document).rules]
        environment.put(*rules[::-1])

    environment.at("put done", turn)
    assert environment.apply().reordered


def test_a_store_may_need_a_moment(environment: Environment) -> None:
    """The old configuration is shown for a while; the first read alone decides nothing."""
    before, new = environment.rules.document, [b""]

    def stale() -> None:
        new[0], environment.rules.document = environment.rules.document or b"", before

    environment.at("put done", stale)
    looks: list[float] = []

    def pause(seconds: float) -> None:
        looks.append(seconds)
        if len(looks) == 2:
            environment.rules.document = new[0]

    manager = replace(environment.manager, pause=pause)
    assert apply(manager, plan(manager), "somebody").changed == (ABORT,)
    assert looks == [0.5, 1.0]
