"""Servers and the databases, buckets and temp folders on them, for a run outside pytest."""

from __future__ import annotations

import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from devstack import minio_build, objectstore, postgres
from devstack.stack import server_folder
from storage import connect
from storage.core.settings import Settings
from tests.conftest import new_place, without_backups

Place = tuple[Settings, str]  # settings, and the kind of the object store


@contextmanager
def environments(kind: str, count: int) -> Iterator[list[Place]]:
    """Start PostgreSQL and a store of that kind, and set up ``count`` empty places on them."""
    with servers(kind) as (store, database, home):
        yield [make_place(store, database, home, number) for number in range(count)]


@contextmanager
def servers(kind: str) -> Iterator[tuple[objectstore.ObjectStore, postgres.Postgres, Path]]:
    with ExitStack() as stack:
        home = Path(tempfile.mkdtemp(prefix="faults-"))
        stack.callback(shutil.rmtree, home, ignore_errors=True)
        data = server_folder(home)
        stack.callback(shutil.rmtree, data.parent, ignore_errors=True)
        database = postgres.start(data, fsync=False)
        stack.callback(database.stop)
        if kind == "minio":
            minio_build.build()
        store = objectstore.start(
            kind, home / kind, access_key="testaccesskey", secret_key=secrets.token_hex(16)
        )
        stack.callback(store.stop)
        yield store, database, home


def make_place(
    store: objectstore.ObjectStore, database: postgres.Postgres, home: Path, number: int = 0
) -> Place:
    """Create and set up an empty place with its own database, buckets and temp folder."""
    name, password = f"faults_{secrets.token_hex(3)}_{number}", secrets.token_hex(8)
    database.create_database(name, name, password)
    folder = home / name
    folder.mkdir()
    made = new_place(store, database.dsn(name, name, password), folder)
    connect.set_up(made.settings)
    without_backups(made.settings)
    return made.settings, made.kind
