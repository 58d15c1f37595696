"""Databases of a server: look up, create, end their sessions, rename.

Everything is done from a session in another database of the server, which holds a lock on the name it works
for. The comment on a database (its ``mark``) says what it is to this platform; a database without such a
comment belongs to another client.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime
from operator import itemgetter
from typing import Any

import psycopg2
from psycopg2 import sql
from sqlalchemy import Connection, Engine
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError

from storage.backup.errors import DatabaseBusy, LeftBehind, RightsMissing, ServerTooOld
from storage.backup.postgres import temporary_server
from storage.backup.postgres.contents import Contents, contents
from storage.core.errors import InvalidName, JobBusy, StorageError, UsageError
from storage.stores.postgres.connection import Statements, connect, translated
from storage.stores.postgres.messages import shown_error

MAINTENANCE_DATABASES = ("postgres", "template1")
LONGEST = 63  # bytes of a name; PostgreSQL silently truncates longer ones
MARK = "transcode-flow storage: "
UNFINISHED = f"{MARK}a restore that has not ended"
KEPT = f"{MARK}kept until "
_RENAME, _COMMENT = "ALTER DATABASE {} RENAME TO {}", "COMMENT ON DATABASE {} IS {}"
TRIES = 5  # of a rename: each waits 5 s for terminated sessions to end


@dataclass(frozen=True)
class AdminConnection:
    """Session in another database than those it works on, in autocommit."""

    engine: Engine
    session: Connection
    sql: Statements


@dataclass(frozen=True, kw_only=True)
class Database:
    """Database of the server. ``sessions``: a description of each; ``contents``: what was made in it."""

    name: str
    mark: str
    template: bool
    ours: bool
    sessions: tuple[str, ...]
    contents: Contents = Contents()


def name_of(url: str) -> str:
    return str(make_url(url).database)


def fit_name(name: str) -> str:
    """Return the name if PostgreSQL does not truncate it. Raises InvalidName."""
    if "\0" in name or not 0 < len(name.encode()) <= LONGEST:
        raise InvalidName(name, "database name", f"it must have 1 to {LONGEST} bytes")
    return name


def derived(name: str, word: str, digits: str) -> str:
    """Return ``NAME_WORD_DIGITS``, with the name truncated so that the whole fits."""
    tail = f"_{word}_{digits}"
    return name.encode()[: LONGEST - len(tail)].decode(errors="ignore") + tail


@contextmanager
def open_admin(url: str, name: str) -> Iterator[AdminConnection]:
    """Open an admin session on the server of ``url``, with the lock for work on the database ``name``.

    Raises JobBusy while another process holds the lock, which is released when its process ends.
    """
    engine, session = _reached(url, name)
    try:
        made = AdminConnection(engine, session, Statements(engine, "swap"))
        if not _rows(made, "lock", name=name)[0]["held"]:
            raise JobBusy(f"a restore of the database {name!r}")
        yield made
    finally:
        with suppress(DBAPIError):  # the server is gone: the error this caused was raised already
            session.close()
        engine.dispose()


def _reached(url: str, name: str) -> tuple[Engine, Connection]:
    """Connect to the first existing database of MAINTENANCE_DATABASES other than ``name``."""
    errors = []
    for other in (known for known in MAINTENANCE_DATABASES if known != name):
        engine = connect(temporary_server.beside(url, other))
        try:
            with translated():
                return engine, engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        except StorageError as error:
            engine.dispose()
            errors.append(error)
    raise errors[0]


def check_server(admin: AdminConnection, major: int) -> None:
    """Raise ServerTooOld for a backup of a newer version."""
    row = _rows(admin, "server")[0]
    if row["major"] < major:
        raise ServerTooOld(major, row["major"])


def look(admin: AdminConnection, url: str, name: str) -> Database | None:
    """Return the database of that name, or None."""
    rows = _rows(admin, "database", name=name)
    if not rows:
        return None
    sessions = tuple(f"{session.program} as {session.role}" for session in _sessions(admin, name))
    found = Database(**rows[0], sessions=sessions)
    # Not connected to in these cases: an interrupted DROP leaves an unfinished database invalid.
    closed = sessions or found.template or found.mark == UNFINISHED
    return found if closed else replace(found, contents=contents(temporary_server.beside(url, name)))


@dataclass(frozen=True)
class _Session:
    program: str
    role: str
    endable: bool


def _sessions(admin: AdminConnection, name: str) -> list[_Session]:
    return [_Session(**row) for row in _rows(admin, "sessions", name=name)]


def make(admin: AdminConnection, name: str, locale: Sequence[str]) -> None:
    """Create an empty database, marked as unfinished."""
    here = admin.engine.url.render_as_string(hide_password=False)
    temporary_server.create(here, name, locale)
    mark(admin, name, UNFINISHED)


def mark(admin: AdminConnection, name: str, words: str) -> None:
    with translated():
        do(admin.session, _COMMENT, sql.Identifier(name), sql.Literal(words))


def remove(admin: AdminConnection, name: str, *, force: bool = False) -> None:
    """Drop a database. Raises DatabaseBusy while it has sessions; ``force`` ends these instead."""
    if force:
        return temporary_server.drop(admin.engine.url.render_as_string(hide_password=False), name)
    with translated():
        try:
            do(admin.session, "DROP DATABASE IF EXISTS {}", sql.Identifier(name))
        except _InUse as error:
            raise DatabaseBusy(name, error) from error


def check_swap(admin: AdminConnection, live: str) -> None:
    """Raise RightsMissing or LeftBehind if ``live`` could not be replaced with another database."""
    rows = _rows(admin, "database", name=live)
    if not rows:
        raise UsageError(f"There is no database {live!r} to replace; restore into it (--into).")
    strange = [row["role"] for row in _rows(admin, "strange_roles", name=live)]
    if not _rows(admin, "server")[0]["creates"]:
        raise RightsMissing("the role may not create or rename databases")
    if not rows[0]["ours"]:
        raise RightsMissing(f"the database {live!r} belongs to another role, and cannot be renamed")
    if strange:
        raise RightsMissing(
            f"objects in {live!r} could not be given back to their owners {', '.join(strange)}"
        )
    check_bound(admin, live)
    _check_sessions(admin, live)


def _check_sessions(admin: AdminConnection, live: str) -> None:
    for session in _sessions(admin, live):
        if not session.endable:
            raise RightsMissing(f"the session of {session.program} as {session.role} cannot be ended")


def check_bound(admin: AdminConnection, live: str) -> None:
    """Raise LeftBehind if anything belongs to the database itself, which a swap cannot take along."""
    if found := _rows(admin, "bound", name=live):
        names, remedies = (list(map(itemgetter(word), found)) for word in ("name", "remedy"))
        raise LeftBehind(live, ", ".join(names), "; ".join(remedies))


def exchange(admin: AdminConnection, live: str, new: str, kept: str, until: datetime) -> None:
    """End all sessions of both databases; then rename ``live`` to ``kept``, and ``new`` to ``live``.

    One transaction, and no earlier step that would have to be undone: a kill at any point leaves ``live``
    complete and open to all. The first rename locks the name against new sessions until the end. Raises
    DatabaseBusy where sessions do not end.
    """
    why = ""
    for _ in range(TRIES):
        try:
            with translated():
                return _exchange(admin, live, new, kept, until)
        except _InUse as error:
            why = str(error)
    raise DatabaseBusy(live, why)


class _InUse(Exception):
    """Sessions prevent the statement."""


def _exchange(admin: AdminConnection, live: str, new: str, kept: str, until: datetime) -> None:
    check_bound(admin, live)
    _check_sessions(admin, live)
    words = _rows(admin, "database", name=live)[0]["mark"]
    with admin.engine.begin() as session:
        admin.sql.rows_in(session, "end_sessions", names=[live, new])
        do(session, _RENAME, sql.Identifier(live), sql.Identifier(kept))
        do(session, _RENAME, sql.Identifier(new), sql.Identifier(live))
        do(session, _COMMENT, sql.Identifier(kept), sql.Literal(f"{KEPT}{until.isoformat()}"))
        do(session, _COMMENT, sql.Identifier(live), sql.Literal("" if words.startswith(MARK) else words))


def kept(admin: AdminConnection, live: str) -> dict[str, datetime]:
    """Return the databases that were ``live`` before, and until when each is kept."""
    ours = {_stem(live, word) for word in ("before", "undone")}
    return {
        row["name"]: datetime.fromisoformat(row["mark"].removeprefix(KEPT))
        for row in _rows(admin, "marked", mark=KEPT)
        if row["name"][:-8] in ours
    }


def leftovers(admin: AdminConnection, live: str) -> list[str]:
    """Return databases left by killed swaps. Their lock must be held."""
    rows = _rows(admin, "marked", mark=UNFINISHED)
    return [row["name"] for row in rows if row["name"][:-8] == _stem(live, "restored")]


def _stem(live: str, word: str) -> str:
    return derived(live, word, "0" * 8)[:-8]


def _rows(admin: AdminConnection, statement: str, **values: object) -> list[Mapping[str, Any]]:
    with translated():
        return admin.sql.rows_in(admin.session, statement, **values)


def do(session: Connection, statement: str, *words: sql.Composable) -> None:
    """Run a statement directly on the driver, where '%' in a name is not a placeholder."""
    cursor = session.connection.cursor()
    try:
        cursor.execute(sql.SQL(statement).format(*words))
    except psycopg2.errors.InsufficientPrivilege as error:
        raise RightsMissing(shown_error(error)) from None
    except psycopg2.errors.ObjectInUse as error:
        raise _InUse(shown_error(error)) from None
    finally:
        cursor.close()
