"""Catalogue of backups, in the schema ``maintenance``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import datetime
from typing import Any

from sqlalchemy import Engine

from storage.backup.model import Backup, BackupId, BackupKind, BackupState
from storage.stores.postgres.connection import Statements, as_json


class PostgresCatalogue:
    """A :class:`storage.backup.ports.Catalogue` on PostgreSQL."""

    def __init__(self, engine: Engine) -> None:
        self._sql = Statements(engine, "backups")

    def save(self, backup: Backup) -> None:
        values = {field.name: getattr(backup, field.name) for field in fields(Backup)}
        self._sql.rows("save", **values | {"certificate": as_json(dict(backup.certificate))})

    def get(self, id: BackupId) -> Backup | None:
        rows = self._sql.rows("get", id=id)
        return _backup(rows[0]) if rows else None

    def all(self, kind: BackupKind | None = None) -> list[Backup]:
        return [_backup(row) for row in self._sql.rows("all", kind=kind)]

    def move(self, id: BackupId, seen: Sequence[BackupState], to: BackupState, message: str = "") -> bool:
        return bool(self._sql.rows("move", id=id, seen=list(seen), to=to, message=message))

    def pin(self, id: BackupId, reason: str) -> bool:
        return bool(self._sql.rows("pin", id=id, reason=reason))

    def newest_proven(self, kind: BackupKind, until: datetime) -> Backup | None:
        rows = self._sql.rows("newest_proven", kind=kind, until=until)
        return _backup(rows[0]) if rows else None


def _backup(row: Mapping[str, Any]) -> Backup:
    values = {field.name: row[field.name] for field in fields(Backup)}
    return Backup(**values | {"id": BackupId(row["id"])})
