"""The log of cold objects, on the fake and on PostgreSQL."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine

from storage.cold.model import ColdRecord, Saving
from storage.cold.ports import ColdLog
from storage.cold.postgres import PostgresCold
from storage.core.clock import utcnow
from storage.core.model import BucketName, JobId, ObjectKey, Totals
from storage.stores.postgres.connection import Statements
from storage.testing import Database, MemoryCold

AT = datetime(2026, 3, 8, 2, tzinfo=UTC)
BUCKET = BucketName("transcode-storage")
KEY = ObjectKey("processed/job-1/transcription/transcript.json")
ONE = ColdRecord(key=KEY, etag="e1", size=100, object_class="transcripts", owner=JobId("job-1"))
SAVING = Saving(
    run_id="run-1",
    key=KEY,
    object_class="transcripts",
    owner=JobId("job-1"),
    kind="compress",
    etag="e2",
    before=1000,
    after=200,
    codec="zstd",
)


@pytest.fixture(params=["fake", "postgres"])
def log(request: pytest.FixtureRequest) -> ColdLog:
    if request.param == "fake":
        return MemoryCold(Database(utcnow))
    return PostgresCold(request.getfixturevalue("engine"), BUCKET)


def test_the_last_memory_of_a_key_holds(log: ColdLog) -> None:
    log.save_records(
        [ONE, replace(ONE, key=ObjectKey("other"), compression="skipped", skipped="it is a video")]
    )
    later = replace(ONE, etag="e2", compression="compressed", tier="cold", tier_state="asked", asked_at=AT)
    log.save_records([later])
    assert log.get_records([KEY, "none"]) == {KEY: later}
    assert log.get_records([]) == {}


@pytest.mark.parametrize("key", ["tab\tnew\nline", "日本語-\U0001f3ac", "quote'\"\\", "x" * 1024])
def test_any_key_is_remembered(log: ColdLog, key: str) -> None:
    odd = replace(ONE, key=ObjectKey(key), owner=None)
    log.save_records([odd])
    assert log.get_records([key]) == {key: odd}


def test_what_moves_is_found_in_key_order(log: ColdLog) -> None:
    states = {"b": "asked", "a": "stuck", "c": "held", "d": ""}
    log.save_records(
        [replace(ONE, key=ObjectKey(k), tier="cold", tier_state=s, asked_at=AT) for k, s in states.items()]  # type: ignore[arg-type]
    )
    assert [one.key for one in log.moving()] == ["a", "b"]
    assert log.tiers() == {
        ("cold", "asked"): Totals(1, 100),
        ("cold", "stuck"): Totals(1, 100),
        ("cold", "held"): Totals(1, 100),
    }


def test_a_read_never_goes_back_in_time(log: ColdLog) -> None:
    log.touch([KEY], AT)
    log.touch([KEY, "other"], AT - timedelta(days=1))
    assert log.accessed([KEY, "other", "none"]) == {KEY: AT, "other": AT - timedelta(days=1)}


def test_a_pin_is_set_changed_and_lifted(log: ColdLog) -> None:
    job = JobId("job-1")
    log.pin(job, "in court", "tom")
    log.pin(job, "in court until May", "tom")
    assert log.pins([job, JobId("job-2")]) == {job: "in court until May"}
    log.pin(job, "", "tom")
    assert log.pins([job]) == {}


def test_the_ledger_repeats_nothing_and_forgets_nothing(log: ColdLog) -> None:
    """A rerun after a kill enters its change again; compressing again after decompression is a new change."""
    back = replace(SAVING, kind="decompress", etag="e1", before=200, after=1000)
    moved = replace(SAVING, kind="transition", tier="cold", before=200, after=200)
    for one in (SAVING, replace(SAVING, run_id="run-2"), moved, SAVING, back, SAVING):
        log.enter([one])
    (line,) = log.savings("class")
    assert (line.group, line.objects, line.before, line.after) == ("transcripts", 1, 2200, 1400)
    assert line.saved == 800


def test_two_at_once_enter_the_same_once(engine: Engine) -> None:
    """As two `storage decompress` of one key do: the later waits, and sees the entry of the earlier."""
    log = PostgresCold(engine, BUCKET)
    ledger = Statements(engine, "cold")
    with ThreadPoolExecutor(1) as pool:
        with ledger.transaction() as session:
            ledger.rows_in(session, "alone_in_the_ledger", bucket=BUCKET)
            ledger.rows_in(session, "enter", bucket=BUCKET, savings=json.dumps([asdict(SAVING)]))
            other = pool.submit(log.enter, [SAVING])
            with pytest.raises(TimeoutError):
                other.result(0.5)
        other.result(10)
    [line] = log.savings("class")
    assert (line.objects, line.before, line.after) == (1, 1000, 200)


def test_groups_by_day_class_and_job(log: ColdLog) -> None:
    other = replace(SAVING, key=ObjectKey("k2"), object_class="metadata", owner=None, left_behind=1000)
    log.enter([SAVING, other])
    log.save_records(
        [
            replace(ONE, key=ObjectKey(f"v{n}"), compression="skipped", skipped="it is a video")
            for n in range(3)
        ]
    )
    assert [(line.group, line.objects, line.saved, line.skipped) for line in log.savings("class")] == [
        ("metadata", 1, -200, 0),
        ("transcripts", 1, 800, 3),
    ]
    by_job = {line.group: line for line in log.savings("job")}
    assert by_job["job-1"].reasons == {"it is a video": 3}
    assert by_job["job-1"].skipped_bytes == 300
    (today,) = log.savings("day")
    assert (today.group, today.objects) == (f"{utcnow():%Y-%m-%d}", 2)
    assert log.savings("day", utcnow() + timedelta(hours=1)) == []


def test_the_api_key_is_the_one_of_the_time(engine: Engine, add_job: Callable[..., Any]) -> None:
    """The API key is stored with the change, because the job's row may be gone at the time of the query."""
    add_job("job-1", "completed", AT, api_key="key-a")
    log = PostgresCold(engine, BucketName("transcode-storage"))
    log.enter([SAVING])
    with engine.begin() as session:
        session.exec_driver_sql("DELETE FROM jobs")
    assert [line.group for line in log.savings("api_key")] == ["key-a"]
