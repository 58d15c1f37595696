"""Audit trail in the schema ``maintenance``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Engine

from storage.stores.postgres.connection import Statements, as_json


class PostgresAudit:
    """Adapter for :class:`storage.core.records.AuditLog` on PostgreSQL."""

    def __init__(self, engine: Engine) -> None:
        self._sql = Statements(engine, "runs")

    def record(self, event: str, run_id: str, detail: Mapping[str, Any]) -> None:
        self._sql.rows("audit", event=event, run_id=run_id, detail=as_json(dict(detail)))
