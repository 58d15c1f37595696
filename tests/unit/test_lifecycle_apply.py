"""Applying lifecycle rules: nothing of others is touched, nothing is lost, whatever fails and whenever."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings

from storage.capabilities import Capabilities
from storage.cold_model import CLASSES, ColdSite, Rule
from storage.errors import AccessDenied, JobBusy, Paused, PlanChanged, StoreRefused, Unreachable
from storage.lifecycle.apply import Lifecycle, apply, effect, plan, rollback
from storage.lifecycle.document import OURS, read
from storage.lifecycle.errors import (
    LifecycleChanged,
    LifecycleNotApproved,
    LifecycleNotHeld,
    LifecycleNotRestored,
    NoSuchRule,
    NoSuchVersion,
    RulesRefused,
)
from storage.lifecycle.plan import Plan
from storage.testing.lifecycle import Dialect, MemoryBucketRules, MemoryVersions
from tests.unit.test_lifecycle_document import documents
from tests.unit.world import DAY, World

OPERATORS = (
    b"<Rule><ID>ops</ID><Status>Enabled</Status><Filter><And><Prefix>logs/</Prefix>"
    b"<Tag><Key>k</Key><Value>v &amp; w</Value></Tag><ObjectSizeGreaterThan>5</ObjectSizeGreaterThan></And>"
    b"</Filter><Expiration><Days>3</Days></Expiration></Rule>"
)
TIERED = ColdSite(tiers={"cold": "COLD"})
ABORT, TIER, TEMP = (
    f"{OURS}{name}" for name in ("abort-incomplete-uploads", "tier-cold", "delete-temp-files")
)


class Ground:
    """One bucket's rules in memory, with what an operator put there."""

    def __init__(self, dialect: Dialect = "ministack", *, site: ColdSite | None = None, **store: Any) -> None:
        self.world = World()
        stores = replace(self.world.stores, site=site or ColdSite())
        stores.control.save_capabilities(
            Capabilities(server="x", storage_classes=("STANDARD", "GLACIER", "STANDARD_IA"))
        )
        self.rules, self.versions = MemoryBucketRules(dialect, **store), MemoryVersions()
        self.pauses: list[float] = []
        self.site = Lifecycle(
            stores=stores, rules=self.rules, versions=self.versions, pause=self.pauses.append
        )
        self.put(OPERATORS)

    def put(self, *rules: bytes) -> None:
        """What an operator does with another client."""
        inner = b"".join(rules)
        self.rules.document = b"<LifecycleConfiguration>" + inner + b"</LifecycleConfiguration>"

    def apply(self, *names: str, drop: tuple[str, ...] = ()) -> Any:
        made = plan(self.site, names, drop)
        return apply(self.site, made, "somebody", made.sha256)

    @property
    def ids(self) -> list[str]:
        return [rule.id for rule in read(self.rules.document).rules]

    def at(self, request: str, does: Callable[[], None], times: int = 1) -> None:
        """Ahead of the next requests of that name."""
        left = [times]

        def before(name: str) -> None:
            if name == request and left[0]:
                left[0] -= 1
                does()

        self.rules.traffic.before = before


def fails(error: BaseException) -> Callable[[], None]:
    def raising() -> None:
        raise error

    return raising


@pytest.fixture
def ground() -> Ground:
    return Ground()


# --- beside others ---------------------------------------------------------------------------------
def test_an_operator_s_rule_stays(ground: Ground) -> None:
    """B5: the whole configuration is replaced, and nothing of theirs is."""
    done = ground.apply()
    assert done.changed == (ABORT,)
    assert ground.ids == ["ops", ABORT]
    assert OPERATORS in ground.rules.puts[-1]
    assert ground.apply().number == 0, "a second time there is nothing to do"
    assert len(ground.rules.puts) == 1


@settings(max_examples=60, deadline=None)
@given(documents())
def test_any_bytes_of_others_go_from_the_get_to_the_put(document: bytes) -> None:
    ground = Ground("exact", site=TIERED)
    ground.rules.document = document
    before = [piece.raw for piece in read(document).foreign]
    made = plan(ground.site, ["delete-temp-files"])
    apply(ground.site, made, "somebody", made.sha256)
    after = read(ground.rules.document)
    assert [piece.raw for piece in after.foreign] == before
    assert set(after.ours) == {ABORT, TIER, TEMP}


def test_what_others_change_between_the_plan_and_the_put_is_seen(ground: Ground) -> None:
    made = plan(ground.site)
    ground.put(OPERATORS, OPERATORS.replace(b"ops", b"ops2"))
    with pytest.raises(LifecycleChanged, match="is another by now"):
        apply(ground.site, made, "somebody")
    assert ground.ids == ["ops", "ops2"]
    assert not ground.rules.puts
    assert ground.apply().changed == (ABORT,)


def test_what_others_change_right_after_the_put_is_theirs(ground: Ground) -> None:
    newer = OPERATORS.replace(b"<Days>3<", b"<Days>4<")
    made = plan(ground.site)
    ground.at("put done", lambda: ground.put(newer))
    with pytest.raises(LifecycleChanged, match="somebody else changed ops"):
        apply(ground.site, made, "somebody")
    assert newer in (ground.rules.document or b""), "nobody undoes what they did"


