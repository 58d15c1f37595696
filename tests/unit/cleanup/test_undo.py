"""Undo of a whole run, one job or one key: what comes back, what is gone, and a dry run that foretells it."""

from __future__ import annotations

from typing import Any

import pytest

from storage import catalog
from storage.cli.undo import Report, lines
from storage.core.model import Outcome, Run, Tombstone
from storage.engine.undo import ALL, Selection, lasting, undo
from tests.support.in_memory import DAY, HOUR, World
from tests.support.runs import apply

OF_J = ["processed/j/a.mp4", "uploads/j/in.mp4"]


@pytest.fixture
def condemned(world: World) -> Run:
    """Condemn two failed jobs, each with its objects, and make them due."""
    for id in ("j", "k"):
        world.job(id, "failed", 8 * DAY)
    for key in [*OF_J, "processed/k/a.mp4"]:
        world.put(key, 8 * DAY)
    run = world.run("cleanup_failed_jobs")
    world.time += DAY
    return run


def report(run: Run, world: World, only: Selection = ALL, dry_run: bool = False) -> Report:
    marks = undo(run.id, world.stores, only, dry_run=dry_run, by="ann")
    stays = lasting(catalog.get(run.job), run.id, world.stores, only)
    return Report(run=run, dry_run=dry_run, marks=marks, stays=stays)


def back(marks: list[tuple[Tombstone, Outcome]]) -> list[str]:
    return sorted(mark.key for mark, outcome in marks if outcome.status == "done")


@pytest.mark.parametrize(
    ("only", "taken"),
    [
        (ALL, ["j", "k", "processed/j/a.mp4", "processed/k/a.mp4", "uploads/j/in.mp4"]),
        (Selection(job="j"), ["j", *OF_J]),
        (Selection(job="k"), ["k", "processed/k/a.mp4"]),
        (Selection(key="uploads/j/in.mp4"), ["uploads/j/in.mp4"]),
        (Selection(key="k"), ["k"]),
        (Selection(job="k", key="uploads/j/in.mp4"), []),
        (Selection(job="J"), []),
        (Selection(key="uploads/j/"), []),
    ],
)
def test_only_the_selected_part_is_taken_back(
    world: World, condemned: Run, only: Selection, taken: list[str]
) -> None:
    foretold = undo(condemned.id, world.stores, only, dry_run=True)
    assert back(foretold) == taken
    assert {mark.state for mark in world.tombstones()} == {"condemned"}, "a dry run changes nothing"
    assert not any(event == "undo" for event, _, _ in world.database.audit)
    assert undo(condemned.id, world.stores, only, by="ann") == foretold
    assert sorted(mark.key for mark in world.tombstones("undone")) == taken
    assert world.database.audit[-1][2] == {
        "lifted": len(taken), "job": only.job, "key": only.key, "by": "ann",
    }  # fmt: skip
    again = report(condemned, world, only)
    assert again.sum("skipped", "undone before").count == len(taken)
    assert not again.failed, "repeated, it is no error"


def test_one_key_of_a_job_stays_and_the_rest_is_reaped(world: World, condemned: Run) -> None:
    undo(condemned.id, world.stores, Selection(key=OF_J[0]))
    assert world.run("reap").failed.count == 0
    assert world.keys() == [OF_J[0]]
    made = report(condemned, world)
    assert made.failed
    assert list(lines(made)) == [
        "0 of 5 marks were taken back (0 B).",
        "4 are gone: reap has deleted them for good (8 B).",
        "1 were taken back before (4 B).",
    ]


def test_a_part_that_is_gone_is_said_with_its_size(world: World, condemned: Run) -> None:
    undo(condemned.id, world.stores, Selection(job="j"))
    world.run("reap")
    world.run("cleanup_failed_jobs")
    made = report(condemned, world, Selection(job="k"))
    assert (made.failed, list(lines(made))) == (
        True,
        ["0 of 2 marks were taken back (0 B).", "2 are gone: reap has deleted them for good (4 B)."],
    )


