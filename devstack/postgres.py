"""A private PostgreSQL server on loopback, with password login only."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import psycopg2
from psycopg2 import sql
from psycopg2.extensions import ISOLATION_LEVEL_AUTOCOMMIT, connection

from devstack import ports
from devstack.credentials import write_private
from devstack.errors import DevstackError, NotReady, ServerDied, UnsafeFolder
from devstack.process import (
    OUTPUT,
    Process,
    as_user,
    base_env,
    processes_in,
    start_process,
    wait_ready,
    wait_until,
)
from storage.backup.postgres import programs

SUPERUSER = "postgres"
READY_SECONDS = 60.0


@dataclass(frozen=True)
class Postgres:
    """A running server."""

    host: str
    port: int
    user: str
    password: str = field(repr=False)
    bindir: Path
    version: str
    folder: Path
    process: Process

    @property
    def pid(self) -> int:
        """Return the process id of the server."""
        return self.process.pid

    def alive(self) -> bool:
        """Return True if the server still runs."""
        return self.process.alive()

    def stop(self) -> None:
        """Shut down cleanly at once (fast shutdown): connections are closed, data is flushed."""
        self.process.stop(signal.SIGINT)  # SIGTERM would wait for every client to disconnect

    def dsn(self, database: str, user: str, password: str) -> str:
        """Return the SQLAlchemy URL of a database."""
        login = f"{quote(user, safe='')}:{quote(password, safe='')}"
        return f"postgresql+psycopg2://{login}@{self.host}:{self.port}/{database}"

    def create_database(self, name: str, owner: str, password: str) -> None:
        """Create a login role and its database; reset the password of an existing role."""
        with self.connect() as session, session.cursor() as cursor:
            cursor.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (owner,))
            verb = "ALTER" if cursor.fetchone() else "CREATE"
            # CREATEDB: restores create a database beside the live one.
            role = sql.SQL(verb + " ROLE {} LOGIN CREATEDB PASSWORD {}")
            cursor.execute(role.format(sql.Identifier(owner), sql.Literal(password)))
            cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,))
            if cursor.fetchone() is None:
                create = sql.SQL("CREATE DATABASE {} OWNER {}")
                cursor.execute(create.format(sql.Identifier(name), sql.Identifier(owner)))

    @contextmanager
    def connect(self, database: str = "postgres") -> Iterator[connection]:
        """Open an autocommit session of the superuser."""
        session = psycopg2.connect(
            host=self.host, port=self.port, user=self.user, password=self.password, dbname=database,
            connect_timeout=5,
        )  # fmt: skip
        try:
            session.set_isolation_level(ISOLATION_LEVEL_AUTOCOMMIT)
            yield session
        finally:
            session.close()


def start(folder: Path, *, port: int | None = None, fsync: bool = True) -> Postgres:
    """Start a server with its data in `folder`; initialise the data at the first call.

    When run as root, the server runs under the account `postgres` or `nobody`, which needs search permission
    on every parent of `folder`. Each major version has its own data directory in the folder.
    """
    account = programs.account()
    own_folder(folder, 0o711 if account else 0o700)
    bindir = programs.reachable(programs.server(), account, folder)
    version = ".".join(map(str, programs.version(bindir / "postgres")))
    password = superuser_password(folder)
    data = folder / f"data-{version.partition('.')[0]}"
    if not (data / "PG_VERSION").exists():
        _initdb(bindir, data, password, account, fsync)
    _end_leftover(data)
    chosen = port if port is not None else ports.choose()
    if not ports.is_free(chosen):
        raise DevstackError(f"port {chosen} is taken by another program; start PostgreSQL on another port")
    process = _launch(bindir, data, chosen, account, fsync)
    server = Postgres(ports.HOST, chosen, SUPERUSER, password, bindir, version, folder, process)
    wait_ready("PostgreSQL", process, lambda: _answers(server), _log(data), READY_SECONDS)
    return server


def own_folder(folder: Path, mode: int) -> Path:
    """Create a folder writable only by us. Raises UnsafeFolder if another user owns it or it is a link."""
    folder.mkdir(parents=True, exist_ok=True)
    status = folder.lstat()
    if folder.is_symlink() or status.st_uid != os.geteuid():
        raise UnsafeFolder(f"{folder} belongs to user {status.st_uid} or is a link; remove it")
    folder.chmod(mode)
    return folder


def superuser_password(folder: Path) -> str:
    """Return the superuser's password, generated at the first call and stored beside the data."""
    path = folder / "superuser.password"
    if not path.exists():
        write_private(path, secrets.token_urlsafe(18))
    return path.read_text().strip()


def _initdb(bindir: Path, data: Path, password: str, account: str | None, fsync: bool) -> None:
    if data.exists():
        shutil.rmtree(data)  # left by an incomplete initdb: it has no PG_VERSION
    data.mkdir(mode=0o700)
    secret = data.parent / "initdb.password"
    write_private(secret, password)
    if account:
        shutil.chown(data, account)
        shutil.chown(secret, account)
    command = [bindir / "initdb", "-D", data, "-U", SUPERUSER, "--auth=scram-sha-256", f"--pwfile={secret}"]
    command += ["--encoding=UTF8", "--locale=C", *([] if fsync else ["--no-sync"])]
    try:
        done = subprocess.run(
            [str(part) for part in command], cwd=data, env=base_env(data), capture_output=True, text=True,
            timeout=120, check=False, **as_user(account),
        )  # fmt: skip
    finally:
        secret.unlink()
    if done.returncode:
        reason = (done.stderr or done.stdout).strip()
        raise ServerDied(f"initdb in {data} failed ({done.returncode}):\n{reason}")


def end_leftovers(folder: Path) -> None:
    """Stop any server that still runs on data in `folder`, also an unrecorded one."""
    for data in folder.glob("data-*/"):
        _end_leftover(data)


def _end_leftover(data: Path) -> None:
    """Stop a server that still runs on this data, and remove a stale pid file whose pid was reused."""
    path = data / "postmaster.pid"
    if not path.exists():
        return
    first = path.read_text().partition("\n")[0].strip()
    users = processes_in(data)  # a server and its child processes have the data folder as working folder
    if first.isdigit() and int(first) in users:
        Process.of(int(first)).stop(signal.SIGINT)
    # Child processes of a killed server exit by themselves, but until then a new server refuses to start.
    if not wait_until(lambda: not processes_in(data), 20):
        raise NotReady(f"processes {processes_in(data)} still use {data}; end them and try again")
    # The server also refuses to start if the pid in the file was reused by a process of the same account.
    path.unlink(missing_ok=True)


def _launch(bindir: Path, data: Path, port: int, account: str | None, fsync: bool) -> Process:
    log = _log(data)
    settings = {
        "listen_addresses": ports.HOST,
        "port": str(port),
        "unix_socket_directories": "",  # TCP only: a socket path has a length limit
        "fsync": "on" if fsync else "off",
        "max_connections": "200",
        "password_encryption": "scram-sha-256",
        "timezone": "UTC",
        "log_timezone": "UTC",
    }
    options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    return start_process(
        [bindir / "postgres", "-D", data, *options], env=base_env(data), cwd=data, log=log, user=account
    )


def _log(data: Path) -> Path:
    return data.with_suffix(OUTPUT)


def _answers(server: Postgres) -> bool:
    try:
        with server.connect():
            return True
    except psycopg2.OperationalError as refused:
        if "authentication" in str(refused):
            raise NotReady(
                f"PostgreSQL refuses the password in {server.folder}; run `python -m devstack reset`"
            ) from refused
        return False  # still starting
