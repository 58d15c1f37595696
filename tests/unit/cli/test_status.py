"""``storage status``: the last acting run of each job, however many other runs came after it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from storage.cli.installation import status_of
from storage.core.model import Run, Totals
from storage.testing import MemoryStores, memory_stores
from tests.support.in_memory import NOW

MANY = 1001
JOB = "cleanup_failed_jobs"


@pytest.fixture
def stores() -> MemoryStores:
    return memory_stores(None, lambda: NOW)


def add(stores: MemoryStores, id: str, job: str, state: Any, minutes: int, done: int = 0) -> None:
    at = NOW + timedelta(minutes=minutes)
    stores.runs.save(Run(id=id, job=job, as_of=at, state=state, started_at=at, done=Totals(done, 0)))


def test_runs_of_other_jobs_do_not_hide_it(stores: MemoryStores) -> None:
    add(stores, "mine", JOB, "verified", 0, done=7)
    for number in range(MANY):
        add(stores, f"other-{number}", "cleanup_ended_temp_files", "verified", 1 + number)
    facts = status_of(stores)
    assert facts[f"last_{JOB}"] == "verified, 7 done, mine"
    assert facts["last_cleanup_ended_temp_files"] == f"verified, 0 done, other-{MANY - 1}"
    assert facts["last_reap"] == "never"


def test_runs_that_only_planned_do_not_replace_it(stores: MemoryStores) -> None:
    add(stores, "mine", JOB, "failed", 0, done=7)
    for number in range(MANY):
        add(stores, f"dry-{number}", JOB, "planned", 1 + number)
    add(stores, "asked", "reap", "waiting", 0)
    facts = status_of(stores)
    assert facts[f"last_{JOB}"] == f"failed, 7 done, mine; since then planned: dry-{MANY - 1}"
    assert facts["last_reap"] == "never; since then waiting: asked"