def test_what_reap_has_begun_is_not_foretold_as_undoable(world: World, condemned: Run) -> None:
    """The job is claimed, and its objects are still condemned: all or nothing."""
    [of_job] = [mark for mark in world.tombstones("condemned") if mark.key == "j"]
    world.stores.tombstones.begin([of_job.id])
    for dry_run in (True, False):
        made = report(condemned, world, Selection(job="j"), dry_run)
        assert {outcome.detail for _, outcome in made.marks} == {"reap has begun on it"}
        assert made.failed
        assert "3 stay: reap has begun to delete them (8 B)." in list(lines(made))


def test_a_run_that_deleted_says_that_nothing_comes_back(world: World) -> None:
    for number in range(3):
        world.put(f"temp/{number}.ts", 2 * DAY)
    run = world.run("cleanup_temp_objects")
    made = report(run, world)
    assert made.failed
    assert list(lines(made)) == [
        f"Nothing to take back: run {run.id} deleted 3 objects for good (12 B). "[:-1]
    ]
    one = report(run, world, Selection(key="temp/1.ts"))
    assert [each.total.count for each in one.stays] == [1]
    assert report(run, world, Selection(key="temp/9.ts")).stays == []


def test_jobs_that_were_set_to_failed_are_listed(world: World) -> None:
    world.job("stuck", "processing", 3 * DAY)
    run = world.run("cleanup_stuck_jobs")
    made = report(run, world)
    assert made.failed
    said = list(lines(made))
    assert said[0].startswith(f"Nothing to take back: run {run.id} set 1 jobs to failed.")
    assert "retry those jobs" in said[0]
    assert said[1] == "  stuck"
    assert report(run, world, Selection(job="stuck")).stays == made.stays


def test_a_reap_is_not_undone(world: World, condemned: Run) -> None:
    reaped = world.run("reap")
    said = list(lines(report(reaped, world)))
    assert said == [
        f"Nothing to take back: run {reaped.id} set 2 jobs to cleaned_up.",
        f"Nothing to take back: run {reaped.id} deleted 3 objects for good (12 B).",
    ]


def test_a_run_that_only_planned_changed_nothing(world: World) -> None:
    world.put("temp/a.ts", 2 * DAY)
    planned = world.plan("cleanup_temp_objects")
    made = report(planned, world)
    assert (made.failed, list(lines(made))) == (
        False,
        [f"Nothing to take back: run {planned.id} (planned) changed nothing."],
    )


def test_a_stopped_run_did_at_least_what_is_recorded(world: World) -> None:
    for number in range(2_500):
        world.put(f"temp/{number:04}.ts", 2 * DAY)
    planned = world.plan("cleanup_temp_objects")
    deletes = iter(["no", "one", "two", "three"])

    def stop(name: str) -> None:
        if name == "delete" and next(deletes) == "no":
            world.stores.control.write("paused", "by ann")

    world.objects.traffic.before = stop
    with pytest.raises(Exception, match="paused"):
        apply(planned.id, world.stores)
    stopped: Any = world.stores.runs.get(planned.id)
    (said,) = lines(report(stopped, world))
    assert f"deleted at least {stopped.done.count:,} objects for good" in said


def test_a_dry_run_moves_no_file(world: World) -> None:
    """Of two files one has a new file in its place: the dry run says which."""
    for name in ("a.tmp", "b.tmp"):
        world.files.add(name, 5, world.time - 2 * DAY)
    run = world.run("cleanup_temp_files")
    world.files.add("b.tmp", 3)
    marks = undo(run.id, world.stores, dry_run=True)
    assert back(marks) == ["a.tmp"]
    assert world.files.look("a.tmp") is None
    world.time += HOUR / 2
    assert undo(run.id, world.stores) == marks
    assert world.files.look("a.tmp")
