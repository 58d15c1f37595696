"""References to objects from the pipeline's job rows, by the columns that name an output."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Engine

from storage.stores.postgres.connection import Statements


class PostgresReferences:
    """Adapter for :class:`storage.core.records.References` on PostgreSQL."""

    def __init__(self, engine: Engine) -> None:
        self._sql = Statements(engine, "jobs")

    def of(self, keys: Sequence[str]) -> dict[str, str]:
        if not keys:
            return {}
        rows = self._sql.rows("referenced", keys=list(keys))
        return {str(row["key"]): f"job {row['id']}" for row in rows}
