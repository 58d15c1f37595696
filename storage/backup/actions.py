"""The verb on backups: prune."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain, islice
from typing import ClassVar

from storage.backup.model import MANIFEST, Backup, BackupId, BackupKind, BackupState, folder
from storage.backup.ports import BackupStores
from storage.core.errors import JobBusy
from storage.core.model import DeleteTarget, ObjectInfo, ObjectKey, Outcome, Prefix, UploadInfo
from storage.core.ports import ObjectStore
from storage.engine.actions.base import BatchSize, Touches, Work
from storage.engine.actions.uploads import TRIES

PROOF = "prove"  # the lock proofs are made under
DELETE_BATCH = 1000  # objects deleted by one request


@dataclass(frozen=True, slots=True, kw_only=True)
class PruneBackup:
    """Give up one backup: its row expires, then its manifest goes, then all else in its folder.

    The row is first, for it is compared and set before anything is lost, and so that no backup ever counts
    whose manifest is gone; the manifest is the first object, so that one with a manifest is whole.
    ``state`` is the row's when it was seen, ``minimum`` how many other proven ones there must be.
    """

    verb: ClassVar[str] = "prune"
    touches: ClassVar[Touches] = "backup"
    batch_size: ClassVar[BatchSize] = BatchSize(
        1
    )  # a backup is large: the kill switch is read before each one

    id: str
    kind: BackupKind
    state: BackupState
    size: int
    minimum: int
    reason: str

    @property
    def key(self) -> Prefix:
        """Its folder in the backup bucket."""
        return folder(self.kind, BackupId(self.id))

    @property
    def _manifest(self) -> ObjectKey:
        return ObjectKey(self.key + MANIFEST)

    @classmethod
    def apply(cls, batch: Sequence[PruneBackup], work: Work[BackupStores]) -> list[Outcome]:
        return [action._prune(work.stores) for action in batch]

    def _prune(self, stores: BackupStores) -> Outcome:
        try:
            with stores.runs.lock(PROOF):  # or a proof begun before would enter it as proven again
                if why := self._expire(stores):
                    return Outcome("skipped", why, self.size)
                manifest = stores.backup_bucket.head(self._manifest)
                freed, refused = _delete(stores.backup_bucket, [manifest] if manifest else [])
        except JobBusy:
            return Outcome("skipped", "a backup is being proven; it goes with a later run", self.size)
        if not refused:
            rest, refused = _empty(stores.backup_bucket, self.key)
            freed += rest
        refused = refused or _abort(stores, self.key)
        return Outcome("failed", refused, self.size) if refused else Outcome("done", bytes=freed)

    def _expire(self, stores: BackupStores) -> str | None:
        """Turn the row to expired; why it must stay, None when it may go.

        A pin that came between the look and the turn is seen here, before anything is lost.
        """
        row = stores.catalogue.get(BackupId(self.id))
        if row is None or row.kind != self.kind:
            return "no longer in the catalogue"
        if why := self._blocked(row, stores):
            return why
        if not stores.catalogue.move(row.id, [row.state], "expired", self.reason):
            return "has moved on since it was looked at"
        again = stores.catalogue.get(row.id)
        if again and again.pinned:
            stores.catalogue.move(row.id, ["expired"], row.state, row.message)
            return _pinned(again)
        return None

    def _blocked(self, row: Backup, stores: BackupStores) -> str | None:
        """Why it must stay after all."""
        if row.state not in (self.state, "expired"):
            return f"has moved on since the plan (now {row.state})"
        if row.pinned:
            return _pinned(row)
        others = [one for one in stores.catalogue.all(row.kind) if one.state == "proven" and one.id != row.id]
        if not others or _order(others[0]) < _order(row):
            return "no newer backup is proven"
        if len(others) < self.minimum:
            return f"only {len(others)} others are proven, {self.minimum} must stay"
        if stores.backup_bucket.head(ObjectKey(folder(row.kind, others[0].id) + MANIFEST)) is None:
            return f"the newest proven one, {others[0].id}, has lost its manifest"
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


def _delete(backup_bucket: ObjectStore, objects: Sequence[ObjectInfo]) -> tuple[int, str]:
    """Delete these with all their versions; the bytes that went, and why one did not ('' for none)."""
    failed = backup_bucket.delete([DeleteTarget(info.key, info.etag, info.versions) for info in objects])
    if failed:
        return 0, f"{failed[0].code}: {failed[0].message} ({failed[0].key})"
    return sum(info.size for info in objects), ""


def _empty(backup_bucket: ObjectStore, place: Prefix) -> tuple[int, str]:
    """Delete all that lies in a backup's folder; as :func:`_delete`."""
    freed, things = 0, backup_bucket.scan(place)
    while some := list(islice(things, DELETE_BATCH)):
        bytes, refused = _delete(backup_bucket, some)
        freed += bytes
        if refused:
            return freed, refused
    return freed, ""


def _abort(stores: BackupStores, place: Prefix) -> str:
    """Abort the uploads into a backup's folder; why one is left, '' for none."""
    known = chain(stores.backup_uploads.open(), stores.backup_bucket.uploads())  # a store may forget uploads
    theirs = {one.upload_id: one for one in known if one.key.startswith(place)}
    return next((why for one in theirs.values() if (why := _abort_one(stores, one))), "")


def _abort_one(stores: BackupStores, upload: UploadInfo) -> str:
    for _ in range(TRIES):
        stores.backup_bucket.abort(upload.key, upload.upload_id)
        if stores.backup_bucket.parts(upload.key, upload.upload_id) is None:
            stores.backup_uploads.close(upload.upload_id)
            return ""
    return f"the upload of {upload.key} is still there after {TRIES} aborts"
