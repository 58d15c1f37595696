"""Verbs on objects: delete, condemn, reap."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any, ClassVar

from storage.core.deletion import ObjectLock
from storage.core.model import JobId, ObjectKey, Outcome, Tombstone
from storage.core.ports import EngineStores, Stores
from storage.engine.actions.base import BatchSize, Touches, Work, changed_owner, tombstone_of
from storage.engine.actions.recheck import referred
from storage.engine.actions.removal import Now, Removal, remove

DAY = timedelta(days=1)
OVERTAKEN = "PreconditionFailed"  # error code of stores that check the etag of a bulk delete


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteObject:
    """Delete an object if it is still the one that was seen and its job has not changed."""

    verb: ClassVar[str] = "delete"
    touches: ClassVar[Touches] = "object"
    batch_size: ClassVar[BatchSize] = BatchSize(1000)

    key: str
    size: int
    etag: str
    last_modified: datetime
    reason: str
    owner: str | None = None
    owner_updated_at: datetime | None = None

    @classmethod
    def apply(cls, batch: Sequence[DeleteObject], work: Work[EngineStores]) -> list[Outcome]:
        removal = remove(batch, partial(_protected, stores=work.stores), work.stores.objects)
        return [_removed(action, removal) for action in batch]

    def holds(self, stores: EngineStores) -> bool:
        return _changed(self, {self.key: stores.objects.head(ObjectKey(self.key))}) is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class CondemnObject:
    """Write a tombstone for an object; reap deletes the object once ``delete_after`` has passed."""

    verb: ClassVar[str] = "condemn"
    touches: ClassVar[Touches] = "object"
    batch_size: ClassVar[BatchSize] = BatchSize(1000)

    key: str
    size: int
    etag: str
    last_modified: datetime
    delete_after: datetime
    notice_seconds: float
    reason: str
    owner: str | None = None
    owner_updated_at: datetime | None = None
    goes_with_job: bool = False

    @classmethod
    def apply(cls, batch: Sequence[CondemnObject], work: Work[Stores]) -> list[Outcome]:
        refused = work.stores.tombstones.condemn([_tombstone(action, work) for action in batch])
        return [
            Outcome("skipped", refused[action.key], action.size)
            if action.key in refused
            else Outcome("done", bytes=action.size)
            for action in batch
        ]

    def holds(self, stores: Stores) -> bool:
        return self.key in stores.tombstones.open_keys(stores.objects.bucket, [self.key])


@dataclass(frozen=True, slots=True, kw_only=True)
class ReapObject:
    """Delete a condemned object that is due, if it is unchanged and not referenced."""

    verb: ClassVar[str] = "reap"
    touches: ClassVar[Touches] = "object"
    batch_size: ClassVar[BatchSize] = BatchSize(1000)

    tombstone: int
    key: str
    size: int
    etag: str
    last_modified: datetime
    reason: str
    owner: str | None = None
    owner_updated_at: datetime | None = None
    goes_with_job: bool = False

    @classmethod
    def apply(cls, batch: Sequence[ReapObject], work: Work[Stores]) -> list[Outcome]:
        tombstones = work.stores.tombstones
        begun = tombstones.begin([action.tombstone for action in batch])
        open_now = [action for action in batch if action.tombstone in begun]
        removal = remove(open_now, partial(_retained, stores=work.stores), work.stores.objects)
        for action in open_now:
            if why := removal.blocked.get(action.key):
                tombstones.finish([action.tombstone], "kept", why)
            elif lock := removal.lock(action.key):
                tombstones.postpone([action.tombstone], _next_try(lock, work.stores), str(lock))
        left = removal.blocked.keys() | removal.refused.keys()
        tombstones.finish([a.tombstone for a in open_now if a.key not in left], "reaped")
        undone = Outcome("skipped", "no longer condemned")
        return [
            _removed(action, removal) if action.tombstone in begun else replace(undone, bytes=action.size)
            for action in batch
        ]

    def holds(self, stores: Stores) -> bool:
        return _changed(self, {self.key: stores.objects.head(ObjectKey(self.key))}) is not None


def _protected(batch: Sequence[DeleteObject], now: Now, stores: EngineStores) -> dict[str, str]:
    """Return the objects that must not be deleted after all, each with the reason."""
    jobs = stores.jobs.get({JobId(action.owner) for action in batch if action.owner})
    blocked = {
        action.key: why
        for action in batch
        if (why := changed_owner(action.owner, action.owner_updated_at, jobs) or _changed(action, now))
    }
    return blocked | referred(stores, [action.key for action in batch if action.key not in blocked])


def _changed(action: DeleteObject | ReapObject, now: Now) -> str | None:
    """Return why the object is not the one that was seen; None if it is."""
    info = now.get(action.key)
    if info is None:
        return "already gone"
    if (info.etag, info.last_modified) != (action.etag, action.last_modified):
        return "written anew since it was seen"
    return None


def _retained(batch: Sequence[ReapObject], now: Now, stores: Stores) -> dict[str, str]:
    """Return the condemned objects that must be kept after all, each with the reason."""
    owners = {JobId(action.owner) for action in batch if action.owner}
    jobs, claimed = stores.jobs.get(owners), stores.tombstones.claimed(owners)
    retained: dict[str, str] = {}
    for action in batch:
        row = jobs.get(JobId(action.owner)) if action.owner else None
        if action.goes_with_job:
            cleaned = row is not None and row.status == "cleaned_up" and action.owner in claimed
            left = f"job {action.owner} was not cleaned up: retried, refused, or its row is gone"
            why = None if cleaned else left
        else:
            why = changed_owner(action.owner, action.owner_updated_at, jobs)
        if why or (now[action.key] and (why := _changed(action, now))):
            retained[action.key] = why
    return retained | referred(stores, [action.key for action in batch if action.key not in retained])


def _next_try(lock: ObjectLock, stores: EngineStores) -> datetime:
    """Return when to try again: at the end of the lock, and at least once a day, for it may be lifted."""
    tomorrow = stores.clock() + DAY
    return min(lock.until, tomorrow) if lock.until else tomorrow


def _tombstone(action: CondemnObject, work: Work[Stores]) -> Tombstone:
    seen = f"{action.etag} {action.last_modified.isoformat()}"
    return tombstone_of(action, work, "object", work.stores.objects.bucket, seen)


def _removed(action: DeleteObject | ReapObject, removal: Removal[Any]) -> Outcome:
    if why := removal.blocked.get(action.key):
        return Outcome("skipped", why, action.size)
    if failure := removal.refused.get(action.key):
        if failure.lock:
            return Outcome("skipped", str(failure.lock), action.size)
        if failure.code == OVERTAKEN:
            return Outcome("skipped", "written anew since it was seen", action.size)
        return Outcome("failed", f"{failure.code}: {failure.message}", action.size)
    if action.key in removal.absent:
        return Outcome("skipped", "already gone", action.size)
    return Outcome("done", bytes=action.size)
