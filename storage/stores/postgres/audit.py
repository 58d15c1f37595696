"""Audit trail in the schema ``maintenance``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, Engine

from storage.core.errors import Refused
from storage.core.records import Question
from storage.stores.postgres.connection import Statements, as_json


class PostgresAudit:
    """Adapter for :class:`storage.core.records.AuditLog` on PostgreSQL."""

    def __init__(self, engine: Engine) -> None:
        self._sql = Statements(engine, "runs")

    def record(self, event: str, run_id: str, detail: Mapping[str, Any]) -> None:
        self._sql.rows("audit", event=event, run_id=run_id, detail=as_json(dict(detail)))

    def ask(self, request: str, task: str, what: str) -> Question:
        self.record("ask", request, {"task": task, "what": what})
        return _known(self.question(request), request)

    def answer(self, request: str, task: str, approved: bool, by: str) -> Question:
        with self._sql.transaction() as connection:
            self._sql.rows_in(connection, "lock_request", request=request)  # or two first answers might count
            asked = _known(self._question(connection, request, task), request)
            if asked.approved is None:
                event = "approve" if approved else "reject"
                detail = {"task": task, "what": asked.what, "by": by}
                self._sql.rows_in(connection, "audit", event=event, run_id=request, detail=as_json(detail))
            return _known(self._question(connection, request, task), request)

    def question(self, request: str) -> Question | None:
        with self._sql.transaction() as connection:
            return self._question(connection, request)

    def _question(self, connection: Connection, request: str, task: str | None = None) -> Question | None:
        rows = self._sql.rows_in(connection, "question", request=request, task=task)
        return Question(**rows[0]) if rows else None


def _known(question: Question | None, request: str) -> Question:
    if question is None:
        raise Refused(
            "approval", f"{request} has asked nothing. Clear the task approve, or trigger the DAG again."
        )
    return question
