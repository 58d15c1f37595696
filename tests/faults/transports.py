"""Patches that make each transport call an effect of an injector. Not undone: for a forked child only."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import io
import os
import re
import socket
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import psycopg2
import urllib3
from botocore.awsrequest import AWSResponse
from botocore.exceptions import ConnectionClosedError
from botocore.httpsession import URLLib3Session
from sqlalchemy import Engine, event

from storage.backup.postgres import amcheck, copy_rows, dump, fingerprint, temporary_server
from storage.backup.postgres import child_process as programs
from storage.backup.postgres import swap as pg_swap
from storage.backup.restore import database as restoring
from storage.backup.restore import swap as swapping
from storage.core.login import Login
from storage.engine import plan
from storage.stores import file_walk, files
from storage.stores.postgres.connection import connect as connect_engine
from storage.stores.s3 import client as s3_client
from storage.stores.s3 import transport
from tests.faults.effects import Injector, Kind, Mode, Wrapped

SLOW_DOWN = b'<?xml version="1.0"?><Error><Code>SlowDown</Code><Message>injected</Message></Error>'
_UPLOAD = re.compile(r"(uploadId=)[^&]+")
_WRITES = {"unlink", "rmdir", "mkdir", "rename"}
_READS = {"open", "listdir", "scandir", "stat", "fstat"}
_sleep = time.sleep


def warm() -> None:
    """Parse the service models that a client needs, so that no forked child has to."""
    keys = Login(access_key="a", secret_key="b")
    s3_client.Endpoint(url="http://store.invalid", region="us-east-1", login=keys).boto()


def hurry() -> None:
    """Shorten waits between retries: the tests check that there is a retry, not how long it waits."""
    time.sleep = lambda seconds: _sleep(min(seconds, 0.002))


def http_client(injector: Injector) -> urllib3.PoolManager:
    """Return the product's connection pool with each attempt an effect; retries are made above it."""

    class Pool(urllib3.HTTPConnectionPool):
        def _make_request(self, conn: Any, method: str, url: str, *args: Any, **options: Any) -> Any:
            make = super()._make_request

            def fail(mode: Mode, answer: Any) -> Any:
                if mode != "503":
                    conn.close()
                    raise ConnectionResetError(errno.ECONNRESET, "injected: the answer was lost")
                return urllib3.HTTPResponse(
                    io.BytesIO(SLOW_DOWN),
                    {"Content-Type": "application/xml", "Content-Length": str(len(SLOW_DOWN))},
                    503,
                    preload_content=options.get("preload_content", True),
                    request_method=method,
                    request_url=url,
                )

            run = lambda: make(conn, method, url, *args, **options)  # noqa: E731
            return injector.through(_verb(method), _request(method, url), run, fail)

    manager = transport.pool()
    manager.pool_classes_by_scheme = {"http": Pool, "https": urllib3.HTTPSConnectionPool}
    return manager


def watch_boto(injector: Injector) -> None:
    send = URLLib3Session.send

    def watched(self: Any, request: Any) -> Any:
        def fail(mode: Mode, answer: Any) -> Any:
            if mode != "503":
                raise ConnectionClosedError(endpoint_url=request.url)
            refused = AWSResponse(request.url, 503, {}, None)
            refused._content = SLOW_DOWN
            return refused

        path = "/" + request.url.split("/", 3)[3]
        run = lambda: send(self, request)  # noqa: E731
        return injector.through(_verb(request.method), _request(request.method, path), run, fail)

    URLLib3Session.send = watched


def watch_sql(injector: Injector, engine: Engine) -> None:
    """Watch statements through SQLAlchemy's events, and commits where the dialect sends them."""

    def statement(cursor: Any, text: str, parameters: Any, context: Any) -> bool:
        run = lambda: cursor.execute(text, parameters)  # noqa: E731
        injector.through("sql", _statement(text), run, lambda mode, done: _cut(cursor.connection))
        return True

    event.listen(engine, "do_execute", statement)
    _watch_commit(injector, engine)


def _watch_commit(injector: Injector, engine: Engine) -> None:
    commit = engine.dialect.do_commit

    def watched(connection: Any) -> None:
        wire = getattr(connection, "dbapi_connection", connection)
        injector.through("commit", "COMMIT", lambda: commit(connection), lambda mode, done: _cut(wire))

    engine.dialect.do_commit = watched  # type: ignore[method-assign]


