"""Operators' verdicts after a restore, in the schema ``maintenance``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Engine

from storage.core.model import JobId
from storage.core.records import PAUSED_BY_RESTORE, Ruling, Verdict
from storage.stores.postgres.connection import Statements, as_json

PAGE = 1000
Row = Mapping[str, Any]


class PostgresVerdicts:
    """Adapter for :class:`storage.core.records.Verdicts` on PostgreSQL."""

    def __init__(self, engine: Engine) -> None:
        self._sql, self._control = Statements(engine, "reconcile"), Statements(engine, "runs")

    def of(self, owners: Iterable[JobId], epoch: datetime | None = None) -> dict[JobId, Verdict]:
        rows = self._sql.rows("of", owners=list(owners), epoch=epoch)
        return {verdict.owner: verdict for verdict in map(_verdict, rows)}

    def condemned(self) -> Iterator[Verdict]:
        return map(_verdict, self._sql.pages("condemned", start={"last_owner": ""}, page=PAGE))

    def record(self, owners: Iterable[JobId], ruling: Ruling, epoch: datetime, by: str) -> None:
        self._sql.rows("record", owners=list(owners), verdict=ruling, epoch=epoch, by=by)

    def close(self, epoch: datetime, by: str, now: datetime) -> None:
        control, detail = self._control.rows_in, as_json({"epoch": epoch.isoformat(), "by": by})
        with self._sql.transaction() as connection:
            self._sql.rows_in(connection, "close", epoch=epoch, now=now)
            control(connection, "erase", name="restore_epoch")
            if _of_restore(control(connection, "read", name="paused")):  # a pause set by an operator stays
                control(connection, "erase", name="paused")
            control(connection, "write", name="history_from", value=now.isoformat())
            control(connection, "audit", event="reconciled", run_id="", detail=detail)


def _of_restore(rows: Sequence[Row]) -> bool:
    return bool(rows) and str(rows[0]["value"]).startswith(PAUSED_BY_RESTORE)


def _verdict(row: Row) -> Verdict:
    return Verdict(JobId(row["owner"]), row["verdict"], row["epoch"])
