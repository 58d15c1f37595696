"""Verbs on objects: delete, condemn, reap."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from storage.core.errors import StoreRefused
from storage.core.model import DeleteTarget, JobId, ObjectInfo, ObjectKey, Outcome, Tombstone
from storage.core.ports import EngineStores, Stores
from storage.engine.actions.base import BatchSize, Touches, Work, changed_owner, tombstone_of
from storage.engine.actions.recheck import look_again, referred

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
        now = look_again(work.stores.objects, (action.key for action in batch))
        jobs = work.stores.jobs.get({JobId(action.owner) for action in batch if action.owner})
        blocked = {
            action.key: why
            for action in batch
            if (why := changed_owner(action.owner, action.owner_updated_at, jobs) or _changed(action, now))
        }
        blocked |= referred(work.stores, [action.key for action in batch if action.key not in blocked])
        failed = _delete(work, [info for key, info in now.items() if info and key not in blocked])
        return [_outcome(action, blocked, failed) for action in batch]

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
        return [_outcome(action, refused, {}) for action in batch]

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
        now = look_again(work.stores.objects, (action.key for action in open_now))
        retained = _retained(open_now, now, work.stores)
        to_delete = [info for action in open_now if action.key not in retained and (info := now[action.key])]
        failed = _delete(work, to_delete)
        for action in open_now:
            if action.key in retained:
                tombstones.finish([action.tombstone], "kept", retained[action.key])
        gone = [a.tombstone for a in open_now if a.key not in retained and a.key not in failed]
        tombstones.finish(gone, "reaped")
        undone = {a.key: "no longer condemned" for a in batch if a.tombstone not in begun}
        absent = {a.key: "already gone" for a in open_now if now[a.key] is None and a.key not in retained}
        return [_outcome(action, {**undone, **retained, **absent}, failed) for action in batch]

    def holds(self, stores: Stores) -> bool:
        return _changed(self, {self.key: stores.objects.head(ObjectKey(self.key))}) is not None


def _changed(action: DeleteObject | ReapObject, now: dict[str, ObjectInfo | None]) -> str | None:
    """Return why the object is not the one that was seen; None if it is."""
    info = now.get(action.key)
    if info is None:
        return "already gone"
    if (info.etag, info.last_modified) != (action.etag, action.last_modified):
        return "written anew since it was seen"
    return None


def _retained(
    batch: Sequence[ReapObject], now: dict[str, ObjectInfo | None], stores: Stores
) -> dict[str, str]:
    """Return the condemned objects that must be kept after all, each with the reason."""
    owners = {JobId(action.owner) for action in batch if action.owner}
    jobs, claimed = stores.jobs.get(owners), stores.tombstones.claimed(owners)
    retained: dict[str, str] = {}
    for action in batch:
        row = jobs.get(JobId(action.owner)) if action.owner else None
        if action.goes_with_job:
            cleaned = row is not None and row.status == "cleaned_up" and action.owner in claimed
            why = (
                None
                if cleaned
                else f"job {action.owner} was not cleaned up: retried, refused, or its row is gone"
            )
        else:
            why = changed_owner(action.owner, action.owner_updated_at, jobs)
        if why or (now[action.key] and (why := _changed(action, now))):
            retained[action.key] = why
    return retained | referred(stores, [action.key for action in batch if action.key not in retained])


def _delete(work: Work[EngineStores], objects: Sequence[ObjectInfo]) -> dict[str, str]:
    """Delete exactly these objects; return {key: reason} for those the store failed to delete."""
    if not objects:
        return {}
    targets = [DeleteTarget(info.key, info.etag, info.versions) for info in objects]
    failed = {f.key: f"{f.code}: {f.message}" for f in work.stores.objects.delete(targets)}
    if strange := sorted(failed.keys() - {info.key for info in objects}):
        raise StoreRefused(strange[0], f"an error for a key that was not sent ({failed[strange[0]]})")
    return failed


def _tombstone(action: CondemnObject, work: Work[Stores]) -> Tombstone:
    seen = f"{action.etag} {action.last_modified.isoformat()}"
    return tombstone_of(action, work, "object", work.stores.objects.bucket, seen)


def _outcome(
    action: DeleteObject | CondemnObject | ReapObject, skipped: dict[str, str], failed: dict[str, str]
) -> Outcome:
    if failed.get(action.key, "").startswith(OVERTAKEN):
        return Outcome("skipped", "written anew since it was seen", action.size)
    if action.key in failed:
        return Outcome("failed", failed[action.key], action.size)
    if action.key in skipped:
        return Outcome("skipped", skipped[action.key], action.size)
    return Outcome("done", bytes=action.size)
