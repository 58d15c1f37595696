"""Databases to restore into: a scratch database on a running server, or a throw-away server."""

from __future__ import annotations

import fcntl
import hashlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg2
from psycopg2 import sql
from sqlalchemy.engine import URL, make_url

from storage.backup.errors import DatabaseBusy, RightsMissing, ScratchFault, TargetInUse
from storage.backup.postgres import programs
from storage.backup.postgres.child_process import spawn
from storage.core.errors import StorageError
from storage.stores.postgres import conninfo
from storage.stores.postgres.connection import translated
from storage.stores.postgres.messages import shown_error

FOLDER = "storage-scratch-"
READY = 60.0  # seconds until a server must answer
TRIES = 5  # to drop a database in use: each waits 5 s
_END_SESSIONS = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND usesysid IS NOT NULL"
)
_SUBSCRIPTIONS = (
    "SELECT subname FROM pg_subscription JOIN pg_database AS d ON d.oid = subdbid WHERE datname = %s"
)
#: Settings of a throw-away server: no durability, and room for the locks of a restore of many tables in
#: one transaction.
SETTINGS = (
    "fsync=off", "full_page_writes=off", "synchronous_commit=off", "wal_level=minimal", "max_wal_senders=0",
    "autovacuum=off", "max_locks_per_transaction=1024", "max_wal_size=4GB", "maintenance_work_mem=256MB",
    "unix_socket_directories=", "listen_addresses=127.0.0.1", "timezone=UTC", "log_timezone=UTC",
)  # fmt: skip
#: Parameters for a throw-away server, which has no TLS, whatever PGSSLMODE and its kin ask of the live one.
_LOOPBACK = {"sslmode": "disable", "channel_binding": "prefer", "target_session_attrs": "any"}


@contextmanager
def machine_faults() -> Iterator[None]:
    """Raise OSErrors, such as of a full disk, as ScratchFault: they are no fault of the backup."""
    try:
        yield
    except OSError as error:
        raise ScratchFault(str(error)) from error


