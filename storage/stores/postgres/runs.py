"""Runs, batches, locks and control values in the schema ``maintenance``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, fields
from typing import Any, get_args

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from storage.core.capabilities import Capabilities
from storage.core.errors import (
    JobBusy,
    LockLost,
    NoSuchRun,
    PlanBegun,
    PlanChanged,
    PlanRejected,
    Refused,
    RunBegun,
)
from storage.core.model import ACTED, Outcome, Run, RunState, Totals
from storage.core.records import Pause, pause_of
from storage.stores.postgres.connection import Statements, as_json, translated

_TOTALS = ("considered", "planned", "done", "skipped", "failed")


class PostgresRuns:
    """Adapter for :class:`storage.core.records.RunLog` on PostgreSQL."""

    def __init__(self, engine: Engine) -> None:
        self._sql = Statements(engine, "runs")

    def save(self, run: Run) -> None:
        values = {field.name: getattr(run, field.name) for field in fields(run) if field.name not in _TOTALS}
        for name in _TOTALS:
            total = getattr(run, name)
            values |= {f"{name}_count": total.count, f"{name}_bytes": total.bytes}
        documents = {name: as_json(dict(getattr(run, name))) for name in ("params", "kept")}
        if not self._sql.rows("save", **values | documents):
            known = self.get(run.id)
            if known and known.state in ACTED:
                raise RunBegun(run.id, known.state)
            raise PlanRejected(run.id, "rejected meanwhile")

    def get(self, run_id: str) -> Run | None:
        rows = self._sql.rows("get", id=run_id)
        return run_of(rows[0]) if rows else None

    def latest(self, job: str | None = None, limit: int = 20, state: str | None = None) -> list[Run]:
        if job is None and state is None:
            return [run_of(row) for row in self._sql.rows("latest_of_all", limit=limit)]
        return [run_of(row) for row in self._sql.rows("latest", job=job, limit=limit, state=state)]

    def newest(self, jobs: Sequence[str]) -> list[Run]:
        return [
            run_of(row) for row in self._sql.rows("newest", jobs=list(jobs), states=list(get_args(RunState)))
        ]

    def approve(self, run_id: str, sha256: str, by: str) -> None:
        if run := self._decide("approve", run_id, sha256, by):
            if run.state == "rejected":
                raise PlanRejected(run_id, run.message)
            raise Refused("guard", run.message)

    def reject(self, run_id: str, sha256: str, by: str) -> None:
        run = self._decide("reject", run_id, sha256, by)
        if run and run.state != "rejected":
            raise PlanBegun(run_id, run.state)

    def _decide(self, decision: str, run_id: str, sha256: str, by: str) -> Run | None:
        """Record a decision on the run's plan with its audit entry; return the run if its state forbids it.

        Raises NoSuchRun or PlanChanged.
        """
        with self._sql.transaction() as connection:
            if self._sql.rows_in(connection, decision, id=run_id, sha256=sha256, by=by):
                detail = as_json({"sha256": sha256, "by": by})
                self._sql.rows_in(connection, "audit", event=decision, run_id=run_id, detail=detail)
                return None
        run = self.get(run_id)
        if run is None:
            raise NoSuchRun(run_id)
        if run.plan_sha256 != sha256:
            raise PlanChanged(run.plan_uri or run_id, run.plan_sha256, sha256)
        return run

    def ask(self, run_id: str, sha256: str, task: str) -> None:
        if not self._sql.rows("ask", id=run_id, sha256=sha256, task=task):
            raise PlanChanged(run_id, "another one", sha256)

    def asked(self, task: str) -> tuple[str, str] | None:
        rows = self._sql.rows("asked", task=task)
        return (rows[0]["id"], rows[0]["asked_sha256"]) if rows else None

    @contextmanager
    def lock(self, job: str, *, shared: bool = False) -> Iterator[Callable[[], None]]:
        """Hold a session-level advisory lock, which the server releases when this process dies."""
        with translated(), self._sql.engine.connect() as connection:
            if not self._sql.rows_in(connection, "try_lock", job=job, shared=shared)[0]["held"]:
                raise JobBusy(job)
            connection.commit()

            def still_held() -> None:
                try:
                    connection.exec_driver_sql("SELECT 1")
                    connection.commit()
                except DBAPIError as error:
                    raise LockLost(job) from error

            try:
                yield still_held
            finally:
                self._unlock(connection, job, shared)

    def _unlock(self, connection: Connection, job: str, shared: bool) -> None:
        """Release the lock. A lost session has released it already, and must not mask the block's error."""
        try:
            if not connection.invalidated:
                self._sql.rows_in(connection, "unlock", job=job, shared=shared)
                connection.commit()
        except DBAPIError:
            connection.invalidate()

    def finished(self, run_id: str) -> dict[int, tuple[int, ...]]:
        return {row["number"]: tuple(row["not_done"]) for row in self._sql.rows("finished", run_id=run_id)}

    def finish_batch(
        self, run_id: str, number: int, outcomes: Sequence[Outcome], not_done: Sequence[int], *, first: int
    ) -> None:
        values: dict[str, Any] = {"run_id": run_id, "number": number, "first_line": first}
        for status in ("done", "skipped", "failed"):
            mine = [outcome for outcome in outcomes if outcome.status == status]
            values |= {f"{status}_count": len(mine), f"{status}_bytes": sum(o.bytes for o in mine)}
        why = Counter((o.status, o.detail) for o in outcomes if o.status != "done")
        # Always kept: an attempt that was killed may have deleted these.
        gone = {key: count for key, count in why.items() if key == ("skipped", "already gone")}
        kept = dict(why.most_common(50)) | gone
        details = as_json([[status, reason, count] for (status, reason), count in kept.items()])
        self._sql.rows("finish_batch", not_done=list(not_done), details=details, **values)

    def totals(self, run_id: str) -> tuple[Totals, Totals, Totals]:
        row = self._sql.rows("totals", run_id=run_id)[0]
        done, skipped, failed = (_total(row, name) for name in ("done", "skipped", "failed"))
        return done, skipped, failed

    def details(self, run_id: str) -> list[tuple[str, str, int]]:
        return [(r["status"], r["reason"], r["count"]) for r in self._sql.rows("details", run_id=run_id)]


