"""Policy for condemned jobs, objects and files that are due."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from storage.core.model import Tombstone, jobs_of
from storage.core.ports import Stores
from storage.engine.actions import Action, Keep, ReapFile, ReapJob, ReapObject


@dataclass(frozen=True, kw_only=True)
class Reap:
    """Policy that reaps due tombstones of this bucket and temp folder, and those an interrupted reap left."""

    def select(self, stores: Stores, as_of: datetime) -> Iterator[Tombstone]:
        bucket = stores.objects.bucket
        return stores.tombstones.due(as_of, (bucket, jobs_of(bucket), stores.files.root))

    def plan(self, items: Iterable[Tombstone], as_of: datetime) -> Iterator[Action[Stores] | Keep]:
        for tombstone in items:
            yield _ACTION[tombstone.kind](tombstone)


def _job(tombstone: Tombstone) -> Action[Stores]:
    assert tombstone.owner_updated_at
    return ReapJob(
        tombstone=tombstone.id,
        key=tombstone.key,
        updated_at=tombstone.owner_updated_at,
        reason=_reason(tombstone),
    )


def _object(tombstone: Tombstone) -> Action[Stores]:
    etag, _, last_modified = tombstone.seen.rpartition(" ")
    return ReapObject(
        tombstone=tombstone.id,
        key=tombstone.key,
        size=tombstone.size,
        etag=etag,
        last_modified=datetime.fromisoformat(last_modified),
        reason=_reason(tombstone),
        owner=tombstone.owner,
        owner_updated_at=tombstone.owner_updated_at,
        goes_with_job=tombstone.goes_with_job,
    )


def _file(tombstone: Tombstone) -> Action[Stores]:
    mtime_ns, inode = tombstone.seen.split(" ")
    return ReapFile(
        tombstone=tombstone.id,
        key=tombstone.key,
        held_at=tombstone.held_at,
        size=tombstone.size,
        mtime_ns=int(mtime_ns),
        inode=int(inode),
        reason=_reason(tombstone),
    )


def _reason(tombstone: Tombstone) -> str:
    return f"condemned by {tombstone.run_id}: {tombstone.reason}"


_ACTION = {"job": _job, "object": _object, "file": _file}
