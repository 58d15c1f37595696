"""Claims: a failed job becomes cleaned_up once, under a claim that stays open until its objects are gone."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from storage.core.model import Job, JobId, Tombstone

T = datetime(2026, 3, 1, 12, tzinfo=UTC)
LATER = T + timedelta(hours=1)
J = JobId("j")
OF_JOB = Tombstone(
    id=0,
    run_id="run-1",
    job="sweep",
    kind="job",
    place="jobs",
    key="j",
    size=0,
    seen=T.isoformat(),
    reason="failed 7 days ago",
    delete_after=T,
    owner=J,
    owner_updated_at=T,
)
OBJECT = replace(OF_JOB, kind="object", place="bucket", key="temp/j/a", goes_with_job=True)


def condemned(database: Any, *tombstones: Tombstone) -> list[Tombstone]:
    database.add_job("j", "failed", T)
    assert database.tombstones.condemn(tombstones) == {}
    ids = [tombstone.id for tombstone in database.tombstones.of_run("run-1")]
    return [database.tombstones.begin(ids)[id] for id in ids]


def row(database: Any) -> Job:
    found: Job = database.jobs.get([J])[J]
    return found


def test_claim_turns_the_job_and_stays_until_its_objects_are_gone(database: Any) -> None:
    of_job, of_object = condemned(database, OF_JOB, OBJECT)
    assert database.tombstones.claim_job(of_job, "reap-1")
    assert row(database).status == "cleaned_up"
    assert database.tombstones.claimed([J, JobId("k")]) == {J}
    database.tombstones.finish([of_job.id], "reaped")
    assert database.tombstones.claimed([J]) == {J}
    database.tombstones.finish([of_object.id], "reaped")
    assert database.tombstones.claimed([J]) == set()


def test_claim_of_a_job_that_was_retried_changes_nothing(database: Any) -> None:
    [of_job] = condemned(database, OF_JOB)
    for status, at in (("queued", LATER), ("failed", LATER), ("completed", T), ("cleaned_up", T)):
        database.add_job("j", status, at)
        assert not database.tombstones.claim_job(of_job, "reap-1")
        assert row(database) == Job(J, status, at)
    assert database.tombstones.claimed([J]) == set()


def test_claim_is_taken_up_by_a_later_run(database: Any) -> None:
    of_job, _ = condemned(database, OF_JOB, OBJECT)
    assert database.tombstones.claim_job(of_job, "reap-1")
    turned = row(database)
    assert database.tombstones.claim_job(of_job, "reap-2")
    assert row(database) == turned


def test_claim_of_a_job_retried_after_the_claim_is_no_claim(database: Any) -> None:
    """The claim is still open because its objects exist, but the row belongs to the pipeline again."""
    of_job, _ = condemned(database, OF_JOB, OBJECT)
    assert database.tombstones.claim_job(of_job, "reap-1")
    database.add_job("j", "queued", LATER)
    assert not database.tombstones.claim_job(of_job, "reap-2")
    assert row(database) == Job(J, "queued", LATER)


def test_claim_of_a_job_without_a_row(database: Any) -> None:
    gone = replace(OF_JOB, id=1, key="gone", owner=JobId("gone"))
    assert not database.tombstones.claim_job(gone, "reap-1")


def test_a_claim_can_be_opened_again(database: Any) -> None:
    """A job that was retried and failed again is cleaned up again."""
    [first] = condemned(database, OF_JOB)
    assert database.tombstones.claim_job(first, "reap-1")
    database.tombstones.finish([first.id], "reaped")
    assert database.tombstones.claimed([J]) == set()
    database.add_job("j", "failed", LATER)
    again = replace(OF_JOB, run_id="run-2", owner_updated_at=LATER)
    other = replace(OBJECT, run_id="run-2", owner_updated_at=LATER)
    assert database.tombstones.condemn([again, other]) == {}
    [second, _] = database.tombstones.of_run("run-2")
    assert database.tombstones.claim_job(second, "reap-2")
    assert database.tombstones.claimed([J]) == {J}
