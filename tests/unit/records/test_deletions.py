"""What a run is said to have deleted: what its batches say was done, and what nobody knows."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from storage.core.model import ObjectKey, Run
from storage.records import deletions as log
from storage.records.deletions import DELETE_NOTHING, UNDER_WAY, deletions
from storage.records.model import DoneBatch
from storage.testing import MemoryObjects
from tests.support.in_memory import HOUR, NOW
from tests.support.runs import VERBS

RUN = Run(id="reap-1", job="reap", as_of=NOW, state="failed", bucket="videos", started_at=NOW - HOUR)


def lines(count: int, verb: str = "reap") -> list[bytes]:
    values = ({"verb": verb, "key": f"k{n}", "size": 1, "etag": f"e{n}", "reason": "r"} for n in range(count))
    return [json.dumps(value).encode() + b"\n" for value in values]


def batch(number: int, first: int | None, count: int, not_done: Sequence[int] = ()) -> DoneBatch:
    return DoneBatch(number, first, count, frozenset(not_done), NOW)


def keys(plan: list[bytes], *batches: DoneBatch) -> list[str]:
    """Return the keys that were deleted, with a question mark for those of which nothing is known."""
    return [f"{one.key}{'?' * (one.outcome == 'unknown')}" for one in deletions(RUN, plan, batches)]


def test_only_what_was_done() -> None:
    assert keys(lines(5), batch(0, 0, 3, [1]), batch(1, 3, 2, [3, 4])) == ["k0", "k2"]


def test_batches_from_before_are_located_by_their_counts() -> None:
    assert keys(lines(5), batch(0, None, 3, [1]), batch(1, None, 2, [4])) == ["k0", "k2", "k3"]


def test_a_batch_that_a_kill_left_unrecorded_is_doubtful() -> None:
    """Batch 1 was under way beside batch 2, which was recorded."""
    assert keys(lines(6), batch(0, 0, 2), batch(2, 4, 2, [5])) == ["k0", "k1", "k2?", "k3?", "k4"]


def test_what_was_gone_already_is_doubtful() -> None:
    """An earlier attempt may have deleted it; which lines were gone is not recorded, only that some were."""
    resumed = replace(batch(0, 0, 3, [1]), some_gone=True)
    assert keys(lines(5), resumed, batch(1, 3, 2, [4])) == ["k0", "k1?", "k2", "k3"]


def test_after_a_gap_nothing_is_known_of_batches_from_before() -> None:
    assert keys(lines(6), batch(0, None, 2), batch(2, None, 2, [5])) == [
        "k0",
        "k1",
        "k2?",
        "k3?",
        "k4?",
        "k5?",
    ]


def test_what_was_never_begun_is_not_logged() -> None:
    found = keys(lines(UNDER_WAY + 10), batch(0, 0, 5))
    assert found[-1] == f"k{UNDER_WAY + 4}?"
    many = lines(UNDER_WAY + 10)
    assert len(keys(many, batch(0, None, 5), batch(2, None, 5))) == len(many), "their places are not known"


@pytest.mark.parametrize("state", ["planned", "waiting", "rejected", "refused"])
def test_a_run_that_only_planned_deleted_nothing(state: Any) -> None:
    assert list(deletions(replace(RUN, state=state), lines(3), [])) == []


def test_what_deletes_nothing_is_not_logged() -> None:
    plan = [line for verb in sorted(DELETE_NOTHING) for line in lines(1, verb)]
    assert keys([*plan, *lines(1, "unheard-of")], batch(0, 0, len(plan) + 1)) == ["k0"]


def test_every_verb_is_known_to_delete_or_not() -> None:
    deleting = {
        "abort",
        "delete",
        "prune",
        "prune-log",
        "prune-rows",
        "prune-run",
        "reap",
        "remove-folder",
        "unlink",
    }
    assert VERBS.keys() == deleting | DELETE_NOTHING


def test_an_entry_says_what_when_and_why() -> None:
    [one] = deletions(RUN, lines(1), [batch(0, 0, 1)])
    assert (one.run, one.bucket, one.verb, one.version, one.size) == ("reap-1", "videos", "reap", "e0", 1)
    assert (one.at, one.reason) == (NOW.isoformat(), "r")
    [doubtful] = deletions(RUN, lines(1), [])
    assert (doubtful.at, doubtful.outcome) == (RUN.started_at.isoformat(), "unknown")  # type: ignore[union-attr]


def test_an_entry_names_what_a_file_and_an_upload_looked_like() -> None:
    upload = {"verb": "abort", "key": "k", "size": 0, "upload_id": "u", "reason": ""}
    file = {"verb": "unlink", "key": "f", "size": 0, "mtime_ns": 5, "reason": ""}
    plan = [json.dumps(value).encode() for value in (upload, file)]
    assert [one.version for one in deletions(RUN, plan, [batch(0, 0, 2)])] == ["u", "5"]


def test_a_log_is_the_same_bytes_whoever_writes_it(tmp_path: Path) -> None:
    stores = [MemoryObjects(lambda: NOW), MemoryObjects(lambda: NOW + HOUR)]
    for store in stores:
        assert log.write(RUN, deletions(RUN, lines(3), [batch(0, 0, 3)]), store)
    first, second = (store.head(log.log_key(RUN)) for store in stores)
    assert first and second and first.etag == second.etag
    assert [one.key for one in log.read(first.key, stores[0])] == ["k0", "k1", "k2"]


def test_a_run_that_deleted_nothing_has_no_log() -> None:
    store = MemoryObjects(lambda: NOW)
    assert log.write(RUN, [], store)
    assert store.requests == {}


@pytest.mark.parametrize(
    ("key", "end"),
    [
        ("deletions/2026-11/r.jsonl.gz", datetime(2026, 12, 1, tzinfo=UTC)),
        ("deletions/2026-12/r.jsonl.gz", datetime(2027, 1, 1, tzinfo=UTC)),
        ("deletions/2026-13/r.jsonl.gz", None),
        ("deletions/2026-12/", None),
        ("deletions/notes.txt", None),
        ("plans/deletions/2026-12/r", None),
    ],
)
def test_the_month_of_a_log_ends(key: str, end: datetime | None) -> None:
    assert log.month_end(key) == end


def test_old_logs_end_with_the_first_young_month() -> None:
    store = MemoryObjects(lambda: NOW)
    for key in ("2025-01/a", "2025-02/b", "2025-03/c", "notes", "2025-01/"):
        store.put(f"deletions/{key}", b"x")
    found = log.old_logs(store, datetime(2025, 3, 1, tzinfo=UTC))
    assert [info.key for info in found] == [
        ObjectKey("deletions/2025-01/a"),
        ObjectKey("deletions/2025-02/b"),
    ]
