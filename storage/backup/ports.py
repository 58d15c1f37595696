"""Protocols that backups need beside :mod:`storage.core.ports`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from storage.backup.model import Backup, BackupId, BackupKind, BackupState
from storage.core.ports import ObjectStore, Stores
from storage.core.records import UploadJournal


class Catalogue(Protocol):
    """Record of backups, which can be rebuilt from the bucket's manifests. These are authoritative."""

    def save(self, backup: Backup) -> None:
        """Insert the row, or overwrite all of it but the pin."""
        ...

    def get(self, id: BackupId) -> Backup | None: ...

    def all(self, kind: BackupKind | None = None) -> list[Backup]:
        """Return every backup, also expired ones, newest first."""
        ...

    def move(self, id: BackupId, seen: Sequence[BackupState], to: BackupState, message: str = "") -> bool:
        """Compare and set the state; return True if this call changed it."""
        ...

    def pin(self, id: BackupId, reason: str) -> bool:
        """Pin the backup for ever ('' unpins it); return False if there is no such backup."""
        ...

    def newest_proven(self, kind: BackupKind, until: datetime) -> Backup | None:
        """Return the newest backup proven by this installation; a certificate in the bucket is not enough.

        One dated after ``until`` does not count: a clock was wrong when it was taken.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class BackupStores(Stores):
    """Shared stores, plus the backup bucket with its catalogue and upload journal."""

    backup_bucket: ObjectStore
    catalogue: Catalogue
    backup_uploads: UploadJournal