# --- what a store does not take --------------------------------------------------------------------
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
    other = replace(ground.site, stores=replace(ground.site.stores, site=ColdSite(tiers={"cold": "OTHER"})))
    assert [one.id for one in plan(other).changes] == [TIER]


def test_what_is_refused_does_not_lose_what_was_there() -> None:
    """A change that the store refuses leaves our old rule, and the one that is to go goes last."""
    ground = Ground("minio", site=TIERED, tiers=("COLD",))
    ground.apply("delete-temp-files")
    moved = replace(ground.site, stores=replace(ground.site.stores, site=ColdSite(tiers={"cold": "GONE"})))
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


# --- failures and crashes --------------------------------------------------------------------------
@pytest.mark.parametrize(
    "error", [Unreachable("store", "gone"), AccessDenied("store", "no"), KeyboardInterrupt()]
)
@pytest.mark.parametrize("point", ["put", "put done"])
def test_after_any_failure_the_rules_of_before_stand(
    ground: Ground, point: str, error: BaseException
) -> None:
    before = ground.rules.document
    ground.at(point, fails(error))
    with pytest.raises(type(error)):
        ground.apply("delete-temp-files")
    assert ground.rules.document == before if point == "put" else ground.ids == ["ops"]
    assert ground.versions.rows[-1].state == "failed"
    ground.rules.traffic.before = lambda name: None
    assert set(ground.apply("delete-temp-files").changed) == {ABORT, TEMP}


def test_it_is_said_when_the_rules_of_before_could_not_be_put_back(ground: Ground) -> None:
    made = plan(ground.site)
    left = [1]

    def before(name: str) -> None:
        if name == "put done" or (name in ("get", "put") and not left[0]):
            left[0] = 0
            raise Unreachable("The object store", "no route")

    ground.rules.traffic.before = before
    with pytest.raises(LifecycleNotRestored, match="no route"):
        apply(ground.site, made, "somebody")


class Killed(BaseException):
    """Stands for kill -9: nothing of ours runs afterwards."""


REQUESTS = (
    16  # more than a whole application makes of the store and the version log: the last ones kill nothing
)


@pytest.mark.parametrize("point", range(REQUESTS))
def test_killed_at_any_point_the_next_one_ends_it(point: int) -> None:
    """At every instant others' rule is there; the next apply ends with the same rules and one record."""
    ground = Ground("minio", site=TIERED, tiers=("COLD",))
    steps = [0]

    def step(name: str = "") -> None:
        assert "ops" in ground.ids
        if steps[0] == point:
            raise Killed
        steps[0] += 1

    dead = _killable(ground, step)
    try:
        made = plan(dead, ["delete-temp-files"])
        apply(dead, made, "somebody", made.sha256)
        assert REQUESTS // 2 < steps[0] <= point, "every request was some round's last"
    except Killed:
        assert point < REQUESTS - 1
    ground.rules.traffic.before = lambda name: None
    ground.world.database.locks.clear()  # the server frees the lock of a process that died
    ground.apply("delete-temp-files")
    assert ground.ids == ["ops", TIER, TEMP]
    latest = ground.versions.latest()
    assert latest is not None
    assert (latest.state, latest.document) == ("applied", ground.rules.document)
    assert latest.requested == ("delete-temp-files",)
    assert plan(ground.site).changes == ()


def _killable(ground: Ground, step: Callable[[str], None]) -> Lifecycle:
    """The same ground, where each request may be the last; once dead, no request gets through."""
    ground.rules.traffic.before = step
    inner = ground.versions

    class Log(MemoryVersions):
        def add(self, version: Any) -> int:
            step("")
            return inner.add(version)

        def end(self, version: Any) -> None:
            step("")
            inner.end(version)

        def latest(self) -> Any:
            return inner.latest()

    return replace(ground.site, versions=Log())


def test_two_at_once_do_not_meet(ground: Ground) -> None:
    made = plan(ground.site)
    with ground.site.stores.runs.lock("lifecycle"), pytest.raises(JobBusy):
        apply(ground.site, made, "somebody")
    assert not ground.rules.puts


# --- consent ---------------------------------------------------------------------------------------
def test_what_deletes_waits_for_the_approval_of_this_very_plan(ground: Ground) -> None:
    made = plan(ground.site, ["delete-temp-files"])
    assert made.deletes
    with pytest.raises(LifecycleNotApproved, match=made.sha256):
        apply(ground.site, made, "somebody")
    with pytest.raises(PlanChanged):
        apply(ground.site, made, "somebody", "0" * 64)
    other = plan(ground.site, ["delete-temp-files", "delete-failed-jobs"])
    with pytest.raises(PlanChanged):
        apply(ground.site, other, "somebody", made.sha256)
    assert not ground.rules.puts
    assert apply(ground.site, made, "somebody", made.sha256).changed == (ABORT, TEMP)