class PostgresControl:
    """Adapter for :class:`storage.core.records.Control` on PostgreSQL, with ``endpoint``'s capabilities."""

    def __init__(self, engine: Engine, endpoint: str) -> None:
        self._sql, self._endpoint = Statements(engine, "runs"), endpoint

    def read(self, name: str) -> str | None:
        rows = self._sql.rows("read", name=name)
        return rows[0]["value"] if rows else None

    def write(self, name: str, value: str | None) -> None:
        if value is None:
            self._sql.rows("erase", name=name)
        else:
            self._sql.rows("write", name=name, value=value)

    def paused(self) -> Pause | None:
        rows = self._sql.rows("read", name="paused")
        return pause_of(rows[0]["value"], rows[0]["changed_at"]) if rows else None

    def capabilities(self) -> Capabilities:
        rows = self._sql.rows("capabilities", endpoint=self._endpoint)
        found = rows[0]["found"] if rows else {}
        known = {field.name for field in fields(Capabilities)}
        values: dict[str, Any] = {
            k: tuple(v) if isinstance(v, list) else v for k, v in found.items() if k in known
        }
        return Capabilities(**values)

    def save_capabilities(self, found: Capabilities) -> None:
        self._sql.rows("save_capabilities", endpoint=self._endpoint, found=as_json(asdict(found)))


def _total(row: Mapping[str, Any], name: str) -> Totals:
    return Totals(row[f"{name}_count"], row[f"{name}_bytes"])


def run_of(row: Mapping[str, Any]) -> Run:
    values = {field.name: row[field.name] for field in fields(Run) if field.name not in _TOTALS}
    return Run(**values | {name: _total(row, name) for name in _TOTALS})
