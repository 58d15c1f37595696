"""What a database holds, as one snapshot shows it: rows and a hash a table, sequences, large objects."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC
from typing import Any

import psycopg2
from sqlalchemy import Connection

from storage.backup.model import DatabaseFacts, SequenceFact, TableFact
from storage.stores.postgres.connection import Statements, connect, translated


@dataclass(frozen=True)
class Reader:
    """Counts and hashes every table of a snapshot when it is called; any thread may cancel that."""

    _sql: Statements
    _session: Connection
    _first: DatabaseFacts
    _driver: Any

    def __call__(self) -> DatabaseFacts:
        return _read(self._sql, self._session, self._first)

    def cancel(self) -> None:
        """End the statement that runs now, if one does."""
        with suppress(psycopg2.Error):
            self._driver.cancel()


@contextmanager
def snapshot(url: str) -> Iterator[tuple[str, DatabaseFacts, Reader]]:
    """Hold a snapshot open: its name for pg_dump, the facts known at once, and what reads the others."""
    engine = connect(url)
    try:
        with translated(), engine.connect() as plain:
            session = plain.execution_options(isolation_level="REPEATABLE READ")
            sql = Statements(engine, "content")
            sql.rows_in(session, "calm")
            first = _first(sql, session)
            name = str(session.exec_driver_sql("SELECT pg_export_snapshot()").scalar())
            yield name, first, Reader(sql, session, first, session.connection.driver_connection)
    finally:
        engine.dispose()


def facts(url: str) -> DatabaseFacts:
    """All facts of a database as it is now."""
    with snapshot(url) as (_, _, read):
        return read()


def _first(sql: Statements, session: Connection) -> DatabaseFacts:
    row = sql.rows_in(session, "database")[0]
    found = DatabaseFacts(
        database=row["name"],
        version=row["version"],
        system_identifier=row["system_identifier"],
        lsn=row["lsn"],
        taken_at=row["taken_at"].astimezone(UTC),
        bytes=row["bytes"],
        locale=(row["encoding"], row["collate"], row["ctype"]),
        extensions=tuple(row["extensions"]),
    )
    sequences = (_sequence(session, **one) for one in sql.rows_in(session, "sequences"))
    return replace(found, sequences=tuple(sequences))


def _sequence(session: Connection, name: str, step: int) -> SequenceFact:
    (value,) = _row(session, f"SELECT last_value FROM {name}")
    return SequenceFact(name, int(value), step)


def _read(sql: Statements, session: Connection, first: DatabaseFacts) -> DatabaseFacts:
    with translated():
        tables = tuple(_table(session, row["name"]) for row in sql.rows_in(session, "tables"))
        objects = sql.rows_in(session, "large_objects")[0]
    large = TableFact("large objects", objects["rows"], str(objects["hash"]))
    return replace(first, tables=tables, large_objects=large)


def _table(session: Connection, name: str) -> TableFact:
    """``name`` comes quoted by the server. The hash is a sum, so the order of the rows is of no matter."""
    rows, total = _row(
        session, f"SELECT count(*), coalesce(sum(hashtextextended((x.*)::text, 0)), 0) FROM ONLY {name} AS x"
    )
    return TableFact(name, int(rows), str(total))


def _row(session: Connection, statement: str) -> Sequence[Any]:
    """The one row a statement finds; a % in a name is no placeholder."""
    return session.exec_driver_sql(statement.replace("%", "%%")).one()
