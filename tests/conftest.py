"""Real servers for the tests: PostgreSQL, ministack and MinIO, started once for a run, on loopback.

A store that is unavailable is named in the summary with the reason, and fails the run in CI.
"""

from __future__ import annotations

import os
import secrets
import signal
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from sqlalchemy import Engine, text

from devstack import objectstore, postgres
from devstack.errors import DevstackError
from storage import connect
from storage.core.settings import Settings
from storage.installation import open_installation
from storage.stores.postgres.connection import connect as connect_engine
from tests.faults import draw
from tests.support import servers, workers

PASSWORD = servers.PASSWORD
OWNED = pytest.StashKey[Path]()
missing: dict[str, str] = {}


@pytest.fixture(scope="session")
def server_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("servers")


@pytest.fixture(scope="session")
def postgres_server() -> postgres.Postgres:
    """Start one server for the whole run."""
    return servers.database_server()


@pytest.fixture
def database_url(postgres_server: postgres.Postgres) -> Iterator[str]:
    """Create a database for one test, copied from a migrated template."""
    name = f"test_{secrets.token_hex(6)}"
    with postgres_server.connect() as session:
        session.autocommit = True
        with session.cursor() as cursor:
            cursor.execute(f'CREATE DATABASE "{name}" TEMPLATE "{servers.TEMPLATE}" OWNER maintainer')
    yield postgres_server.dsn(name, "maintainer", PASSWORD)
    with postgres_server.connect() as session:
        session.autocommit = True
        with session.cursor() as cursor:
            cursor.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    one = connect_engine(database_url)
    yield one
    one.dispose()


@pytest.fixture(scope="session")
def store_server() -> Callable[[str], objectstore.ObjectStore]:
    """Return a function that starts a store of a kind when it is first requested."""
    return servers.object_store


@pytest.fixture(scope="session")
def cold_store(store_server: Callable[[str], objectstore.ObjectStore]) -> objectstore.ObjectStore:
    """Start a second MinIO as the remote tier COLD of the first."""
    needed("minio", store_server)
    return servers.remote_tier()


def needed(kind: str, start: Callable[[str], objectstore.ObjectStore]) -> objectstore.ObjectStore:
    """Return the running store; skip the test with the reason when it is unavailable."""
    if kind in missing:
        pytest.skip(missing[kind])
    try:
        return start(kind)
    except DevstackError as error:
        missing[kind] = f"no {kind}: {error}"
        pytest.skip(missing[kind])


@dataclass(frozen=True)
class Place:
    """Environment of a test: settings for its own set of buckets, database and temp folder."""

    settings: Settings
    kind: str
    boto: Any

    def put(self, key: str, data: bytes = b"x") -> None:
        self.boto.put_object(Bucket=self.settings.bucket, Key=key, Body=data)


@pytest.fixture(params=["ministack", "minio"])
def place(
    request: pytest.FixtureRequest,
    store_server: Callable[[str], objectstore.ObjectStore],
    database_url: str,
    tmp_path: Path,
) -> Iterator[Place]:
    """Set up empty buckets, a migrated database bound to them, and an empty temp folder."""
    server = needed(request.param, store_server)
    made = new_place(server, database_url, tmp_path)
    connect.set_up(made.settings)
    without_backups(made.settings)
    yield made
    for bucket in buckets(made.settings):
        empty(made.boto, bucket)


def new_place(server: objectstore.ObjectStore, database_url: str, folder: Path) -> Place:
    tag = secrets.token_hex(4)
    temp = folder / "temp"
    temp.mkdir()
    (temp / ".transcode-flow-temp").touch()
    settings = Settings(
        endpoint_url=server.endpoint_url,
        access_key=server.access_key,
        secret_key=server.secret_key,
        region=server.region,
        database_url=database_url,
        bucket=f"videos-{tag}",
        maintenance_bucket=f"maintenance-{tag}",
        backup_bucket=f"backups-{tag}",
        temp_dir=str(temp),
    )
    boto = connect.endpoint(settings).boto()
    for bucket in buckets(settings):
        boto.create_bucket(Bucket=bucket)
    return Place(settings, server.kind, boto)


