"""Planning and its guards: the recorded plan, waiting for approval, refusals."""

from __future__ import annotations

import gzip

import pytest

from storage import catalog
from storage.core.errors import NoSuchRun, NotApproved, PlanChanged, PlanRejected, UsageError
from storage.core.model import ObjectKey, Prefix, Totals
from storage.engine.sweep import explain, plan, run
from tests.support.in_memory import DAY, HOUR, NOW, World
from tests.support.runs import apply

TEMP = "cleanup_temp_objects"


def fill(world: World, count: int, folder: str = "temp") -> None:
    for number in range(count):
        world.put(f"{folder}/{number:05}.ts", 2 * DAY)


def test_plan_changes_nothing_and_is_recorded(world: World) -> None:
    fill(world, 3)
    world.put("temp/new.ts", HOUR)
    before = world.keys()
    planned = world.plan(TEMP)
    assert world.keys() == before
    assert world.objects.requests["delete"] == 0
    assert world.tombstones() == []
    assert (planned.state, planned.considered, planned.planned) == ("planned", Totals(4, 16), Totals(3, 12))
    assert world.stores.runs.get(planned.id) == planned
    assert [info.key for info in world.plans.page(Prefix("plans/")).objects] == [
        f"plans/{TEMP}/{planned.id}.jsonl.gz"
    ]


def test_empty_plan_is_not_stored_and_applies(world: World) -> None:
    planned = world.plan(TEMP)
    assert (planned.plan_uri, planned.planned) == ("", Totals())
    assert world.plans.requests["put"] == 0
    assert apply(planned.id, world.stores).state == "verified"


def test_plan_again_under_the_same_id_plans_anew_until_it_is_applied(world: World) -> None:
    """A repeated task plans from the current state; an approval of the first plan is void."""
    fill(world, 1)
    job = catalog.get(TEMP)
    first = plan(job, world.stores, NOW, run_id="r")
    world.put("temp/more.ts", 2 * DAY)
    second = plan(job, world.stores, NOW, run_id="r")
    assert second.planned.count == first.planned.count + 1
    assert second.plan_sha256 != first.plan_sha256
    done = apply("r", world.stores)
    assert plan(job, world.stores, NOW, run_id="r") == done


def test_apply_does_the_plan_and_only_it(world: World) -> None:
    fill(world, 3)
    world.put("uploads/a/in.mp4", 90 * DAY)
    planned = world.plan(TEMP)
    world.put("temp/later.ts", 2 * DAY)
    done = apply(planned.id, world.stores)
    assert (done.state, done.done, done.skipped, done.failed) == (
        "verified",
        Totals(3, 12),
        Totals(),
        Totals(),
    )
    assert world.keys() == ["temp/later.ts", "uploads/a/in.mp4"]
    assert world.stores.runs.get(planned.id) == done
    assert [event for event, _, _ in world.database.audit] == ["apply", "verified"]


def test_apply_of_a_verified_run_asks_for_nothing(world: World) -> None:
    fill(world, 3)
    done = world.run(TEMP)
    world.put("temp/00000.ts", 2 * DAY)
    world.count_from_here()
    assert apply(done.id, world.stores) == done
    assert not world.objects.requests
    assert world.keys() == ["temp/00000.ts"]


def test_run_is_plan_and_apply(world: World) -> None:
    fill(world, 2)
    assert run(catalog.get(TEMP), world.stores, NOW).done == Totals(2, 8)
    with pytest.raises(NoSuchRun):
        apply("none", world.stores)


def test_limit_waits_for_the_approval_of_this_plan(world: World) -> None:
    fill(world, 3)
    waiting = world.plan(TEMP, max_objects=2)
    assert (waiting.state, waiting.message) == ("waiting", "3 actions planned, 2 allowed")
    with pytest.raises(NotApproved):
        apply(waiting.id, world.stores)
    with pytest.raises(PlanChanged):
        apply(waiting.id, world.stores, approve="0" * 64, by="ann")
    with pytest.raises(NotApproved):
        apply(waiting.id, world.stores)
    assert len(world.keys()) == 3
    done = apply(waiting.id, world.stores, approve=waiting.plan_sha256, by="ann")
    assert (done.state, done.approved_by, world.keys()) == ("verified", "ann", [])


@pytest.mark.parametrize("approved", [False, True])
def test_a_rejected_plan_is_never_applied(world: World, approved: bool) -> None:
    fill(world, 3)
    waiting = world.plan(TEMP, max_objects=2)
    if approved:
        world.stores.runs.approve(waiting.id, waiting.plan_sha256, "bob")
    world.stores.runs.reject(waiting.id, waiting.plan_sha256, "ann")
    for approve in ("", waiting.plan_sha256):
        with pytest.raises(PlanRejected, match="rejected by ann.*never applied"):
            apply(waiting.id, world.stores, approve=approve, by="eve")
    assert len(world.keys()) == 3


def test_approving_a_verified_run_again_returns_it(world: World) -> None:
    """A task that is repeated after its answer was lost passes its approval again."""
    fill(world, 3)
    waiting = world.plan(TEMP, max_objects=2)
    done = apply(waiting.id, world.stores, approve=waiting.plan_sha256, by="ann")
    assert apply(waiting.id, world.stores, approve=waiting.plan_sha256, by="ann") == done


def test_run_that_trips_a_limit_does_nothing(world: World) -> None:
    fill(world, 3)
    with pytest.raises(NotApproved, match="3 actions planned"):
        run(catalog.get(TEMP), world.stores, NOW, {"max_objects": 2})
    assert len(world.keys()) == 3


def test_edited_plan_is_not_applied(world: World) -> None:
    fill(world, 2)
    planned = world.plan(TEMP)
    key = ObjectKey(planned.plan_uri.removeprefix("s3://maintenance/"))
    with world.plans.open(key) as file:
        lines = gzip.decompress(file.read())
    world.plans.put(key, gzip.compress(lines.replace(b"00001.ts", b"00009.ts")))
    with pytest.raises(PlanChanged, match="SHA-256"):
        apply(planned.id, world.stores)
    assert len(world.keys()) == 2


@pytest.mark.parametrize(
    ("name", "params"),
    [
        (TEMP, {"hours_old": 0}),
        (TEMP, {"hours_old": 9000}),
        (TEMP, {"hours_old": "24"}),
        (TEMP, {"hours_old": True}),
        (TEMP, {"max_objects": 10_001}),
        (TEMP, {"days_old": 1}),
        ("reap", {"hours_old": 1}),
    ],
)
def test_unfit_parameters_are_refused(name: str, params: dict[str, float], world: World) -> None:
    with pytest.raises(UsageError):
        plan(catalog.get(name), world.stores, NOW, params)
    assert world.stores.runs.latest() == []


def test_explain_says_why_for_a_key_and_for_a_job(world: World) -> None:
    world.job("j", "processing", HOUR)
    world.put("temp/j/a.ts", 9 * DAY)
    jobs = [catalog.get(TEMP), catalog.get("cleanup_temp_files")]
    world.files.unsafe = "no marker"
    for subject in ("temp/j/a.ts", "j"):
        found = list(explain(jobs, world.stores, NOW, subject))
        assert [(name, one.reason) for name, one in found][0] == (TEMP, "job j has not ended (processing)")
        assert "cannot list its candidates" in found[1][1].reason
    assert world.keys() == ["temp/j/a.ts"]
