"""PostgreSQL connection, translation of vendor errors, and named statements."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
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
    StatementRefused,
    StorageError,
    TransientFault,
    Unreachable,
)
from storage.stores.postgres import conninfo, pooler
from storage.stores.postgres.messages import shown_error
from storage.stores.postgres.sqlfiles import queries

DATABASE = "The database"  # subject of the error messages
LEFT = "it left the row as it was, without an error"  # as a trigger or rule can
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
#: Of ours, if the message names our schema; otherwise of the pipeline's functions.
_MISSING = {"42P01", "3F000", "42883"}
_NO_COLUMN = "42703"
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
        hide_parameters=True,  # an unexpected error shows its statement, not the values
        connect_args=conninfo.for_session(parsed),
    )
    event.listen(engine, "connect", lambda session, _: pooler.refuse(session))
    return engine


def with_every_row(engine: Engine) -> Engine:
    """Return an application's engine for our statements: an error is raised where a policy would hide rows.

    Its pool is shared, its own transactions are not changed.
    """
    ours = engine.execution_options()
    event.listen(ours, "begin", _without_policies)
    return ours


def _without_policies(connection: Connection) -> None:
    """Switch policies off for the transaction that begins. Below SQLAlchemy, which has not begun it yet."""
    with closing(connection.connection.cursor()) as cursor:
        cursor.execute("SET LOCAL row_security = off")


def as_json(value: Any, default: Callable[[Any], Any] | None = None) -> str:
    """Return a JSON parameter. Letters are not escaped: a database of SQL_ASCII refuses ``\\u`` escapes.

    Text that is no Unicode stays escaped, and the server refuses it.
    """
    found = json.dumps(value, ensure_ascii=False, default=default)
    return found if found.isascii() or _encodable(found) else json.dumps(value, default=default)


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


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
    """Translate vendor errors into the platform's: unreachable, denied, transient or missing schema.

    The vendor's error is not their cause: a traceback would show the data that its text may quote.
    """
    try:
        yield
    except DBAPIError as error:
        raise ours(error.orig) from None
    except psycopg2.Error as error:  # raised by a script that uses the driver directly
        raise ours(error) from None


def ours(error: BaseException | None) -> StorageError:
    """Return the platform's error for one of the driver's, with its SQLSTATE as ``vendor_code``."""
    if not isinstance(error, psycopg2.Error):
        return StorageError(f"The database refused a statement: {type(error).__name__}")
    translated = _translated(error, error.pgcode or "", shown_error(error))
    translated.vendor_code = error.pgcode or ""
    return translated


def _translated(error: psycopg2.Error, code: str, message: str) -> StorageError:
    if code == "42501" and (table := _HIDES_ROWS.search(message)):
        return RowsHidden(table[1], _role(error))
    if _about_rows(error, code):
        return StatementRefused(message)
    if code == "42501":
        return GrantMissing(_role(error), message)
    if not code and (found := _at_connect(str(error), message)):
        return found
    if code in _DENIED or "authentication failed" in message:
        return AccessDenied(DATABASE, message)
    if code == _NO_COLUMN or (code in _MISSING and "maintenance" in str(error)):
        return SchemaMissing(message)
    if code == LOCK_NOT_AVAILABLE:
        return TransientFault(DATABASE, f"{message}: run it again when the table is free")
    if code in _TRANSIENT:
        return TransientFault(DATABASE, message)
    if code == "53200":
        return LocksExhausted(message)
    if code in _FULL:
        return NoRoom(DATABASE, message)
    if isinstance(error, psycopg2.OperationalError | psycopg2.InterfaceError):
        return Unreachable(DATABASE, message)
    return StorageError(f"The database refused a statement: {message}")


def _at_connect(text: str, message: str) -> StorageError | None:
    """Return the error for a connection that a parameter, a certificate or a pooler prevented."""
    if "unsupported startup parameter" in text:
        return PoolerInBetween(message)
    if "permission denied" in text:
        return GrantMissing("of this connection", message)
    if "no pg_hba.conf entry" in text:
        return AccessDenied(DATABASE, message)
    if _WRONG_WORD.search(text):
        return ConfigError(f"A parameter of STORAGE_DATABASE_URL is wrong: {message}.")
    if _INSECURE.search(text):
        step = "See sslmode and sslrootcert in docs/configuration.md, Database."
        return NotTrusted(DATABASE, message, step)
    return None


def _about_rows(error: psycopg2.Error, code: str) -> bool:
    """Tell whether a constraint, trigger or rule refused the values, so that other rows may be accepted.

    A missing table or right is about the statement, unless a trigger's code met it.
    """
    if not code or code[:2] in _OF_THE_SERVER or code in (LOCK_NOT_AVAILABLE, _IN_USE):
        return False
    return code[:2] not in ("42", "3F") or bool(error.diag.context)


def _role(error: psycopg2.Error) -> str:
    """Return the role of the session in which a statement failed."""
    cursor = error.cursor
    return str(cursor.connection.info.user) if cursor is not None else "of this connection"
