"""Newest proven backup of the database, read from the catalogue in the schema ``maintenance``."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Engine

from storage.stores.postgres.connection import Statements


class PostgresProvenBackups:
    """Adapter for :class:`storage.core.records.ProvenBackups` on PostgreSQL."""

    def __init__(self, engine: Engine) -> None:
        self._sql = Statements(engine, "backups")

    def newest(self, until: datetime) -> datetime | None:
        rows = self._sql.rows("newest_proven", kind="database", until=until)
        taken_at: datetime | None = rows[0]["taken_at"] if rows else None
        return taken_at
