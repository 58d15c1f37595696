"""Servers of the tests: started once for a run by the first process that needs one, and shared by all.

Workers of pytest-xdist find them through a folder named by an environment variable. In it each server has a
lock and a record.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

from devstack import cold_store, minio_build, objectstore, postgres, tools
from devstack.credentials import write_private
from devstack.errors import DevstackError
from devstack.go_build import VERSITYGW
from devstack.objectstore import ObjectStore
from devstack.postgres import Postgres
from devstack.process import Process, end_strays
from devstack.stack import server_folder
from storage.stores.postgres.connection import connect as connect_engine
from storage.stores.postgres.migrate import migrate

FOLDER = "TEST_SERVERS"  # environment variable: the folder of this run
TEMPLATE, OWNER = "template_maintenance", "maintainer"
#: The database password, the same in every process of a run.
PASSWORD = os.environ.setdefault("TEST_DATABASE_PASSWORD", secrets.token_hex(8))
Server = TypeVar("Server", ObjectStore, Postgres)


def open_folder() -> Path | None:
    """Create the folder and set its variable; None if an outer run, which stops the servers, has set it."""
    if os.environ.get(FOLDER):
        return None
    folder = Path(tempfile.mkdtemp(prefix="test-servers-"))
    os.environ[FOLDER] = str(folder)
    return folder


def close_folder(folder: Path) -> None:
    """Stop all servers started from the folder, recorded or not, and delete it."""
    data = server_folder(folder)
    postgres.end_leftovers(data)
    end_strays(data, ())
    end_strays(folder, ())
    shutil.rmtree(data.parent if os.geteuid() == 0 else data, ignore_errors=True)
    shutil.rmtree(folder, ignore_errors=True)
    if os.environ.get(FOLDER) == str(folder):
        del os.environ[FOLDER]


def database_server() -> Postgres:
    """Return PostgreSQL with a migrated template; durability is off, as no test simulates a power cut."""
    return _once("postgres", _start_postgres, _postgres_of)


def object_store(kind: str) -> ObjectStore:
    """Return a store of that kind. MinIO and versitygw are built first if necessary. Raises DevstackError."""
    return _once(kind, lambda folder: _start_store(kind, folder), _store_of)


def remote_tier() -> ObjectStore:
    """Return a second MinIO, registered with the first as its remote tier COLD."""
    return _once("cold", _start_cold, _store_of)


def _start_postgres(folder: Path) -> Postgres:
    server = postgres.start(server_folder(folder), fsync=False)
    server.create_database(TEMPLATE, OWNER, PASSWORD)
    engine = connect_engine(server.dsn(TEMPLATE, OWNER, PASSWORD))
    migrate(engine)
    engine.dispose()
    return server


def _start_store(kind: str, folder: Path) -> ObjectStore:
    if kind == "minio":
        minio_build.build()
    if kind.startswith("versitygw"):
        tools.bring(VERSITYGW)
    keys = {"access_key": "testaccesskey", "secret_key": secrets.token_hex(16)}
    return objectstore.start(kind, folder / kind, **keys)


def _start_cold(folder: Path) -> ObjectStore:
    first = object_store("minio")
    cold = cold_store.start(folder / "cold", "coldaccesskey", secrets.token_hex(16))
    cold_store.register(first, cold)
    return cold


def _once(name: str, start: Callable[[Path], Server], known: Callable[[Mapping[str, Any]], Server]) -> Server:
    """Return the recorded server, else start it. A failed start is recorded too, and not retried."""
    folder = Path(os.environ[FOLDER])
    record = folder / f"{name}.json"
    with _locked(folder / f"{name}.lock"):
        if record.exists():
            answer = json.loads(record.read_text())
            if why := answer.get("failed"):
                raise DevstackError(why)
            return known(answer)
        try:
            server = start(folder)
        except DevstackError as error:
            write_private(record, json.dumps({"failed": str(error)}))
            raise
        write_private(record, json.dumps(asdict(server), default=str))
        return server


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _store_of(answer: Mapping[str, Any]) -> ObjectStore:
    process = answer["process"] and Process(**answer["process"])
    read = {"folder": Path(answer["folder"]), "emulated": tuple(answer["emulated"]), "process": process}
    return ObjectStore(**{**answer, **read})


def _postgres_of(answer: Mapping[str, Any]) -> Postgres:
    paths = {name: Path(answer[name]) for name in ("bindir", "folder")}
    return Postgres(**{**answer, **paths, "process": Process(**answer["process"])})
