"""PostgreSQL connection, translation of vendor errors, and named statements."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import psycopg2
from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.exc import DBAPIError

from storage.core.errors import (
    AccessDenied,
    ConfigError,
    GrantMissing,
    LocksExhausted,
    NoRoom,
    NotTrusted,
    PoolerInBetween,
    RowsHidden,
    SchemaMissing,
    StorageError,
    TransientFault,
    Unreachable,
)
from storage.stores.postgres import conninfo, pooler
from storage.stores.postgres.sqlfiles import queries

DATABASE = "The database"  # subject of the error messages
LOCK_NOT_AVAILABLE = "55P03"
_TRANSIENT = {
    "40001",
    "40P01",
    "55P03",
    "57014",
    "57P01",
    "57P02",
    "57P03",
    "53300",
    "08006",
    "08003",
    "08001",
}
_FULL = {"53100", "53200", "53400"}
_MISSING = {"42P01", "3F000", "42703", "42883"}
_HIDES_ROWS = re.compile(r"row-level security policy for (.+)")
_DENIED = {"28P01", "28000"}
_WRONG_WORD = re.compile(r"invalid (\S+ value|port number)")
_INSECURE = re.compile("certificate|signature failure|does not support SSL|channel binding")


def connect(url: str) -> Engine:
    """Create an engine with a small pool. Opens no connection yet. Raises ConfigError for an invalid URL."""
    parsed = conninfo.parsed(url)
    engine = create_engine(
        parsed,
        pool_size=6,
        max_overflow=6,
        pool_pre_ping=True,
        connect_args=conninfo.for_session(parsed),
    )
    event.listen(engine, "connect", lambda session, _: pooler.refuse(session))
    return engine


class Statements:
    """The named statements of an SQL file. Each runs in its own transaction unless one is passed."""

    def __init__(self, engine: Engine, file: str) -> None:
        self.engine = engine
        self._text = {name: text(sql) for name, sql in queries(file).items()}

    def rows(self, name: str, /, **values: Any) -> list[Mapping[str, Any]]:
        with self.transaction() as connection:
            return self.rows_in(connection, name, **values)

    def rows_in(self, connection: Connection, name: str, /, **values: Any) -> list[Mapping[str, Any]]:
        result = connection.execute(self._text[name], values)
        return [dict(row) for row in result.mappings()] if result.returns_rows else []

    def pages(
        self, name: str, /, start: dict[str, Any], page: int, **values: Any
    ) -> Iterator[Mapping[str, Any]]:
        """Stream rows by keyset: ``start`` holds the ``last_*`` parameters that each page advances."""
        while True:
            rows = self.rows(name, **values, **start, page=page)
            yield from rows
            if len(rows) < page:
                return
            start = {key: rows[-1].get(key.removeprefix("last_"), start[key]) for key in start}

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        with translated(), self.engine.begin() as connection:
            yield connection


@contextmanager
def translated() -> Iterator[None]:
    """Translate vendor errors into the platform's: unreachable, denied, transient or missing schema."""
    try:
        yield
    except DBAPIError as error:
        raise _ours(error.orig) from error
    except psycopg2.Error as error:  # raised by a script that uses the driver directly
        raise _ours(error) from error


def _ours(error: BaseException | None) -> StorageError:
    code = getattr(error, "pgcode", None)
    lines = str(error).strip().splitlines()
    message = lines[0] if lines else type(error).__name__
    if code == "42501" and (table := _HIDES_ROWS.search(message)):
        return RowsHidden(table[1], _role(error))
    if code == "42501":
        return GrantMissing(_role(error), message)
    if code is None and isinstance(error, psycopg2.OperationalError) and (found := _at_connect(message)):
        return found
    if code in _DENIED or "authentication failed" in message:
        return AccessDenied(DATABASE, message)
    if code in _MISSING:
        return SchemaMissing(message)
    if code == LOCK_NOT_AVAILABLE:
        return TransientFault(DATABASE, f"{message}: run it again when the table is free")
    if code in _TRANSIENT:
        return TransientFault(DATABASE, message)
    if code == "53200" and "shared memory" in message:
        return LocksExhausted(message)
    if code in _FULL:
        return NoRoom(DATABASE, message)
    if isinstance(error, psycopg2.OperationalError | psycopg2.InterfaceError):
        return Unreachable(DATABASE, message)
    return StorageError(f"The database refused a statement: {message}")


def _at_connect(message: str) -> StorageError | None:
    """Return the error for a connection that a parameter, a certificate or a pooler prevented."""
    if "unsupported startup parameter" in message:
        return PoolerInBetween(message)
    if "permission denied" in message:
        return GrantMissing("of this connection", message)
    if "no pg_hba.conf entry" in message:
        return AccessDenied(DATABASE, message)
    if _WRONG_WORD.search(message):
        return ConfigError(f"A parameter of STORAGE_DATABASE_URL is wrong: {message}.")
    if _INSECURE.search(message):
        step = "See sslmode and sslrootcert in docs/configuration.md, Database."
        return NotTrusted(DATABASE, message, step)
    return None


def code_of(error: StorageError) -> str:
    """Return the SQLSTATE that a translated error came from; "" if there is none."""
    cause = error.__cause__
    return getattr(cause.orig if isinstance(cause, DBAPIError) else cause, "pgcode", None) or ""


def _role(error: BaseException | None) -> str:
    """Return the role of the session in which a statement failed."""
    cursor = getattr(error, "cursor", None)
    return str(cursor.connection.info.user) if cursor is not None else "of this connection"