def watch_programs(injector: Injector) -> None:
    """Watch PostgreSQL's programs, and the engines and sessions that backups open themselves."""

    def spawned(argv: Any, **options: Any) -> Any:
        def fail(mode: Mode, child: Any) -> Any:
            child.kill()
            return child

        return injector.through("program", Path(argv[0]).name, lambda: programs.spawn(argv, **options), fail)

    watched_cursor = type("Watched", (_Cursor,), {"injector": injector})

    def opened(url: str) -> Engine:
        engine = connect_engine(url)
        event.listen(engine, "connect", lambda made, _: setattr(made, "cursor_factory", watched_cursor))
        _watch_commit(injector, engine)
        return engine

    for module in (dump, temporary_server, amcheck):
        module.spawn = spawned  # type: ignore[attr-defined]
    for module in (fingerprint, amcheck, copy_rows, pg_swap, restoring, swapping):
        module.connect = opened  # type: ignore[attr-defined]
    session = temporary_server.session

    def watched(url: str, options: str = "") -> Any:
        made = session(url, options)
        made.cursor_factory = watched_cursor
        return made

    temporary_server.session = watched


class _Cursor(psycopg2.extensions.cursor):
    """The driver's cursor with each statement an effect, whichever code runs it."""

    injector: Injector

    def execute(self, query: Any, vars: Any = None) -> None:
        text = query if isinstance(query, str) else query.as_string(self.connection)
        run = lambda: super(_Cursor, self).execute(query, vars)  # noqa: E731
        self.injector.through("sql", _statement(text), run, lambda mode, done: _cut(self.connection))

    def copy_expert(self, sql: Any, file: Any, size: int = 8192) -> None:
        text = sql if isinstance(sql, str) else sql.as_string(self.connection)
        run = lambda: super(_Cursor, self).copy_expert(sql, file, size)  # noqa: E731
        self.injector.through("sql", _statement(text), run, lambda mode, done: _cut(self.connection))


def _cut(connection: Any) -> None:
    with socket.socket(fileno=os.dup(connection.fileno())) as wire:
        wire.shutdown(socket.SHUT_RDWR)
    raise psycopg2.OperationalError("server closed the connection unexpectedly (injected)")


def watch_files(injector: Injector) -> None:
    """Watch the temp folder adapter's calls, its renameat2 and leases, and the plan's temporary file."""
    functions = {name: _call(injector, name, getattr(os, name)) for name in _WRITES | _READS}
    for module in (files, file_walk):
        module.os = Wrapped(os, functions)  # type: ignore[attr-defined]
    files.fcntl = Wrapped(fcntl, {"fcntl": _call(injector, "fcntl", fcntl.fcntl)})  # type: ignore[attr-defined]
    files._libc = _Libc(injector, files._libc)  # type: ignore[assignment]
    made = _call(injector, "mkstemp", tempfile.NamedTemporaryFile)
    plan.tempfile = Wrapped(tempfile, {"NamedTemporaryFile": made})  # type: ignore[attr-defined]


class _Libc:
    """libc with renameat2 watched, which reports errors by errno."""

    def __init__(self, injector: Injector, real: Any) -> None:
        self._injector, self._real = injector, real

    def renameat2(self, from_fd: int, from_name: bytes, to_fd: int, to_name: bytes, flags: int) -> Any:
        def fail(mode: Mode, done: Any) -> int:
            ctypes.set_errno(errno.EIO)
            return -1

        run = lambda: self._real.renameat2(from_fd, from_name, to_fd, to_name, flags)  # noqa: E731
        what = f"rename {os.fsdecode(from_name)} to {os.fsdecode(to_name)}"
        return self._injector.through("file-write", what, run, fail)


def _call(injector: Injector, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    kind: Kind = "file-write" if name in _WRITES else "file-read"

    def watched(*args: Any, **options: Any) -> Any:
        def fail(mode: Mode, done: Any) -> Any:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

        subject = args[0] if args and isinstance(args[0], bytes | str | os.PathLike) else ""
        what = f"{name} {os.fsdecode(subject)}".rstrip()
        return injector.through(kind, what, lambda: function(*args, **options), fail)

    return watched


def _verb(method: str) -> Kind:
    return "http-write" if method in ("PUT", "POST", "DELETE") else "http-read"


def _request(method: str, url: str) -> str:
    url = _UPLOAD.sub(r"\1ID", url)
    return f"{method} {unquote(url).lstrip('/')}"


def _statement(text: str) -> str:
    lines = [line for line in text.splitlines() if not line.startswith("--")]
    return " ".join(" ".join(lines).split())[:90]
