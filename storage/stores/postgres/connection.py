"""PostgreSQL connection, translation of vendor errors, and named statements."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import psycopg2
from sqlalchemy import Connection, Engine, create_engine, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError

from storage.core.errors import (
    AccessDenied,
    ConfigError,
    LocksExhausted,
    NoRoom,
    RowsHidden,
    SchemaMissing,
    StatementRefused,
    StorageError,
    TransientFault,
    Unreachable,
)
from storage.stores.postgres.sqlfiles import queries

DATABASE = "The database"  # subject of the error messages
LEFT = "it left the row as it was, without an error"  # as a trigger or rule can
CONNECT_TIMEOUT = 10  # seconds
STATEMENT_TIMEOUT = "10min"
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
#: Classes of errors of the server or the session. An error of another class is about the statement's rows.
_OF_THE_SERVER = {"08", "25", "28", "40", "53", "57", "58", "F0", "XX"}
_IN_USE = "55006"
_FULL = {"53100", "53200", "53400"}
_MISSING = {"42P01", "3F000", "42703", "42883"}
_HIDES_ROWS = re.compile(r"row-level security policy for (.+)")
_DENIED = {"28P01", "28000", "42501"}


def connect(url: str) -> Engine:
    """Create an engine with a small pool. Opens no connection yet. Raises ConfigError for an invalid URL."""
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError) as error:
        raise ConfigError(
            "STORAGE_DATABASE_URL is not a database URL (postgresql://user:password@host/name)."
        ) from error
    if parsed.get_backend_name() != "postgresql":
        raise ConfigError(
            f"STORAGE_DATABASE_URL is for {parsed.get_backend_name()}; the platform needs PostgreSQL."
        )
    # With row_security off the server raises an error where a policy would hide rows: a job that is not seen
    # must not count as absent.
    options = f"-c statement_timeout={STATEMENT_TIMEOUT} -c timezone=UTC -c row_security=off"
    return create_engine(
        parsed.set(drivername="postgresql+psycopg2"),
        pool_size=6,
        max_overflow=6,
        pool_pre_ping=True,
        connect_args={
            "connect_timeout": CONNECT_TIMEOUT,
            "application_name": "storage-maintenance",
            "options": options,
            "keepalives_idle": 30,
        },
    )


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
    if _about_rows(error, code):
        return StatementRefused(message)
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


def _about_rows(error: Any, code: str | None) -> bool:
    """Tell whether a constraint, trigger or rule refused the values, so that other rows may be accepted.

    A missing table or right is about the statement, unless a trigger's code met it.
    """
    if not code or code[:2] in _OF_THE_SERVER or code in (LOCK_NOT_AVAILABLE, _IN_USE):
        return False
    return code[:2] not in ("42", "3F") or bool(error.diag.context)


def code_of(error: StorageError) -> str:
    """Return the SQLSTATE that a translated error came from; "" if there is none."""
    cause = error.__cause__
    return getattr(cause.orig if isinstance(cause, DBAPIError) else cause, "pgcode", None) or ""


def _role(error: BaseException | None) -> str:
    """Return the role of the session in which a statement failed."""
    cursor = getattr(error, "cursor", None)
    return str(cursor.connection.info.user) if cursor is not None else "of this connection"
