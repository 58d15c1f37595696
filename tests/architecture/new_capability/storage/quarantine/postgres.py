"""Keep the notes of quarantined objects in PostgreSQL."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict

from sqlalchemy import Engine

from storage.quarantine.ports import Note
from storage.stores.postgres.connection import Statements


class PostgresQuarantine:
    """Implement :class:`storage.quarantine.ports.QuarantineLog` for one bucket."""

    def __init__(self, engine: Engine, bucket: str) -> None:
        self._sql, self._bucket = Statements(engine, "quarantine"), str(bucket)

    def etags(self, keys: Sequence[str]) -> dict[str, str]:
        rows = self._sql.rows("etags", bucket=self._bucket, keys=list(keys))
        return {row["key"]: row["etag"] for row in rows}

    def note(self, notes: Sequence[Note]) -> None:
        values = json.dumps([asdict(one) for one in notes], default=lambda when: when.isoformat())
        self._sql.rows("note", bucket=self._bucket, notes=values)

    def all(self) -> list[Note]:
        return [Note(**row) for row in self._sql.rows("all", bucket=self._bucket)]
