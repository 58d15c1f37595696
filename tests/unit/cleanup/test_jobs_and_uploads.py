"""Stuck jobs and abandoned uploads, end to end: any sign of life keeps the job or upload."""

from __future__ import annotations

import pytest

from storage.core.errors import ActionsFailed
from storage.core.model import JobId, ObjectKey, Totals
from tests.support.in_memory import DAY, NOW, SECOND, World
from tests.support.runs import apply


def test_stuck_jobs_fail_and_the_one_that_finished_wins(world: World) -> None:
    for id in ("stuck", "done", "alive"):
        world.job(id, "processing", 2 * DAY)
    planned = world.plan("cleanup_stuck_jobs")
    world.job("done", "completed", SECOND)
    world.job("alive", "processing", SECOND)
    run = apply(planned.id, world.stores)
    assert (run.state, run.done.count, run.skipped.count) == ("verified", 1, 2)
    rows = world.database.jobs
    assert {id: rows[JobId(id)].status for id in ("stuck", "done", "alive")} == {
        "stuck": "failed",
        "done": "completed",
        "alive": "processing",
    }
    assert rows[JobId("stuck")].updated_at == NOW
    assert "timeout" in world.database.columns[JobId("stuck")]["error_message"]


def begin(world: World, key: str = "uploads/j/in.mp4") -> str:
    upload_id = world.objects.start_upload(key, NOW - 3 * DAY)
    world.objects.put_part(upload_id, 1, 100, NOW - 3 * DAY)
    return upload_id


def test_abandoned_upload_is_aborted_and_its_journal_closed(world: World) -> None:
    world.time = NOW - 3 * DAY
    upload_id = begin(world)
    world.stores.uploads.record(ObjectKey("uploads/j/in.mp4"), upload_id)
    world.time = NOW
    run = world.run("abort_uploads")
    assert (run.state, run.done) == ("verified", Totals(1, 100))
    assert world.objects.parts(ObjectKey("uploads/j/in.mp4"), upload_id) is None
    assert list(world.stores.uploads.open()) == []


@pytest.mark.parametrize("sign", ["part", "heartbeat"])
def test_upload_that_goes_on_after_the_plan_is_left_alone(sign: str, world: World) -> None:
    upload_id = begin(world)
    planned = world.plan("abort_uploads")
    if sign == "part":
        world.objects.put_part(upload_id, 2, 100)
    else:
        world.stores.uploads.record(ObjectKey("uploads/j/in.mp4"), upload_id)
    run = apply(planned.id, world.stores)
    assert (run.state, run.skipped.count) == ("verified", 1)
    assert world.objects.parts(ObjectKey("uploads/j/in.mp4"), upload_id)


def test_upload_that_was_completed_after_the_plan_is_skipped(world: World) -> None:
    upload_id = begin(world)
    planned = world.plan("abort_uploads")
    world.objects.abort(ObjectKey("uploads/j/in.mp4"), upload_id)
    assert apply(planned.id, world.stores).skipped.count == 1


def test_upload_that_will_not_go_fails_the_run(world: World) -> None:
    begin(world)
    world.objects.lying = True
    with pytest.raises(ActionsFailed, match="still there after 3 aborts"):
        world.run("abort_uploads")
    assert world.objects.requests["abort"] == 3


def test_parts_of_an_upload_are_condemned_then_reaped(world: World) -> None:
    for number in (1, 2):
        world.put(f"uploads/j/in.mp4.part{number}", 3 * DAY)
    assert world.run("abort_uploads").done.count == 2
    world.time += DAY
    world.run("reap")
    assert world.keys() == []
