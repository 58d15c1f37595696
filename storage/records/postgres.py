"""Old records in the schema ``maintenance``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Engine

from storage.core.model import Run
from storage.engine.sweep import HISTORY
from storage.records.deletions import DELETE_NOTHING
from storage.records.model import Deletion, DoneBatch, OldRows, OldRun, Table
from storage.stores.postgres.connection import Statements
from storage.stores.postgres.runs import run_of

PAGE = 1000
_FIRST = {"tombstones": "0", "claims": "", "uploads": "", "audit": "0"}  # below every id of the table
_BEGINNING = "-infinity"
Row = Mapping[str, Any]


class PostgresRecords:
    """Adapter for :class:`storage.records.ports.Records` on PostgreSQL."""

    def __init__(self, engine: Engine) -> None:
        self._sql = Statements(engine, "records")

    def old_runs(self, before: datetime) -> Iterator[OldRun]:
        start = {"last_started_at": _BEGINNING, "last_id": ""}
        rows = self._sql.pages("old_runs", start=start, page=PAGE, before=before, newest=HISTORY)
        return (OldRun(run_of(row), row["marked"], row["recent"]) for row in rows)

    def batches(self, run: Run) -> list[DoneBatch]:
        rows = self._sql.rows("batches", run_id=run.id, sha256=run.plan_sha256)
        return [_batch(row) for row in rows]

    def delete_run(self, run: Run, before: datetime) -> bool:
        values = {"id": run.id, "state": run.state, "sha256": run.plan_sha256, "before": before}
        with self._sql.transaction() as connection:
            if not self._sql.rows_in(connection, "hold_run", **values):
                return False
            self._sql.rows_in(connection, "delete_batches", id=run.id)
            self._sql.rows_in(connection, "delete_run", id=run.id)
            return True

    def acted(self) -> Iterator[Run]:
        start = {"last_started_at": _BEGINNING, "last_id": ""}
        return map(run_of, self._sql.pages("acted", start=start, page=PAGE))

    def deleted_alone(self, key: str) -> list[Deletion]:
        rows = self._sql.rows("deleted_alone", key=key, nothing=sorted(DELETE_NOTHING))
        return [Deletion(**{**row, "at": row["at"].isoformat()}) for row in rows]

    def old_rows(self, table: Table, before: datetime) -> Iterator[OldRows]:
        at, id = _BEGINNING, _FIRST[table]
        while rows := self._sql.rows(f"old_{table}", before=before, last_at=at, last_id=id, page=PAGE):
            last = rows[-1]
            at, id = last["at"], str(last["id"])
            yield OldRows(table, before, rows[0]["at"], last["at"], id, len(rows))
            if len(rows) < PAGE:
                return

    def delete_rows(self, rows: OldRows) -> int:
        return len(self._sql.rows(f"delete_{rows.table}", **_range(rows)))

    def any_left(self, rows: OldRows) -> bool:
        return bool(self._sql.rows(f"left_{rows.table}", **_range(rows)))


def _range(rows: OldRows) -> dict[str, Any]:
    return {"before": rows.before, "since": rows.since, "until": rows.until, "last_id": rows.last_id}


def _batch(row: Row) -> DoneBatch:
    return DoneBatch(
        row["number"],
        row["first_line"],
        row["count"],
        frozenset(row["not_done"]),
        row["finished_at"],
        row["some_gone"],
    )
