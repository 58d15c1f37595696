"""Content of a database in one snapshot: rows and a hash per table, sequences, large objects."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC
from typing import Any

import psycopg2
from sqlalchemy import Connection

from storage.backup.model import DatabaseFacts, SequenceFact, TableFact
from storage.backup.postgres.table_locks import locked_snapshot
from storage.stores.postgres.connection import Statements, connect, translated


@dataclass(frozen=True)
class Reader:
    """Callable that counts and hashes every table of a snapshot; any thread may cancel it."""

    _sql: Statements
    _session: Connection
    _first: DatabaseFacts
    _driver: Any

    def __call__(self) -> DatabaseFacts:
        return _read(self._sql, self._session, self._first)

    def cancel(self) -> None:
        """Cancel the running statement, if there is one."""
        with suppress(psycopg2.Error):
            self._driver.cancel()


@contextmanager
def snapshot(url: str) -> Iterator[tuple[str, DatabaseFacts, Reader]]:
    """Hold a snapshot open, with every table of it locked against TRUNCATE and rewriting.

    Yields its name for pg_dump, the facts known at once, and a reader of the rest.
    """
    engine = connect(url)
    try:
        with translated(), engine.connect() as plain:
            sql = Statements(engine, "content")
            session = plain.execution_options(isolation_level="REPEATABLE READ")
            sql.rows_in(session, "calm")
            session.commit()
            locked_snapshot(sql, session)
            first = _first(sql, session)
            name = str(session.exec_driver_sql("SELECT pg_export_snapshot()").scalar())
            yield name, first, Reader(sql, session, first, session.connection.driver_connection)
    finally:
        engine.dispose()


def facts(url: str) -> DatabaseFacts:
    """Return all facts of a database as it is now."""
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
    sequences = (_sequence(session, **row) for row in sql.rows_in(session, "sequences"))
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
    """Count and hash a table. The hash is a sum, so the order of the rows does not matter.

    ``name`` comes quoted by the server. The locks that planning takes on the indexes end with the savepoint:
    a database of many tables has more indexes than its server has room for locks.
    """
    session.exec_driver_sql("SAVEPOINT of_table")
    rows, total = _row(
        session, f"SELECT count(*), coalesce(sum(hashtextextended((x.*)::text, 0)), 0) FROM ONLY {name} AS x"
    )
    session.exec_driver_sql("ROLLBACK TO SAVEPOINT of_table; RELEASE SAVEPOINT of_table")
    return TableFact(name, int(rows), str(total))


def _row(session: Connection, statement: str) -> Sequence[Any]:
    """Return the only row of a statement; a % in a name is not a placeholder."""
    return session.exec_driver_sql(statement.replace("%", "%%")).one()