def without_backups(settings: Settings) -> None:
    """Switch off the guard that requires a fresh backup, as where backups are made by other means."""
    with open_installation(settings) as stores:
        stores.control.write("fresh_backup_guard", "off")


def buckets(settings: Settings) -> tuple[str, ...]:
    return settings.bucket, settings.maintenance_bucket, settings.backup_bucket


def empty(boto: Any, bucket: str) -> None:
    for page in boto.get_paginator("list_object_versions").paginate(Bucket=bucket):
        entries = (*page.get("Versions", ()), *page.get("DeleteMarkers", ()))
        to_delete = [{"Key": one["Key"], "VersionId": one["VersionId"]} for one in entries]
        if to_delete:
            boto.delete_objects(Bucket=bucket, Delete={"Objects": to_delete, "Quiet": True})
    try:
        boto.delete_bucket(Bucket=bucket)
    except ClientError as error:  # MinIO still deletes from a remote tier; the bucket ends with its server
        if (
            error.response["Error"]["Code"] != "BucketNotEmpty"
            or boto.list_objects_v2(Bucket=bucket)["KeyCount"]
        ):
            raise


@pytest.fixture
def add_job(engine: Engine) -> Callable[..., None]:
    """Insert a row into the pipeline's jobs: ``add_job("job-1", "failed", when, output_360p_path=...)``."""

    def add(id: str, status: str, updated_at: Any, **columns: Any) -> None:
        values = {"id": id, "status": status, "updated_at": updated_at} | columns
        names, placeholders = ", ".join(values), ", ".join(f":{name}" for name in values)
        with engine.begin() as connection:
            connection.execute(text(f"INSERT INTO jobs ({names}) VALUES ({placeholders})"), values)

    return add


STORES = ("fake", "folder", "ministack", "minio", "versitygw", "versitygw_plain", "postgres", "external")


def _matrix(reports: Iterable[Any]) -> dict[str, Counter[str]]:
    """Count passed contract tests by suite and by the store they ran on."""
    found: dict[str, Counter[str]] = {}
    for report in reports:
        path, _, test = report.nodeid.partition("::")
        if report.when == "call" and "tests/contract/" in path:
            words = test.partition("[")[2].rstrip("]").split("-")
            store = next((one for one in STORES if one in words), "")
            found.setdefault(Path(path).stem.removeprefix("test_"), Counter())[store] += 1
    return found


def pytest_terminal_summary(terminalreporter: Any) -> None:
    if matrix := _matrix(terminalreporter.stats.get("passed", ())):
        shown = [one for one in STORES if any(row[one] for row in matrix.values())]
        wide = {store: max(11, len(store) + 2) for store in shown}
        lines = {"contract tests passed": {store: store for store in shown}, **dict(sorted(matrix.items()))}
        for suite, row in lines.items():
            cells = (str(row.get(store) or "").rjust(wide[store]) for store in shown)
            terminalreporter.write_line(suite.ljust(26) + "".join(cells))
    if any("tests/faults/" in one.nodeid for one in terminalreporter.stats.get("passed", ())):
        terminalreporter.write_line(
            f"{draw.VARIABLE}={draw.seed()} draws the same faults, races and bugs again"
        )
    for kind, why in missing.items():
        terminalreporter.write_line(f"NOT TESTED on {kind}: {why}", yellow=True)


def pytest_configure(config: pytest.Config) -> None:
    draw.fix_seed()
    if (folder := servers.open_folder()) is not None:
        config.stash[OWNED] = folder
        if getattr(config.option, "numprocesses", None):  # cancelled in CI: stop as by Ctrl-C, with servers
            signal.signal(signal.SIGTERM, signal.default_int_handler)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop the servers, also of a run that was interrupted."""
    if folder := config.stash.get(OWNED, None):
        servers.close_folder(folder)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    workers.in_order(items)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    return workers.scheduler(config, log)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Merge a worker's unavailable stores into this process's."""
    missing.update(getattr(node, "workeroutput", {}).get("missing", {}))


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["missing"] = missing
    elif missing and os.environ.get("CI") == "true" and exitstatus == 0:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


__all__ = ["PASSWORD", "Place", "empty", "needed", "new_place", "replace"]
