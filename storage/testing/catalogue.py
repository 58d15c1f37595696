"""In-memory catalogue of backups."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from storage.backup.model import Backup, BackupId, BackupKind, BackupState
from storage.testing.database import Database


class MemoryCatalogue:
    """In-memory Catalogue."""

    def __init__(self, database: Database) -> None:
        self._rows, self._traffic = database.backups, database.traffic
        self._lock = database.lock

    def save(self, backup: Backup) -> None:
        with self._lock:
            known = self._rows.get(backup.id)
            self._rows[backup.id] = replace(backup, pinned=known.pinned) if known else backup

    def get(self, id: BackupId) -> Backup | None:
        return self._rows.get(id)

    def all(self, kind: BackupKind | None = None) -> list[Backup]:
        found = [backup for backup in self._rows.values() if kind in (None, backup.kind)]
        return sorted(found, key=lambda backup: (backup.taken_at, backup.id), reverse=True)

    def move(self, id: BackupId, seen: Sequence[BackupState], to: BackupState, message: str = "") -> bool:
        self._traffic("catalogue.move")
        with self._lock:
            known = self._rows.get(id)
            if known is None or known.state not in seen:
                return False
            self._rows[id] = replace(known, state=to, message=message)
            return True

    def pin(self, id: BackupId, reason: str) -> bool:
        with self._lock:
            known = self._rows.get(id)
            if known:
                self._rows[id] = replace(known, pinned=reason)
            return known is not None

    def newest_proven(self, kind: BackupKind, until: datetime) -> Backup | None:
        proven = (backup for backup in self.all(kind) if backup.state == "proven" and backup.proven_at)
        return next((backup for backup in proven if backup.taken_at <= until), None)
