"""Two-phase deletion: condemn, undo, reap, and the retried job that keeps its files."""

from __future__ import annotations

import pytest

from storage.core.deletion import DeleteTarget
from storage.core.errors import ActionsFailed, NoSuchRun, TransientFault
from storage.core.model import JobId, ObjectKey, Run
from storage.engine.undo import undo
from tests.support.in_memory import DAY, HOUR, SECOND, World
from tests.support.runs import apply

OWN = ["processed/j/a.mp4", "temp/j/a.ts", "uploads/j/in.mp4"]


def condemn_job(world: World) -> Run:
    """Condemn a job that failed six days ago, and advance the clock to when it may be reaped."""
    world.job("j", "failed", 6 * DAY)
    for key in [*OWN, "processed/j2/a.mp4"]:
        world.put(key, 6 * DAY)
    condemned = world.run("cleanup_failed_jobs")
    assert (condemned.state, condemned.done.count, len(world.keys())) == ("verified", 4, 4)
    world.time += DAY
    return condemned


def status(world: World) -> str:
    return world.database.jobs[JobId("j")].status


def test_reap_cleans_the_job_and_deletes_what_is_its_own(world: World) -> None:
    condemn_job(world)
    reaped = world.run("reap")
    assert (reaped.state, reaped.done.count) == ("verified", 4)
    assert (status(world), world.keys()) == ("cleaned_up", ["processed/j2/a.mp4"])
    assert {tombstone.state for tombstone in world.tombstones()} == {"reaped"}
    assert world.database.claims == {}
    assert world.run("reap").considered.count == 0


def test_job_is_turned_before_its_first_object_goes(world: World) -> None:
    condemn_job(world)
    seen: list[str] = []
    world.objects.traffic.before = lambda name: seen.append(status(world)) if name == "delete" else None
    world.run("reap")
    assert seen == ["cleaned_up"]


def test_nothing_is_reaped_before_its_time(world: World) -> None:
    condemn_job(world)
    world.time -= SECOND
    assert world.run("reap").considered.count == 0
    assert len(world.keys()) == 4


@pytest.mark.parametrize("when", ["before the plan", "before the apply"])
@pytest.mark.parametrize("to", ["queued", "processing", "completed", "failed"])
def test_retried_job_keeps_its_files(to: str, when: str, world: World) -> None:
    condemn_job(world)
    planned = world.plan("reap") if when == "before the apply" else None
    world.job("j", to, HOUR)
    reaped = apply(planned.id, world.stores) if planned else world.run("reap")
    assert (reaped.state, reaped.done.count, reaped.skipped.count) == ("verified", 0, 4)
    assert (status(world), len(world.keys())) == (to, 4)
    assert {tombstone.state for tombstone in world.tombstones()} == {"kept"}


def test_job_without_objects_is_cleaned_up(world: World) -> None:
    world.job("j", "failed", 6 * DAY)
    world.run("cleanup_failed_jobs")
    world.time += DAY
    world.run("reap")
    assert (status(world), world.tombstones("condemned", "reaping"), world.database.claims) == (
        "cleaned_up",
        [],
        {},
    )


def test_object_written_anew_after_condemning_is_kept(world: World) -> None:
    condemn_job(world)
    world.put("temp/j/a.ts", HOUR, b"new")
    reaped = world.run("reap")
    assert (reaped.done.count, reaped.skipped.count) == (3, 1)
    assert world.keys() == ["processed/j2/a.mp4", "temp/j/a.ts"]
    assert [tombstone.key for tombstone in world.tombstones("kept")] == ["temp/j/a.ts"]
    assert world.database.claims == {}


def test_object_that_went_by_itself_is_reaped_all_the_same(world: World) -> None:
    world.put("uploads/none/in.mp4", 20 * DAY)
    world.run("cleanup_orphan_uploads")
    world.time += DAY
    planned = world.plan("reap")
    world.objects.delete([DeleteTarget(ObjectKey("uploads/none/in.mp4"), "")])
    reaped = apply(planned.id, world.stores)
    assert (reaped.done.count, reaped.skipped.count) == (0, 1)
    assert [tombstone.state for tombstone in world.tombstones()] == ["reaped"]


def test_object_another_job_names_is_kept(world: World) -> None:
    condemn_job(world)
    world.job("other", "completed", HOUR, output_360p_path="processed/j/a.mp4")
    world.run("reap")
    assert world.keys() == ["processed/j/a.mp4", "processed/j2/a.mp4"]


