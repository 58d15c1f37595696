"""What backups need of the world beside :mod:`storage.core.ports`, as protocols."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from storage.backup.model import Backup, BackupId, BackupKind, BackupState
from storage.core.ports import ObjectStore, Stores
from storage.core.records import UploadJournal


class Catalogue(Protocol):
    """The record of backups. The bucket's manifests are the truth; this can be made anew from them."""

    def save(self, backup: Backup) -> None:
        """Write the row, or all of it anew but the pin."""
        ...

    def get(self, id: BackupId) -> Backup | None: ...

    def all(self, kind: BackupKind | None = None) -> list[Backup]:
        """Every backup, also expired ones, newest first."""
        ...

    def move(self, id: BackupId, seen: Sequence[BackupState], to: BackupState, message: str = "") -> bool:
        """Compare and set the state; whether this call turned it."""
        ...

    def pin(self, id: BackupId, reason: str) -> bool:
        """Keep it for ever ('' lifts that); whether there is such a backup."""
        ...

    def newest_proven(self, kind: BackupKind) -> Backup | None:
        """The newest that was proven here; what only a certificate in the bucket says was not."""
        ...


@dataclass(frozen=True, kw_only=True)
class BackupStores(Stores):
    """The shared stores, and the backup bucket with its catalogue and upload journal."""

    backup_bucket: ObjectStore
    catalogue: Catalogue
    backup_uploads: UploadJournal
