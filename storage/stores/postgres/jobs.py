"""Pipeline jobs, read and changed through the view defined in ``sql/mapping.sql``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from sqlalchemy import Engine

from storage.core.errors import StatementRefused
from storage.core.model import Job, JobId
from storage.stores.postgres import job_ids
from storage.stores.postgres.connection import LEFT, Statements

PAGE = 1000
_BEGINNING = datetime(1, 1, 2, tzinfo=UTC)


class PostgresJobs:
    """Adapter for :class:`storage.core.ports.JobStore` on PostgreSQL."""

    def __init__(self, engine: Engine) -> None:
        self._sql = Statements(engine, "jobs")

    def now(self) -> datetime:
        found: datetime = self._sql.rows("now")[0]["now"]
        return found

    def identity(self) -> str:
        return str(self._sql.rows("identity")[0]["identity"])

    def get(self, ids: Iterable[JobId]) -> dict[JobId, Job]:
        wanted = [job_id for job_id in ids if "\0" not in job_id]
        if not wanted:
            return {}
        written = job_ids.WRITTEN.get(self._type_of_ids, str)
        spelled = {job_id: written(job_id) for job_id in wanted}
        name = "get_folded" if self._type_of_ids == "citext" else "get"
        rows = self._sql.rows(name, ids=sorted(set(spelled.values())))
        found = {row["wanted"]: _job(row) for row in rows}
        return {job_id: found[text] for job_id, text in spelled.items() if text in found}

    @cached_property
    def _type_of_ids(self) -> str:
        with self._sql.transaction() as connection:
            return job_ids.type_of_ids(connection)

    def failed_before(self, instant: datetime) -> Iterator[Job]:
        return self._stream("failed_before", instant)

    def unended_before(self, instant: datetime) -> Iterator[Job]:
        return self._stream("unended_before", instant)

    def ended_since(self, instant: datetime) -> Iterator[Job]:
        return self._stream("ended_since", instant)

    def counts(self) -> dict[str, int]:
        return {str(row["status"]): int(row["count"]) for row in self._sql.rows("counts")}

    def fail(self, seen: Sequence[Job], message: str) -> set[JobId]:
        as_seen: dict[str, Any] = {
            "ids": [job.id for job in seen],
            "statuses": [job.status for job in seen],
            "seen_at": [job.updated_at for job in seen],
        }
        with self._sql.transaction() as connection:
            rows = self._sql.rows_in(connection, "fail", message=message, **as_seen)
            changed = {JobId(row["id"]) for row in rows if row["status"] == "failed"}
            if len(changed) < len(rows) or self._sql.rows_in(connection, "as_seen", **as_seen):
                raise StatementRefused(LEFT)
        return changed

    def _stream(self, name: str, instant: datetime) -> Iterator[Job]:
        start = {"last_updated_at": _BEGINNING, "last_id": ""}
        return map(_job, self._sql.pages(name, start=start, page=PAGE, instant=instant))


def _job(row: Mapping[str, Any]) -> Job:
    return Job(JobId(row["id"]), row["status"], row["updated_at"], row["completed_at"])
