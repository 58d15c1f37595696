"""Complete installation in memory, with a clock that only moves when a test sets it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from storage import catalog
from storage.core.model import Job, Run, Tombstone
from storage.engine.sweep import plan
from storage.testing import Database, MemoryFiles, MemoryObjects, memory_stores
from tests.support.runs import apply

NOW = datetime(2026, 3, 8, 2, tzinfo=UTC)
DAY, HOUR, MINUTE = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)
SECOND = timedelta(seconds=1)


class Killed(BaseException):
    """End of the process, as by kill -9: no code of the product runs afterwards."""


class World:
    """The fakes behind ``stores``, and shorthands for the tests' operations on them."""

    def __init__(self) -> None:
        self.time = NOW
        self.objects = MemoryObjects(self.now)
        self.plans = MemoryObjects(self.now, bucket="maintenance")
        self.database = Database(self.now)
        self.files = MemoryFiles(self.now)
        self.stores = memory_stores(
            self.files, self.now, objects=self.objects, plans=self.plans, database=self.database
        )
        self.stores.control.write("fresh_backup_guard", "off")  # as where backups are made by other means

    def now(self) -> datetime:
        return self.time

    def put(self, key: str, age: timedelta, data: bytes = b"data") -> None:
        self.objects.put(key, data, self.time - age)

    def job(self, id: str, status: str, age: timedelta, **columns: Any) -> Job:
        return self.database.add_job(id, status, self.time - age, **columns)

    def plan(self, job: str, **params: float) -> Run:
        return plan(catalog.get(job), self.stores, self.time, params)

    def run(self, job: str, **params: float) -> Run:
        return apply(self.plan(job, **params).id, self.stores)

    def keys(self) -> list[str]:
        """Return every key in the bucket, without counting requests."""
        return [key for key in self.objects._keys() if self.objects._info(key)]

    def tombstones(self, *states: str) -> list[Tombstone]:
        found = self.database.tombstones.values()
        return [tombstone for tombstone in found if not states or tombstone.state in states]

    def count_from_here(self) -> None:
        self.objects.requests.clear()
        self.database.requests.clear()
