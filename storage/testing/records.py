"""References, audit trail and proven backups in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from storage.core.errors import Refused
from storage.core.model import JobId
from storage.core.records import Question
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

    def ask(self, request: str, task: str, what: str) -> Question:
        with self._db.lock:
            self.record("ask", request, {"task": task, "what": what})
            return self._question(request, task)

    def answer(self, request: str, task: str, approved: bool, by: str) -> Question:
        with self._db.lock:
            asked = self._question(request, task)
            if asked.approved is None:
                event = "approve" if approved else "reject"
                detail = {"task": task, "what": asked.what, "by": by}
                for_whom = task if approved else ""
                answer = Question(asked.what, approved, by, self._db.now())
                self._db.answered[request, asked.what, for_whom] = answer
                self.record(event, request, detail)
            return self._question(request, task)

    def question(self, request: str) -> Question | None:
        with self._db.lock:
            return self._question(request) if self._asked(request) else None

    def _question(self, request: str, task: str | None = None) -> Question:
        asked = [one for one in self._asked(request) if task in (None, one["task"])]
        if not asked:
            raise Refused(
                "approval", f"{request} has asked nothing. Clear the task approve, or trigger the DAG again."
            )
        what, asking = str(asked[-1]["what"]), str(asked[-1]["task"])
        known = self._db.answered
        return known.get((request, what, "")) or known.get((request, what, asking)) or Question(what)

    def _asked(self, request: str) -> list[Mapping[str, Any]]:
        return [detail for event, run_id, detail in self._db.audit if (event, run_id) == ("ask", request)]


class MemoryProvenBackups:
    """In-memory ProvenBackups, read from the catalogue of the same database."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def newest(self, until: datetime) -> datetime | None:
        proven = [
            backup
            for backup in self._db.backups.values()
            if backup.kind == "database"
            and backup.state == "proven"
            and backup.proven_at
            and backup.taken_at <= until
        ]
        return max((backup.taken_at for backup in proven), default=None)