def test_an_approval_ends_when_an_operator_changes_something(ground: Ground) -> None:
    made = plan(ground.site, ["delete-temp-files"])
    ground.put(OPERATORS.replace(b"3", b"4"))
    with pytest.raises(PlanChanged):
        apply(ground.site, plan(ground.site, ["delete-temp-files"]), "somebody", made.sha256)


def test_without_a_request_the_documents_rules_are_not_there(ground: Ground) -> None:
    assert [change.id for change in plan(ground.site).changes] == [ABORT]
    ground.apply("delete-temp-files")
    assert plan(ground.site).changes == (), "asked for once, declared from then on"
    assert [(c.verb, c.id) for c in plan(ground.site, drop=["delete-temp-files"]).changes] == [
        ("remove", TEMP)
    ]


def test_a_rule_of_ours_that_nobody_asked_for_is_drift(ground: Ground) -> None:
    """Put there by hand under our name: it deletes, and nobody approved it."""
    ground.apply()
    rules = [piece.raw for piece in read(ground.rules.document).rules]
    ground.put(*rules, f"<Rule><ID>{TEMP}</ID><Status>Enabled</Status></Rule>".encode())
    assert [(c.verb, c.id) for c in plan(ground.site).changes] == [("remove", TEMP)]


def refuse(made: Plan, ground: Ground) -> None:
    with pytest.raises(RulesRefused):
        apply(ground.site, made, "somebody", made.sha256)
    assert not ground.rules.puts


def test_what_the_linter_refuses_is_not_put(ground: Ground) -> None:
    refuse(plan(ground.site, ["archive-old-jobs"]), ground)  # C4, with the default rules
    early = ColdSite(rules=dict.fromkeys(CLASSES, Rule(compress=None)))
    site = replace(ground.site, stores=replace(ground.site.stores, site=early))
    assert plan(site, ["archive-old-jobs"]).findings == ()
    ground.put(b"<Rule><ID>all</ID><Status>Enabled</Status><Expiration><Days>30</Days></Expiration></Rule>")
    (finding,) = plan(site, ["archive-old-jobs"]).findings  # C3, by somebody else's rule
    assert finding.other == "all"


def test_unknown_names_and_a_pause(ground: Ground) -> None:
    with pytest.raises(NoSuchRule):
        plan(ground.site, ["delete-everything"])
    with pytest.raises(NoSuchRule):
        plan(ground.site, ["abort-incomplete-uploads"])
    with pytest.raises(NoSuchVersion):
        rollback(ground.site, 7)
    ground.site.stores.control.write("paused", "by hand")
    with pytest.raises(Paused):
        ground.apply()
    assert not ground.rules.puts


# --- versions --------------------------------------------------------------------------------------
def test_every_configuration_that_stood_is_kept(ground: Ground) -> None:
    before = ground.rules.document
    ground.apply()
    rules = [piece.raw for piece in read(ground.rules.document).rules]
    ground.put(*rules, OPERATORS.replace(b"ops", b"late"))
    between = ground.rules.document
    ground.apply("delete-temp-files")
    kept = [(one.state, one.document) for one in ground.versions.rows]
    assert [state for state, _ in kept] == ["found", "applied", "found", "applied"]
    assert (kept[0][1], kept[2][1], kept[3][1]) == (before, between, ground.rules.document)
    assert ground.world.database.audit[-1][0] == "lifecycle"


def test_rolled_back_are_our_rules_and_nobody_else_s(ground: Ground) -> None:
    first = ground.apply("delete-temp-files").number
    ground.apply("delete-failed-jobs", drop=("delete-temp-files",))
    rules = [piece.raw for piece in read(ground.rules.document).rules if piece.id != "ops"]
    ground.put(*rules, OPERATORS.replace(b"ops", b"late"))
    made = rollback(ground.site, first)
    assert made.deletes
    with pytest.raises(LifecycleNotApproved):
        apply(ground.site, made, "somebody")
    apply(ground.site, made, "somebody", made.sha256)
    assert sorted(ground.ids) == sorted(["late", ABORT, TEMP])
    assert plan(ground.site).changes == ()


def test_rolled_back_to_before_the_first_the_bucket_is_as_it_was(ground: Ground) -> None:
    ground.apply()
    apply(ground.site, rollback(ground.site, 1), "somebody")
    assert ground.ids == ["ops"]


def test_where_no_rule_is_left_the_configuration_is_cleared(ground: Ground) -> None:
    ground.rules.document = None
    ground.apply()
    apply(ground.site, rollback(ground.site, 1), "somebody")
    assert ground.rules.document is None


# --- what it would hit -----------------------------------------------------------------------------
def test_the_effect_is_told_from_one_listing(ground: Ground) -> None:
    for number in range(3):
        ground.world.put(f"temp/{number}", 5 * DAY)
    ground.world.count_from_here()
    made = plan(ground.site, ["delete-temp-files"])
    found = {one.id: one.hits[0].count for one in effect(ground.site, list(made.wanted.values()))}
    assert found[TEMP] == 3
    assert ground.world.objects.requests["list"] == 1
