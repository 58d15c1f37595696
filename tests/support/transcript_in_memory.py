"""A completed job's transcript in memory: compressing it, reading it back, and killing the process."""

from __future__ import annotations

from typing import Any

from storage.cold import decompressing_reader
from storage.cold.actions.compress import CompressObject
from storage.cold.model import ColdRecord, Saving
from storage.core.model import Job, JobId, ObjectKey, Outcome
from storage.engine.actions import Work
from storage.testing import MemoryCold, MemoryObjectReplacer
from tests.support.in_memory import DAY, Killed, World
from tests.support.object_in_memory import KEY, SMALL

FOLDER = "processed/job-1/transcription/"


def job(world: World) -> Job:
    return world.job("job-1", "completed", 200 * DAY)


def action(world: World, key: str = KEY, data: bytes = SMALL) -> CompressObject:
    """Store the object, a hundred days old; return a plan's action for it."""
    info = world.objects.put(key, data, world.time - 100 * DAY)
    row = world.stores.jobs.get([JobId("job-1")]).get(JobId("job-1")) or job(world)
    return CompressObject(
        key=key,
        size=info.size,
        etag=info.etag,
        last_modified=info.last_modified,
        codec="zstd",
        level=None,
        object_class="transcripts",
        owner="job-1",
        owner_updated_at=row.updated_at,
        reason="old",
    )


def apply(world: World, *batch: CompressObject) -> list[Outcome]:
    world.objects.requests.clear()
    return CompressObject.apply(batch, Work(world.stores, "run-1", "cold"))


def log(world: World) -> MemoryCold:
    assert isinstance(world.stores.cold, MemoryCold)
    return world.stores.cold


def replacer(world: World) -> MemoryObjectReplacer:
    assert isinstance(world.stores.replacer, MemoryObjectReplacer)
    return world.stores.replacer


def ledger(world: World) -> list[Saving]:
    return [one for _, one in log(world).ledger]


def stored(world: World, key: str = KEY) -> bytes:
    return world.objects._versions[key][0].data or b""


def original(world: World, key: str = KEY) -> bytes:
    return b"".join(decompressing_reader.read(world.stores.replacer, ObjectKey(key)))


class Ends:
    """Simulated kill after ``after`` steps; from then on every further step fails as well."""

    def __init__(self, world: World, after: int) -> None:
        self.left, self.down, self._world, self._log = after, False, world, log(world)
        self._enter, self._remember = self._log.enter, self._log.save_records

    def step(self, name: str = "") -> None:
        self.left -= 1
        self.down = self.down or self.left < 0
        if self.down:
            raise Killed

    def __enter__(self) -> Ends:
        def entering(savings: list[Saving]) -> None:
            self.step()
            self._enter(savings)

        def remembering(records: list[ColdRecord]) -> None:
            self.step()
            self._remember(records)

        self._world.objects.traffic.before = self._world.database.traffic.before = self.step
        self._log.enter, self._log.save_records = entering, remembering  # type: ignore[method-assign,assignment]
        return self

    def __exit__(self, *_: Any) -> None:
        self._world.objects.traffic.before = self._world.database.traffic.before = lambda name: None
        self._log.enter, self._log.save_records = self._enter, self._remember  # type: ignore[method-assign]
