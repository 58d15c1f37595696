"""Stores that refuse, alter, reorder or are late to show lifecycle rules: nothing is lost by it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from storage.core.errors import StoreRefused
from storage.core.tiers import ColdSite
from storage.lifecycle.apply import apply, plan
from storage.lifecycle.document import read
from storage.lifecycle.errors import LifecycleNotHeld, LifecycleNotRestored
from tests.support.lifecycle_in_memory import ABORT, OPERATORS, TEMP, TIER, TIERED, Ground, fails


def test_a_store_that_refuses_one_rule_gets_the_others() -> None:
    """MinIO refuses the whole configuration for a rule that only aborts uploads."""
    ground = Ground("minio", site=TIERED, tiers=("COLD",))
    done = ground.apply()
    assert done.changed == (TIER,)
    assert "InvalidArgument" in done.left_out[ABORT].why
    assert ground.ids == ["ops", TIER]
    again = plan(ground.site)
    assert again.changes == ()
    assert list(again.left_out) == [ABORT], "remembered, and no drift"
    assert [one.id for one in plan(ground.site, again=True).changes] == [ABORT]


def test_a_tier_nobody_registered_is_left_out() -> None:
    """B4: MinIO has no such class; the rest is applied, and the tier tried again once it is another."""
    ground = Ground("minio", site=TIERED)
    done = ground.apply("delete-temp-files")
    assert done.changed == (TEMP,)
    assert "InvalidStorageClass" in done.left_out[TIER].why
    other = replace(ground.site, tiers=ColdSite(tiers={"cold": "OTHER"}))
    assert [one.id for one in plan(other).changes] == [TIER]


def test_what_is_refused_does_not_lose_what_was_there() -> None:
    """A change that the store refuses leaves our old rule, and the one that is to go goes last."""
    ground = Ground("minio", site=TIERED, tiers=("COLD",))
    ground.apply("delete-temp-files")
    moved = replace(ground.site, tiers=ColdSite(tiers={"cold": "GONE"}))
    seen: list[list[str]] = []
    ground.rules.traffic.before = lambda name: seen.append(ground.ids) if name == "put" else None
    made = plan(moved, drop=["delete-temp-files"])
    done = apply(moved, made, "somebody", made.sha256)
    assert all(TIER in ids and "ops" in ids for ids in seen)
    assert TIER in done.left_out
    assert ground.ids == ["ops", TIER]
    assert b">COLD<" in (ground.rules.document or b"")


def test_a_store_that_alters_our_rule_does_not_keep_it() -> None:
    """A rule that came back without its filter would act on the whole bucket: it is taken away at once."""
    ground = Ground("ministack", loses=("Prefix",))
    ground.put(OPERATORS.replace(b"<Prefix>logs/</Prefix>", b""))
    done = ground.apply("delete-temp-files")
    assert done.left_out[TEMP].why == "the store altered it: lost Filter/Prefix=temp/"
    assert done.changed == (ABORT,)
    assert TEMP not in ground.ids


def test_where_others_rules_lose_a_part_all_is_put_back(ground: Ground) -> None:
    before, size = ground.rules.document, b"<ObjectSizeGreaterThan>5</ObjectSizeGreaterThan>"

    def lose() -> None:
        ground.rules.document = (ground.rules.document or b"").replace(size, b"")

    ground.at("put done", lose)
    with pytest.raises(LifecycleNotHeld, match="ops lost Filter/And/ObjectSizeGreaterThan=5"):
        ground.apply()
    assert read(ground.rules.document).rules[0].raw in (before or b"")
    assert ground.ids == ["ops"]


def test_a_store_that_cannot_even_take_back_what_it_had_is_reported() -> None:
    ground = Ground("ministack", loses=("ObjectSizeGreaterThan",))
    before = ground.rules.document
    with pytest.raises(LifecycleNotRestored, match="ops lost Filter/And/ObjectSizeGreaterThan=5"):
        ground.apply()
    assert ground.rules.puts[-1] == before, "it was tried"


def test_a_store_that_refuses_what_is_there_changes_nothing(ground: Ground) -> None:
    ground.at("put", fails(StoreRefused("videos", "NotImplemented: no")), times=99)
    before = ground.rules.document
    with pytest.raises(StoreRefused, match="NotImplemented"):
        ground.apply()
    assert ground.rules.document == before
    assert ground.versions.rows[-1].state == "failed"
    assert ground.versions.latest() is None


def test_a_changed_order_is_told(ground: Ground) -> None:
    def turn() -> None:
        rules = [piece.raw for piece in read(ground.rules.document).rules]
        ground.put(*rules[::-1])

    ground.at("put done", turn)
    assert ground.apply().reordered


def test_a_store_may_need_a_moment(ground: Ground) -> None:
    """The configuration of before is shown for a while; nothing is concluded from the first look."""
    before, new = ground.rules.document, [b""]

    def stale() -> None:
        new[0], ground.rules.document = ground.rules.document or b"", before

    ground.at("put done", stale)
    looks: list[float] = []

    def pause(seconds: float) -> None:
        looks.append(seconds)
        if len(looks) == 2:
            ground.rules.document = new[0]

    site = replace(ground.site, pause=pause)
    assert apply(site, plan(site), "somebody").changed == (ABORT,)
    assert looks == [0.5, 1.0]
