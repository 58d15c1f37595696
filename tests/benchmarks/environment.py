"""Servers, bucket and temp folder that the contestants work on."""

from __future__ import annotations

import io
import json
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

from devstack import objectstore, postgres
from devstack.stack import server_folder
from storage import connect
from storage.backup.postgres import programs
from storage.core.settings import Settings
from storage.stores.postgres.connection import connect as connect_engine
from tests.conftest import without_backups

MARKER = ".transcode-flow-temp"
FILES_A_JOB = 50
BODY = b"x" * 128
FILE = b"x" * 1024
FILLERS = 16


@dataclass(frozen=True)
class Environment:
    """One bucket, one database and one temp folder on servers started for the benchmark."""

    settings: Settings
    store: objectstore.ObjectStore
    database: postgres.Postgres
    home: Path
    minio: Any

    @property
    def temporary(self) -> Path:
        """The contestants' TMPDIR."""
        return self.home / "temporary"

    @property
    def pg_dump(self) -> str:
        """The start of the shell command of every contestant's dump."""
        program = programs.client("pg_dump", int(self.database.version.partition(".")[0]))
        return f"'{program}' -d '{self.settings.database_url.replace('+psycopg2', '')}'"

    def servers_cpu(self) -> float:
        """Return CPU seconds of both servers so far, including their ended processes."""
        server, store = psutil.Process(self.database.pid), psutil.Process(self.store.pid)
        while True:
            backends = server.children()
            with suppress(psutil.NoSuchProcess):
                used = [one.cpu_times() for one in (server, store, *backends)]
                if server.children() == backends:  # a backend that ends meanwhile counts twice or not at all
                    ended = used[0].children_user + used[0].children_system
                    return float(ended + sum(one.user + one.system for one in used))

    def environment(self) -> dict[str, str]:
        """Return the environment variables of a contestant."""
        where = self.settings
        return {
            **os.environ,
            "BENCH_SETTINGS": json.dumps(asdict(where)),
            "BENCH_PG_DUMP": self.pg_dump,
            "TMPDIR": str(self.temporary),
            "AWS_ACCESS_KEY_ID": where.access_key,
            "AWS_SECRET_ACCESS_KEY": where.secret_key,
            "AWS_REGION": where.region,
            "S3_ENDPOINT_URL": where.endpoint_url,
            "NO_PROXY": "127.0.0.1",
            "no_proxy": "127.0.0.1",
        }

    def fill_bucket(self, keys: int) -> None:
        """Write ``keys`` small objects under temp/, in folders of jobs."""

        def put(number: int) -> None:
            key = f"temp/bench-{number // FILES_A_JOB:05}/segment_{number:06}.ts"
            self.minio.put_object(self.settings.bucket, key, io.BytesIO(BODY), len(BODY))

        with ThreadPoolExecutor(FILLERS) as pool:
            list(pool.map(put, range(keys)))

    def keys_left(self) -> int:
        """Count the objects under temp/ as another client lists them."""
        found = self.minio.list_objects(self.settings.bucket, prefix="temp/", recursive=True)
        return sum(1 for _ in found)

    def fill_folder(self, files: int) -> None:
        """Write ``files`` small files in folders of jobs."""
        root = Path(self.settings.temp_dir)
        for number in range(files):
            folder = root / f"bench-{number // FILES_A_JOB:05}"
            if number % FILES_A_JOB == 0:
                folder.mkdir(exist_ok=True)
            (folder / f"segment_{number:06}.ts").write_bytes(FILE)

    def clear_folder(self) -> None:
        """Empty the temp folder but for its marker."""
        root = Path(self.settings.temp_dir)
        shutil.rmtree(root, ignore_errors=True)
        root.mkdir(parents=True)
        (root / MARKER).touch()

    def files_left(self) -> tuple[int, int]:
        """Count the files in the temp folder, and the files set aside in it."""
        found = [Path(parent, name) for parent, _, names in os.walk(self.settings.temp_dir) for name in names]
        aside = sum(".condemned" in path.parts for path in found)
        return len(found) - aside - 1, aside

    def pass_the_notice(self) -> None:
        """Make files that are set aside due now instead of in an hour."""
        engine = connect_engine(self.settings.database_url)
        with engine.begin() as session:
            session.exec_driver_sql("UPDATE maintenance.tombstones SET delete_after = now()")
        engine.dispose()


@contextmanager
def environment(kind: str) -> Iterator[Environment]:
    """Start PostgreSQL and a store of that kind; stop both and delete their data afterwards."""
    with ExitStack() as stack:
        home = Path(tempfile.mkdtemp(prefix="bench-"))
        stack.callback(shutil.rmtree, home, ignore_errors=True)
        data = server_folder(home)
        stack.callback(shutil.rmtree, data.parent, ignore_errors=True)
        database = postgres.start(data, fsync=False)
        stack.callback(database.stop)
        store = objectstore.start(
            kind, home / kind, access_key="benchaccesskey", secret_key=secrets.token_hex(16)
        )
        stack.callback(store.stop)
        password = secrets.token_hex(8)
        database.create_database("bench", "bench", password)
        made = _made(store, database, database.dsn("bench", "bench", password), home)
        made.clear_folder()
        connect.set_up(made.settings)
        without_backups(made.settings)
        yield made


def _made(
    store: objectstore.ObjectStore, database: postgres.Postgres, database_url: str, home: Path
) -> Environment:
    settings = Settings(
        endpoint_url=store.endpoint_url,
        access_key=store.access_key,
        secret_key=store.secret_key,
        region=store.region,
        database_url=database_url,
        temp_dir=str(home / "temp"),
    )
    client = connect.endpoint(settings).minio()
    for bucket in (settings.bucket, settings.maintenance_bucket, settings.backup_bucket):
        client.make_bucket(bucket)
    made = Environment(settings, store, database, home, client)
    made.temporary.mkdir()
    return made
