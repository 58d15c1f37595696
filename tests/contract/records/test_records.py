"""Old records: which runs and rows are old, what keeps them, and that exactly those go."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from storage.core.model import JobId, ObjectKey, Outcome, Run, Tombstone
from storage.engine.sweep import HISTORY
from storage.records.model import DoneBatch

T = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
SHA, OTHER = "ab" * 32, "cd" * 32
LATER = datetime(2100, 1, 1, tzinfo=UTC)  # every row is older than this


def run(id: str, state: Any = "verified", hours: int = 0, **values: Any) -> Run:
    at = T + hours * HOUR
    values = {"job": "sweep", "as_of": at, "started_at": at, "finished_at": at, "plan_sha256": SHA} | values
    return Run(id=id, state=state, **values)


def tombstone(run_id: str, key: str, kind: Any = "object") -> Tombstone:
    return Tombstone(0, run_id, "sweep", kind, "bucket", key, 1, "seen", "why", T)


def old(database: Any, before: datetime = LATER) -> list[str]:
    return [one.run.id for one in database.records.old_runs(before)]


def test_runs_that_ended_are_old_the_oldest_first(database: Any) -> None:
    states = ("verified", "failed", "refused", "rejected", "planned", "applying", "waiting")
    for hours, state in enumerate(states):
        database.runs.save(run(state, state, -hours, finished_at=None if state == "planned" else T))
    assert old(database) == ["planned", "rejected", "refused", "failed", "verified"]
    assert old(database, T) == ["planned"], "the others ended at this instant"
    [one] = database.records.old_runs(T)
    assert one.run == database.runs.get("planned")


def test_the_newest_of_a_job_and_state_are_recent(database: Any) -> None:
    for hours in range(HISTORY + 2):
        database.runs.save(run(f"r{hours:02}", hours=hours))
    database.runs.save(run("alone", "failed", -1))
    database.runs.save(run("of-other", hours=-1, job="other"))
    found = {one.run.id: one.recent for one in database.records.old_runs(LATER)}
    assert [id for id, recent in found.items() if not recent] == ["r00", "r01"]


def test_tombstones_mark_a_run_until_they_are_gone(database: Any) -> None:
    for id in ("r1", "r2"):
        database.runs.save(run(id))
    database.tombstones.condemn([tombstone("r1", "a")])
    assert {one.run.id: one.marked for one in database.records.old_runs(LATER)} == {"r1": True, "r2": False}
    assert not database.records.delete_run(run("r1"), LATER)
    [mine] = database.tombstones.of_run("r1")
    database.tombstones.undo([mine.id])
    assert not database.records.delete_run(run("r1"), LATER), "undo may still be repeated"
    [rows] = database.records.old_rows("tombstones", LATER)
    assert database.records.delete_rows(rows) == 1
    assert database.records.delete_run(run("r1"), LATER)


def test_an_open_claim_marks_a_run(database: Any) -> None:
    """Objects that go with a job are left: its claim names the run that began on it."""
    database.add_job("j", "failed", T)
    job = replace(tombstone("c", "j", "job"), owner=JobId("j"), owner_updated_at=T)
    own = replace(tombstone("c", "uploads/j/a"), owner=JobId("j"), owner_updated_at=T, goes_with_job=True)
    assert database.tombstones.condemn([job, own]) == {}
    database.runs.save(run("reap-1"))
    of_job = next(one for one in database.tombstones.of_run("c") if one.kind == "job")
    assert database.tombstones.claim_job(of_job, "reap-1")
    assert [one.marked for one in database.records.old_runs(LATER)] == [True]
    assert not database.records.delete_run(run("reap-1"), LATER)


def test_a_batch_in_which_some_were_gone(database: Any) -> None:
    database.runs.save(run("r1"))
    for number, why in enumerate(("already gone", "written anew since it was seen")):
        outcomes = [Outcome("done"), Outcome("skipped", why), Outcome("failed", "already gone: no")]
        database.runs.finish_batch("r1", number, outcomes, [1, 2], first=3 * number)
    assert [one.some_gone for one in database.records.batches(run("r1"))] == [True, False]


def test_batches_of_the_plan(database: Any) -> None:
    database.runs.save(run("r1"))
    outcomes = [Outcome("done"), Outcome("skipped"), Outcome("failed")]
    database.runs.finish_batch("r1", 2, outcomes, [6, 7], first=5)
    database.runs.finish_batch("r1", 0, outcomes[:2], [1], first=0)
    found = database.records.batches(run("r1"))
    at = [one.finished_at for one in found]
    assert found == [
        DoneBatch(0, 0, 2, frozenset({1}), at[0]), DoneBatch(2, 5, 3, frozenset({6, 7}), at[1]),
    ]  # fmt: skip
    assert database.records.batches(run("r1", plan_sha256=OTHER)) == []
    assert database.records.batches(run("r2")) == []


@pytest.mark.parametrize("other", [{"state": "applying"}, {"plan_sha256": OTHER}])
def test_a_run_that_has_moved_on_stays(database: Any, other: dict[str, Any]) -> None:
    database.runs.save(run("r1"))
    assert not database.records.delete_run(replace(run("r1"), **other), LATER)
    assert database.runs.get("r1") is not None


def test_a_young_run_stays(database: Any) -> None:
    database.runs.save(run("r1"))
    assert not database.records.delete_run(run("r1"), T)


def test_a_run_goes_with_its_batches_and_no_other(database: Any) -> None:
    for id in ("r1", "r2"):
        database.runs.save(run(id))
        database.runs.finish_batch(id, 0, [Outcome("done")], [], first=0)
    assert database.records.delete_run(run("r1"), LATER)
    assert not database.records.delete_run(run("r1"), LATER)
    assert database.runs.get("r1") is None
    database.runs.save(run("r1"))
    assert database.records.batches(run("r1")) == []
    assert len(database.records.batches(run("r2"))) == 1


def test_runs_that_acted(database: Any) -> None:
    for hours, state in enumerate(("verified", "failed", "applying", "planned", "rejected")):
        database.runs.save(run(state, state, -hours, plan_uri="s3://m/plans/x"))
    database.runs.save(run("nothing-planned"))
    assert [one.id for one in database.records.acted()] == ["applying", "failed", "verified"]


def test_closed_tombstones_are_old_and_open_ones_are_not(database: Any) -> None:
    keys = ["undone", "reaping", "reaped", "kept", "condemned"]
    database.tombstones.condemn([tombstone("r", key) for key in keys] + [tombstone("r", "put-back", "file")])
    ids = {one.key: one.id for one in database.tombstones.of_run("r")}
    database.tombstones.undo([ids["undone"], ids["put-back"]])
    database.tombstones.begin([ids["reaping"], ids["reaped"], ids["kept"]])
    for state in ("reaped", "kept"):
        database.tombstones.finish([ids[state]], state)
    assert list(database.records.old_rows("tombstones", T)) == []
    [rows] = database.records.old_rows("tombstones", LATER)
    assert (rows.count, database.records.any_left(rows)) == (3, True)
    assert database.records.delete_rows(rows) == 3
    assert (database.records.delete_rows(rows), database.records.any_left(rows)) == (0, False)
    assert sorted(one.key for one in database.tombstones.of_run("r")) == ["condemned", "put-back", "reaping"]


def test_rows_that_closed_later_are_kept(database: Any) -> None:
    """The planned rows end at a row: what is closed after it is not among them."""
    for key in ("a", "b"):
        database.tombstones.condemn([tombstone("r", key)])
    first, second = database.tombstones.of_run("r")
    database.tombstones.undo([first.id])
    [rows] = database.records.old_rows("tombstones", LATER)
    database.tombstones.undo([second.id])
    assert database.records.delete_rows(rows) == 1
    assert [one.key for one in database.tombstones.of_run("r")] == ["b"]


def test_many_rows_come_by_the_thousand(database: Any) -> None:
    database.tombstones.condemn([tombstone("r", f"k{number:04}") for number in range(2001)])
    ids = [one.id for one in database.tombstones.of_run("r")]
    database.tombstones.undo(ids)  # all in one instant
    chunks = list(database.records.old_rows("tombstones", LATER))
    assert [rows.count for rows in chunks] == [1000, 1000, 1]
    assert [database.records.delete_rows(rows) for rows in chunks] == [1000, 1000, 1]


def test_closed_uploads_are_old(database: Any) -> None:
    for id in ("u1", "u2"):
        database.uploads.record(ObjectKey(f"key-{id}"), id)
    database.uploads.close("u1")
    [rows] = database.records.old_rows("uploads", LATER)
    assert database.records.delete_rows(rows) == 1
    assert list(database.records.old_rows("uploads", LATER)) == []
    assert [one.upload_id for one in database.uploads.open()] == ["u2"]


def test_deletions_that_an_application_asked_for(database: Any) -> None:
    def acted(key: str, status: str, verb: str = "delete") -> None:
        detail = {"verb": verb, "key": key, "reason": "r", "by": "ann", "status": status, "detail": ""}
        database.audit.record("acted", f"one-{key}-{status}-{verb}", detail)

    for key in ("a", "b"):
        acted(key, "done")
    acted("a", "skipped")
    acted("a", "done", "condemn")
    [one] = database.records.deleted_alone("a")
    assert (one.run, one.verb, one.key, one.reason) == ("one-a-done-delete", "delete", "a", "r")
    assert database.records.deleted_alone("none") == []
