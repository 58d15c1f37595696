"""What was condemned and is due."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from storage.core.model import Tombstone, jobs_of
from storage.core.ports import Stores
from storage.engine.actions import Action, Keep, ReapFile, ReapJob, ReapObject


@dataclass(frozen=True, kw_only=True)
class Reap:
    """Tombstones of this bucket and temp folder whose time has come, and what an interrupted reap left."""

    def select(self, stores: Stores, as_of: datetime) -> Iterator[Tombstone]:
        bucket = stores.objects.bucket
        return stores.tombstones.due(as_of, (bucket, jobs_of(bucket), stores.files.root))

    def plan(self, items: Iterable[Tombstone], as_of: datetime) -> Iterator[Action[Stores] | Keep]:
        for stone in items:
            yield _ACTION[stone.kind](stone)


def _job(stone: Tombstone) -> Action[Stores]:
    assert stone.owner_updated_at
    return ReapJob(stone=stone.id, key=stone.key, updated_at=stone.owner_updated_at, reason=_reason(stone))


def _object(stone: Tombstone) -> Action[Stores]:
    etag, _, last_modified = stone.seen.rpartition(" ")
    return ReapObject(
        stone=stone.id,
        key=stone.key,
        size=stone.size,
        etag=etag,
        last_modified=datetime.fromisoformat(last_modified),
        reason=_reason(stone),
        owner=stone.owner,
        owner_updated_at=stone.owner_updated_at,
        goes_with_job=stone.goes_with_job,
    )


def _file(stone: Tombstone) -> Action[Stores]:
    mtime_ns, inode = stone.seen.split(" ")
    return ReapFile(
        stone=stone.id,
        key=stone.key,
        held_at=stone.held_at,
        size=stone.size,
        mtime_ns=int(mtime_ns),
        inode=int(inode),
        reason=_reason(stone),
    )


def _reason(stone: Tombstone) -> str:
    return f"condemned by {stone.run_id}: {stone.reason}"


_ACTION = {"job": _job, "object": _object, "file": _file}