def test_object_a_retried_job_of_the_same_batch_names_is_kept(world: World) -> None:
    """Both jobs were condemned; the second was retried, and its row now names the first job's output."""
    for id in ("j", "k"):
        world.job(id, "failed", 6 * DAY)
        world.put(f"processed/{id}/a.mp4", 6 * DAY)
    assert world.run("cleanup_failed_jobs").done.count == 4
    world.time += DAY
    world.job("k", "completed", HOUR, output_360p_path="processed/j/a.mp4")
    world.run("reap")
    assert world.keys() == ["processed/j/a.mp4", "processed/k/a.mp4"]


@pytest.mark.parametrize("key", ["uploads/video.mp4", "uploads//in.mp4", "uploads/../in.mp4"])
def test_an_upload_in_no_jobs_folder_is_no_orphan(key: str, world: World) -> None:
    """Another layout than the pipeline's: no job's absence says anything about it."""
    world.put(key, 90 * DAY)
    world.put("uploads/gone/in.mp4", 90 * DAY)
    run = world.run("cleanup_orphan_uploads")
    assert [tombstone.key for tombstone in world.tombstones()] == ["uploads/gone/in.mp4"]
    recorded = world.stores.runs.get(run.id)
    assert recorded and dict(recorded.kept) == {"in no job's folder, so no job can be missing": 1}


def test_orphan_whose_job_appeared_is_kept(world: World) -> None:
    world.put("uploads/late/in.mp4", 20 * DAY)
    assert world.run("cleanup_orphan_uploads").done.count == 1
    world.time += DAY
    world.job("late", "queued", HOUR)
    assert world.run("reap").skipped.count == 1
    assert world.keys() == ["uploads/late/in.mp4"]


def test_job_that_moved_on_before_apply_is_not_condemned(world: World) -> None:
    world.job("j", "failed", 6 * DAY)
    world.put("temp/j/a.ts", 6 * DAY)
    planned = world.plan("cleanup_failed_jobs")
    world.job("j", "queued", HOUR)
    assert apply(planned.id, world.stores).skipped.count == 2
    assert world.tombstones() == []


def test_interrupted_reap_is_finished_by_the_next(world: World) -> None:
    condemn_job(world)

    def crash(name: str) -> None:
        if name == "delete":
            raise TransientFault("the object store", "reset")

    world.objects.traffic.before = crash
    with pytest.raises(TransientFault):
        world.run("reap")
    assert (status(world), len(world.keys())) == ("cleaned_up", 4)
    assert world.database.claims.keys() == {"j"}
    world.objects.traffic.before = lambda name: None
    assert world.run("reap").done.count == 3
    assert (world.keys(), world.database.claims) == (["processed/j2/a.mp4"], {})


def test_what_the_store_would_not_delete_is_taken_up_again(world: World) -> None:
    condemn_job(world)
    world.objects.failing["temp/j/a.ts"] = "InternalError"
    with pytest.raises(ActionsFailed):
        world.run("reap")
    assert [tombstone.key for tombstone in world.tombstones("reaping")] == ["temp/j/a.ts"]
    assert world.database.claims.keys() == {"j"}
    world.objects.failing.clear()
    assert world.run("reap").done.count == 1
    assert (world.keys(), world.database.claims) == (["processed/j2/a.mp4"], {})


def test_undo_lifts_a_run(world: World) -> None:
    condemned = condemn_job(world)
    lifted = undo(condemned.id, world.stores)
    assert [outcome.status for _, outcome in lifted] == ["done"] * 4
    assert world.run("reap").considered.count == 0
    assert (status(world), len(world.keys())) == ("failed", 4)
    assert [outcome.status for _, outcome in undo(condemned.id, world.stores)] == ["skipped"] * 4
    with pytest.raises(NoSuchRun):
        undo("none", world.stores)


def test_undo_too_late(world: World) -> None:
    condemned = condemn_job(world)
    world.run("reap")
    found = {outcome.detail for _, outcome in undo(condemned.id, world.stores)}
    assert found == {"reaped: deleted for good"}
    assert world.keys() == ["processed/j2/a.mp4"]


def test_undo_between_plan_and_apply_of_reap(world: World) -> None:
    condemned = condemn_job(world)
    planned = world.plan("reap")
    undo(condemned.id, world.stores)
    reaped = apply(planned.id, world.stores)
    assert (reaped.done.count, reaped.skipped.count) == (0, 4)
    assert (status(world), len(world.keys())) == ("failed", 4)
    assert world.stores.runs.details(reaped.id) == [("skipped", "no longer condemned", 4)]