@contextmanager
def server(major: int, place: Path | None = None) -> Iterator[str]:
    """Start a new, empty server of that major version, yield its URL, and remove it when the block ends.

    Also when this process is killed: the server ends with it, and the next call removes its folder.
    """
    parent = place or Path(tempfile.gettempdir())
    _sweep(parent)
    account, home = programs.account(), Path(tempfile.mkdtemp(prefix=FOLDER, dir=parent))
    lock = os.open(home / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        home.chmod(0o711)
        bindir = programs.reachable(programs.server(major), account, home)
        with _running(bindir, _initialised(bindir, home, account), account) as url:
            yield url
    finally:
        shutil.rmtree(home, ignore_errors=True)
        os.close(lock)


def _sweep(parent: Path) -> None:
    """Remove the folders of killed processes: no process holds their lock."""
    for home in parent.glob(f"{FOLDER}*"):
        with suppress(OSError):
            lock = os.open(home / "lock", os.O_RDWR | os.O_NOFOLLOW)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(home, ignore_errors=True)
            finally:
                os.close(lock)


def _initialised(bindir: Path, home: Path, account: str | None) -> tuple[Path, str]:
    """Create a data folder; return it and the superuser's password."""
    data, secret, password = home / "data", home / "password", secrets.token_urlsafe(24)
    data.mkdir(mode=0o700)
    secret.touch(mode=0o600, exist_ok=False)
    secret.write_text(password)
    if account:
        shutil.chown(data, account)
        shutil.chown(secret, account)
    argv = [bindir / "initdb", "-D", data, "-U", "postgres", "--auth=scram-sha-256", f"--pwfile={secret}"]
    done = subprocess.run(
        [*map(str, argv), "--encoding=UTF8", "--locale=C", "--no-sync"], cwd=data, capture_output=True,
        text=True, timeout=120, check=False, **programs.as_account(account),
    )  # fmt: skip
    secret.unlink()
    if done.returncode:
        raise ScratchFault(f"initdb failed: {(done.stderr or done.stdout).strip()[-1000:]}")
    return data, password


@contextmanager
def _running(bindir: Path, made: tuple[Path, str], account: str | None) -> Iterator[str]:
    data, password = made
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    options = [part for setting in (*SETTINGS, f"port={port}") for part in ("-c", setting)]
    log = data.parent / "log"
    with log.open("wb") as out:
        child = spawn(
            [bindir / "postgres", "-D", data, *options], death=signal.SIGQUIT, account=account, cwd=data,
            stdin=subprocess.DEVNULL, stdout=out, stderr=out,
        )  # fmt: skip
    url = URL.create(
        "postgresql+psycopg2", "postgres", password, "127.0.0.1", port, "postgres", _LOOPBACK
    ).render_as_string(hide_password=False)
    try:
        _await(url, child, log)
        yield url
    finally:
        child.send_signal(signal.SIGQUIT)
        try:
            child.wait(20)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def _await(url: str, child: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + READY
    while time.monotonic() < end:
        if child.poll() is not None:
            break
        with suppress(psycopg2.OperationalError):
            session(url).close()
            return
        time.sleep(0.05)
    raise ScratchFault(f"the throw-away server does not start: {log.read_text(errors='replace')[-1000:]}")


@contextmanager
def database(url: str, name: str, locale: Sequence[str]) -> Iterator[str]:
    """Create an empty database ``name`` on the server of ``url``; yield its URL, drop it after the block.

    When the block raises, its error is raised, even if the server cannot drop: see :func:`leftovers`.
    """
    create(url, name, locale)
    try:
        yield beside(url, name)
    except BaseException:
        with suppress(StorageError):
            drop(url, name)
        raise
    drop(url, name)


def beside(url: str, name: str) -> str:
    """Return the URL of another database on the same server."""
    return make_url(url).set(database=name).render_as_string(hide_password=False)


def create(url: str, name: str, locale: Sequence[str]) -> None:
    """Create an empty database with that encoding, collation and character type.

    A server that lacks the locale uses C: the rows are the same, only their order in indexes is not.
    """
    encoding, collate, ctype = locale
    made = sql.SQL("CREATE DATABASE {} TEMPLATE template0 ENCODING {} LC_COLLATE {} LC_CTYPE {}")
    with administering(url) as cursor:
        try:
            cursor.execute(made.format(*_words(name, encoding, collate, ctype)))
        except psycopg2.errors.DuplicateDatabase as error:
            raise TargetInUse(name, "a database of that name exists") from error
        except psycopg2.errors.InsufficientPrivilege as error:
            raise RightsMissing(shown_error(error)) from None
        except (psycopg2.errors.WrongObjectType, psycopg2.errors.InvalidParameterValue):
            cursor.execute(made.format(*_words(name, encoding, "C", "C")))


def _words(name: str, *rest: str) -> tuple[sql.Composable, ...]:
    return sql.Identifier(name), *(sql.Literal(value) for value in rest)


def drop(url: str, name: str) -> None:
    """Drop a database and end its sessions. Raises RightsMissing, or DatabaseBusy if they do not end.

    Not WITH (FORCE): that requires rights over autovacuum too, which only a superuser has. A plain DROP ends
    autovacuum, and waits 5 s for terminated sessions to end.
    """
    with administering(url) as cursor:
        _drop_subscriptions(cursor, beside(url, name), name)
        for left in reversed(range(TRIES)):
            denied = _end_sessions(cursor, name)
            try:
                cursor.execute(sql.SQL("DROP DATABASE IF EXISTS {}").format(sql.Identifier(name)))
                return
            except psycopg2.errors.InsufficientPrivilege as error:
                raise RightsMissing(shown_error(error)) from None
            except psycopg2.errors.ObjectInUse as error:
                if denied:
                    raise RightsMissing(denied) from error
                if not left:
                    raise DatabaseBusy(name, shown_error(error)) from None


def _drop_subscriptions(cursor: psycopg2.extensions.cursor, url: str, name: str) -> None:
    """Drop a copy's subscriptions, with which it could not be dropped. Their slots at the publisher stay."""
    cursor.execute(_SUBSCRIPTIONS, (name,))
    if names := [sql.Identifier(row[0]) for row in cursor.fetchall()]:
        with administering(url) as there:
            for one in names:
                there.execute(sql.SQL("ALTER SUBSCRIPTION {} DISABLE").format(one))
                there.execute(sql.SQL("ALTER SUBSCRIPTION {} SET (slot_name = NONE)").format(one))
                there.execute(sql.SQL("DROP SUBSCRIPTION {}").format(one))


def _end_sessions(cursor: psycopg2.extensions.cursor, name: str) -> str:
    """Terminate the sessions. Return the server's error if this role may not; they may end by themselves."""
    try:
        cursor.execute(_END_SESSIONS, (name,))
    except psycopg2.errors.InsufficientPrivilege as error:
        return shown_error(error)
    return ""


def scratch_name(url: str, word: str) -> str:
    """Return the name of a scratch database. Its prefix is this installation's, and no other's."""
    context = hashlib.sha256(str(make_url(url).database).encode()).hexdigest()[:8]
    return f"storage_scratch_{context}_{word}"


def leftovers(url: str) -> list[str]:
    """Return the installation's scratch databases: under the lock of proving, those of killed processes."""
    with administering(url) as cursor:
        cursor.execute(
            "SELECT datname FROM pg_database WHERE starts_with(datname, %s) AND pg_has_role(datdba, 'USAGE')",
            (scratch_name(url, ""),),
        )
        return [row[0] for row in cursor.fetchall()]


@contextmanager
def administering(url: str) -> Iterator[psycopg2.extensions.cursor]:
    """Open an autocommit session for statements on databases."""
    with translated():
        opened = session(url)
    try:
        with translated(), opened.cursor() as cursor:
            yield cursor
    finally:
        opened.close()


def session(url: str, options: str = "") -> psycopg2.extensions.connection:
    """Open an autocommit session, with command-line ``options`` for the server process."""
    words = conninfo.words(make_url(url))
    words |= {"options": f"{words.get('options', '')} {options}".strip()}
    opened: psycopg2.extensions.connection = psycopg2.connect(**words, **conninfo.defaults(words))
    opened.autocommit = True
    return opened


def extensions(url: str) -> set[str]:
    """Return the extensions available on the server."""
    with administering(url) as cursor:
        cursor.execute("SELECT name FROM pg_available_extensions")
        return {row[0] for row in cursor.fetchall()}
