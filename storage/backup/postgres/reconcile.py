"""The kept database after a restore: its jobs' rows, and copying those that the live one lacks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

import psycopg2
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import IntegrityError

from storage.backup.errors import NotAdopted
from storage.backup.postgres.temporary_server import beside
from storage.core.errors import PipelineTableWrong
from storage.core.model import Job, JobId
from storage.stores.postgres.connection import Statements, as_json, connect
from storage.stores.postgres.jobs import PostgresJobs
from storage.stores.postgres.messages import shown_error

PAGE = 1000
Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Table:
    """The pipeline's table behind the view. Names come quoted by the server.

    ``types`` are those of its columns; an UPDATE may not set the columns in ``fixed``.
    """

    name: str
    id: str
    types: Mapping[str, str]
    fixed: frozenset[str]


@contextmanager
def kept(url: str, name: str) -> Iterator[Kept | None]:
    """Open the kept database ``name`` on the server of ``url``; yield None if it no longer exists."""
    live, old = connect(url), connect(beside(url, name or "postgres"))
    try:
        exists = name and Statements(live, "reconcile").rows("database", name=name)
        yield Kept(live, old) if exists else None
    finally:
        live.dispose()
        old.dispose()


class Kept:
    """The database that was live before the restore. It is read, never written."""

    def __init__(self, live: Engine, old: Engine) -> None:
        self._live, self._old = Statements(live, "reconcile"), Statements(old, "reconcile")
        self._jobs = PostgresJobs(old)

    def get(self, ids: Iterable[JobId]) -> dict[JobId, Job]:
        return self._jobs.get(ids)

    def changed_since(self, instant: datetime) -> Iterator[JobId]:
        """Stream the jobs whose row changed after ``instant``, in the order of their folders in a listing."""
        rows = self._old.pages("changed_since", start={"last_folder": ""}, page=PAGE, since=instant)
        return (JobId(row["id"]) for row in rows)

    def copy(self, owners: Sequence[JobId]) -> int:
        """Copy the whole rows of these jobs that the live table lacks or has older; return their number.

        Each row is compared and set under its lock. Raises PipelineTableWrong, or NotAdopted for rows that
        violate a constraint; none of these rows is copied then.
        """
        ours, theirs = _table(self._live), _table(self._old)
        types = {name: type for name, type in ours.types.items() if name in theirs.types}
        if ours.id not in types:
            raise PipelineTableWrong(f"the kept table {theirs.name} has no column {ours.id}")
        rows = self._rows(theirs, types, sorted({job.id for job in self._jobs.get(owners).values()}))
        with self._live.transaction() as session:
            found = self._live.rows_in(session, "locked", ids=[row["id"] for row in rows])
            live_times = {row["id"]: row["updated_at"] for row in found}
            lacking = [row["cells"] for row in rows if row["id"] not in live_times]
            older = [
                row for row in rows if row["id"] in live_times and live_times[row["id"]] < row["updated_at"]
            ]
            written = _run(session, _insert(ours, types), lacking)
            return written + _run(session, _update(ours, types), [row["cells"] for row in older])

    def _rows(self, table: _Table, types: Mapping[str, str], owners: Sequence[JobId]) -> Sequence[Row]:
        """Read the jobs' rows, every column as text: a form that one server writes and another can read."""
        cells = ", ".join(f"CAST(whole.{name} AS text)" for name in types)
        statement = (
            f"SELECT seen.id, seen.updated_at, whole.{table.id} IS NOT NULL AS fit, ARRAY[{cells}] AS cells "
            f"FROM maintenance.jobs AS seen LEFT JOIN {table.name} AS whole "
            f"ON CAST(whole.{table.id} AS text) = seen.id WHERE seen.id = ANY(%(owners)s)"
        )
        with self._old.transaction() as session:
            found = session.exec_driver_sql(statement, {"owners": list(owners)}).mappings()
            rows = [dict(row) for row in found]
        if strange := [row["id"] for row in rows if not row["fit"]]:
            raise PipelineTableWrong(f"job {strange[0]} has another id in {table.name}.{table.id}")
        return rows


def _table(sql: Statements) -> _Table:
    """Return the only table the view selects from, and its key: the column that a job is found by."""
    with sql.transaction() as session:
        tables = sql.rows_in(session, "tables")
        if len(tables) != 1 or not tables[0]["fit"]:
            named = ", ".join(table["name"] for table in tables) or "nothing"
            raise PipelineTableWrong(
                f"rows cannot be copied: maintenance.jobs must select from exactly one table (found: {named})"
            )
        name, columns = tables[0]["name"], sql.rows_in(session, "columns", oid=tables[0]["oid"])
    best = min((column["rank"] for column in columns if column["rank"]), default=0)
    keys = [column["name"] for column in columns if best and column["rank"] == best]
    if len(keys) != 1:
        raise PipelineTableWrong(f"rows cannot be copied: the ids of {name} are not a single unique column")
    return _Table(
        name=_escaped(name),
        id=_escaped(keys[0]),
        types={_escaped(column["name"]): _escaped(column["type"]) for column in columns},
        fixed=frozenset(_escaped(column["name"]) for column in columns if column["fixed"]),
    )


def _escaped(name: str) -> str:
    """Double each '%' for a statement with parameters, where the driver reads '%%' as '%'."""
    return name.replace("%", "%%")


_GIVEN = "FROM jsonb_array_elements(CAST(%(rows)s AS jsonb)) AS given (cells)"


def _cell(number: int, type: str) -> str:
    return f"CAST(given.cells ->> {number} AS {type})"


def _insert(table: _Table, types: Mapping[str, str]) -> str:
    cells = ", ".join(_cell(number, type) for number, type in enumerate(types.values()))
    return (
        f"INSERT INTO {table.name} ({', '.join(types)}) OVERRIDING SYSTEM VALUE SELECT {cells} {_GIVEN} "
        f"ON CONFLICT ({table.id}) DO NOTHING"
    )


def _update(table: _Table, types: Mapping[str, str]) -> str:
    cells = {name: _cell(number, type) for number, (name, type) in enumerate(types.items())}
    settable = (name for name in cells if name != table.id and name not in table.fixed)
    changes = ", ".join(f"{name} = {cells[name]}" for name in settable)
    return f"UPDATE {table.name} AS live SET {changes} {_GIVEN} WHERE live.{table.id} = {cells[table.id]}"


def _run(session: Connection, statement: str, rows: Sequence[Any]) -> int:
    if not rows:
        return 0
    try:
        return session.exec_driver_sql(statement, {"rows": as_json(rows)}).rowcount
    except IntegrityError as error:
        raise NotAdopted(shown_error(cast(psycopg2.Error, error.orig))) from None
