"""The pipeline's jobs: streams in order of age, and changes only to rows unchanged since they were read."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from storage.core.clock import utcnow
from storage.core.model import Job, JobId

T = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
MOMENT = timedelta(microseconds=1)
ALL = ("queued", "processing", "transcoding", "uploading", "completed", "failed", "cleaned_up")


def test_get_finds_the_rows_there_are(database: Any) -> None:
    database.add_job("a", "completed", T, completed_at=T - HOUR)
    database.add_job("b' %_é", "queued", T + MOMENT)
    found = database.jobs.get([JobId("a"), JobId("b' %_é"), JobId("missing")])
    assert found == {
        "a": Job(JobId("a"), "completed", T, T - HOUR),
        "b' %_é": Job(JobId("b' %_é"), "queued", T + MOMENT),
    }


def test_get_of_nothing_and_of_thousands(database: Any) -> None:
    database.add_job("a", "queued", T)
    assert database.jobs.get([]) == {}
    assert list(database.jobs.get(JobId(f"none-{n}") for n in range(3000))) == []


@pytest.mark.parametrize(
    ("stream", "statuses"),
    [("failed_before", {"failed"}), ("unended_before", {"queued", "processing", "transcoding", "uploading"})],
)
def test_streams_of_the_untouched(stream: str, statuses: set[str], database: Any) -> None:
    """A row last updated exactly at the given instant counts as untouched since then."""
    for status in ALL:
        database.add_job(f"{status}-old", status, T - HOUR)
        database.add_job(f"{status}-at", status, T)
        database.add_job(f"{status}-new", status, T + MOMENT)
    found = [job.id for job in getattr(database.jobs, stream)(T)]
    assert found == sorted(f"{s}-old" for s in statuses) + sorted(f"{s}-at" for s in statuses)


def test_streams_are_oldest_first_over_many_pages(database: Any) -> None:
    for n in range(2_050):
        database.add_job(f"job-{n:04}", "failed", T - timedelta(seconds=(n * 7919) % 500))
    found = list(database.jobs.failed_before(T))
    assert [(job.updated_at, job.id) for job in found] == sorted((job.updated_at, job.id) for job in found)
    assert len({job.id for job in found}) == 2_050


def test_a_stream_may_be_left_and_rows_change_while_it_runs(database: Any) -> None:
    for n in range(1_500):
        database.add_job(f"job-{n:04}", "processing", T - HOUR + timedelta(seconds=n))
    stream = database.jobs.unended_before(T)
    first = next(stream)
    assert database.jobs.fail([first], "stuck") == {first.id}
    rest = list(stream)
    assert first.id not in {job.id for job in rest}
    assert len(rest) == 1_499
    next(database.jobs.unended_before(T))


def test_ended_since(database: Any) -> None:
    for status in ALL:
        database.add_job(f"{status}-old", status, T - MOMENT)
        database.add_job(f"{status}-at", status, T)
        database.add_job(f"{status}-new", status, T + HOUR)
    found = {job.id for job in database.jobs.ended_since(T)}
    assert found == {"completed-at", "completed-new", "failed-at", "failed-new"}


def test_counts_rows_by_status(database: Any) -> None:
    assert database.jobs.counts() == {}
    for n in range(3):
        database.add_job(f"q{n}", "queued", T)
    database.add_job("f", "failed", T)
    assert database.jobs.counts() == {"queued": 3, "failed": 1}


def test_fail_turns_what_is_as_seen(database: Any) -> None:
    for n in range(3):
        database.add_job(f"job-{n}", "processing", T)
    seen = list(database.jobs.unended_before(T))
    database.add_job("job-0", "completed", T + HOUR)
    database.add_job("job-1", "processing", T + MOMENT)
    assert database.jobs.fail(seen, "timeout") == {"job-2"}
    rows = database.jobs.get([JobId(f"job-{n}") for n in range(3)])
    assert [rows[JobId(f"job-{n}")].status for n in range(3)] == ["completed", "processing", "failed"]
    assert abs(rows[JobId("job-2")].updated_at - utcnow()) < timedelta(minutes=1)


def test_fail_compares_status_and_time_both(database: Any) -> None:
    database.add_job("a", "queued", T)
    assert database.jobs.fail([Job(JobId("a"), "processing", T)], "x") == set()
    assert database.jobs.fail([Job(JobId("a"), "queued", T + MOMENT)], "x") == set()
    assert database.jobs.fail([Job(JobId("gone"), "queued", T)], "x") == set()
    assert database.jobs.fail([], "x") == set()
    assert database.jobs.get([JobId("a")])[JobId("a")] == Job(JobId("a"), "queued", T)


def test_fail_twice_turns_once(database: Any) -> None:
    database.add_job("a", "queued", T)
    seen = [Job(JobId("a"), "queued", T)]
    assert database.jobs.fail(seen, "x") == {"a"}
    assert database.jobs.fail(seen, "x") == set()


def test_now_is_the_clock_and_identity_stays(database: Any) -> None:
    assert abs(database.jobs.now() - utcnow()) < timedelta(minutes=1)
    assert database.jobs.now().utcoffset() is not None
    assert database.jobs.identity() == database.jobs.identity() != ""
