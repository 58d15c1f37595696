"""The prune action on backups."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain, islice
from typing import ClassVar

from storage.backup.model import MANIFEST, Backup, BackupId, BackupKind, BackupState, folder
from storage.backup.ports import BackupStores
from storage.core.deletion import Failure
from storage.core.errors import JobBusy
from storage.core.model import ObjectInfo, ObjectKey, Outcome, Prefix, UploadInfo
from storage.core.ports import ObjectStore
from storage.engine.actions.base import BatchSize, Touches, Work
from storage.engine.actions.removal import remove
from storage.engine.actions.uploads import TRIES

PROOF = "prove"  # the lock held during a proof
DELETE_BATCH = 1000  # objects deleted by one request


@dataclass(frozen=True, slots=True, kw_only=True)
class PruneBackup:
    """Prune one backup: expire its row, delete its manifest, then all other objects in its folder.

    The row is first, because it is compared and set before anything is lost, and so that no backup ever
    counts whose manifest is gone; the manifest is the first object, so that a backup with a manifest is
    complete. ``state`` is the row's state when it was planned, ``minimum`` how many other proven backups
    there must be.
    """

    verb: ClassVar[str] = "prune"
    touches: ClassVar[Touches] = "backup"
    #: A backup is large: the kill switch is read before each.
    batch_size: ClassVar[BatchSize] = BatchSize(1)

    id: str
    kind: BackupKind
    state: BackupState
    size: int
    minimum: int
    reason: str

    @property
    def key(self) -> Prefix:
        """Return the backup's folder in the backup bucket."""
        return folder(self.kind, BackupId(self.id))

    @property
    def _manifest(self) -> ObjectKey:
        return ObjectKey(self.key + MANIFEST)

    @classmethod
    def apply(cls, batch: Sequence[PruneBackup], work: Work[BackupStores]) -> list[Outcome]:
        return [action._prune(work.stores) for action in batch]

    def _prune(self, stores: BackupStores) -> Outcome:
        try:
            with stores.runs.lock(PROOF):  # else a proof already running would enter it as proven again
                if why := self._expire(stores):
                    return Outcome("skipped", why, self.size)
                manifest = stores.backup_bucket.head(self._manifest)
                freed, refused = _delete(stores.backup_bucket, [manifest] if manifest else [])
        except JobBusy:
            return Outcome("skipped", "a backup is being proven; a later run prunes this one", self.size)
        if not refused:
            rest, refused = _empty(stores.backup_bucket, self.key)
            freed += rest
        if refused:
            return _refused(refused, self.size)
        left = _abort(stores, self.key)
        return Outcome("failed", left, self.size) if left else Outcome("done", bytes=freed)

    def _expire(self, stores: BackupStores) -> str | None:
        """Turn the row to expired. Return the reason why the backup must stay, or None.

        A pin set between check and change of state is detected here, before anything is lost.
        """
        row = stores.catalogue.get(BackupId(self.id))
        if row is None or row.kind != self.kind:
            return "no longer in the catalogue"
        if why := self._blocked(row, stores):
            return why
        if not stores.catalogue.move(row.id, [row.state], "expired", self.reason):
            return "has moved on since it was read"
        again = stores.catalogue.get(row.id)
        if again and again.pinned:
            stores.catalogue.move(row.id, ["expired"], row.state, row.message)
            return _pinned(again)
        return None

    def _blocked(self, row: Backup, stores: BackupStores) -> str | None:
        """Return the reason why the backup must stay after all, or None."""
        if row.state not in (self.state, "expired"):
            return f"has moved on since the plan (now {row.state})"
        if row.pinned:
            return _pinned(row)
        proven = [backup for backup in stores.catalogue.all(row.kind) if backup.state == "proven"]
        others = [backup for backup in proven if backup.id != row.id]
        if not others or _order(others[0]) < _order(row):
            return "no newer backup is proven"
        if len(others) < self.minimum:
            return f"only {len(others)} others are proven, {self.minimum} must remain"
        if stores.backup_bucket.head(ObjectKey(folder(row.kind, others[0].id) + MANIFEST)) is None:
            return f"the newest proven backup, {others[0].id}, has lost its manifest"
        return None

    def holds(self, stores: BackupStores) -> bool:
        row = stores.catalogue.get(BackupId(self.id))
        expired = row is None or row.state == "expired"
        whole = stores.backup_bucket.head(self._manifest) is not None
        return expired and not whole and not stores.backup_bucket.page(self.key).objects


def _order(backup: Backup) -> tuple[datetime, str]:
    return backup.taken_at, backup.id


def _pinned(backup: Backup) -> str:
    return f"pinned since the plan: {backup.pinned}"


def _delete(backup_bucket: ObjectStore, objects: Sequence[ObjectInfo]) -> tuple[int, Failure | None]:
    """Delete the objects with all versions. Return the bytes freed, and the first failure if any."""
    now: dict[str, ObjectInfo | None] = {info.key: info for info in objects}
    refused = remove(objects, lambda left, now: {}, backup_bucket, now=now).refused
    if refused:
        return 0, next(iter(refused.values()))
    return sum(info.size for info in objects), None


def _empty(backup_bucket: ObjectStore, place: Prefix) -> tuple[int, Failure | None]:
    """Delete all objects in a backup's folder. Return the same as :func:`_delete`."""
    freed, objects = 0, backup_bucket.scan(place)
    while batch := list(islice(objects, DELETE_BATCH)):
        bytes, refused = _delete(backup_bucket, batch)
        freed += bytes
        if refused:
            return freed, refused
    return freed, None


def _refused(failure: Failure, size: int) -> Outcome:
    if failure.lock:
        return Outcome("skipped", f"{failure.lock}; a later run prunes the rest", size)
    return Outcome("failed", f"{failure.code}: {failure.message} ({failure.key})", size)


def _abort(stores: BackupStores, place: Prefix) -> str:
    """Abort the uploads into a backup's folder. Return the reason why one is left, or ''."""
    # Both are read, because a store may not list every upload.
    known = chain(stores.backup_uploads.open(), stores.backup_bucket.uploads())
    uploads = {upload.upload_id: upload for upload in known if upload.key.startswith(place)}
    return next((why for upload in uploads.values() if (why := _abort_one(stores, upload))), "")


def _abort_one(stores: BackupStores, upload: UploadInfo) -> str:
    for _ in range(TRIES):
        stores.backup_bucket.abort(upload.key, upload.upload_id)
        if stores.backup_bucket.parts(upload.key, upload.upload_id) is None:
            stores.backup_uploads.close(upload.upload_id)
            return ""
    return f"the upload of {upload.key} is still there after {TRIES} aborts"
