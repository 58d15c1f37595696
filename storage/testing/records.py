"""References, audit trail and proven backups in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from storage.core.model import JobId
from storage.testing.database import OUTPUTS, Database


class MemoryReferences:
    """In-memory References: the outputs named in rows of jobs that are not cleaned up."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def of(self, keys: Sequence[str]) -> dict[str, str]:
        self._db.traffic("references.of")
        with self._db.lock:
            rows = {
                id: columns
                for id, columns in self._db.columns.items()
                if self._db.jobs[id].status != "cleaned_up"
            }
        named: dict[str, JobId] = {}
        for id in sorted(rows, reverse=True):  # of several jobs the first is reported
            named |= {rows[id][column]: id for column in OUTPUTS if rows[id].get(column)}
        return {key: f"job {named[key]}" for key in keys if key in named}


class MemoryAudit:
    """In-memory AuditLog."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def record(self, event: str, run_id: str, detail: Mapping[str, Any]) -> None:
        with self._db.lock:
            self._db.enter(event, run_id, dict(detail))


class MemoryProvenBackups:
    """In-memory ProvenBackups, read from the catalogue of the same database."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def newest(self) -> datetime | None:
        proven = [
            backup
            for backup in self._db.backups.values()
            if backup.kind == "database" and backup.state == "proven" and backup.proven_at
        ]
        return max((backup.taken_at for backup in proven), default=None)
