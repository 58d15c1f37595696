"""One real stack for all end-to-end tests: object store, PostgreSQL, four Airflow components, sample data."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from devstack import minio_build, stack
from devstack.airflow_api import FINISHED
from devstack.errors import DevstackError
from devstack.sample import BackDate, back_date_ministack, generate, load
from storage import connect
from storage.backup.connect import open_context
from storage.backup.database import backup_database
from storage.backup.prove import prove
from storage.core.settings import Settings
from tests.conftest import missing
from tests.e2e.world import World

JOBS, SEED = 120, 7
HOME = pytest.StashKey[Path]()
NEVER = "0 0 29 2 *"
SETTINGS = {
    "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "True",
    "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "600",  # the files do not change: read them once
    "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "600",
    "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.6",  # leave the cores to the tests beside these
    "STORAGE_CLEANUP_SCHEDULE": NEVER,
    "STORAGE_REAP_SCHEDULE": NEVER,
    "STORAGE_TEMP_SCHEDULE": NEVER,
    "STORAGE_PROBE_SCHEDULE": NEVER,
    "STORAGE_BACKUP_SCHEDULE": NEVER,
    "STORAGE_DRILL_SCHEDULE": NEVER,
    "STORAGE_DRIFT_SCHEDULE": NEVER,
    "STORAGE_COLD_SCHEDULE": NEVER,
    "STORAGE_RECORDS_SCHEDULE": NEVER,
}
DAGS = (
    *("storage_cleanup", "storage_reap", "storage_temp_after_jobs", "storage_probe"),
    *("daily_backup", "backup_drill", "restore_database", "lifecycle_drift"),
    *("cold_storage", "storage_records"),
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.airflow)


def kind() -> str:
    """Return the kind of object store: the real MinIO where available, otherwise ministack."""
    try:
        minio_build.build()
    except DevstackError as error:
        missing["minio"] = f"no minio: {error}"
        return "ministack"
    return "minio"


@pytest.hookimpl(trylast=True)  # after the fixtures of the last test
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Stop Airflow as soon as no test needs it: it would slow down all later tests."""
    if nextitem is None or Path(__file__).parent not in nextitem.path.parents:
        home = item.config.stash.get(HOME, None)
        if home is not None:
            stack.down(home)


@pytest.fixture(scope="session")
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    home = tmp_path_factory.mktemp("stack") / "home"
    request.config.stash[HOME] = home
    chosen = kind()

    def up() -> stack.Stack:
        return stack.up(chosen, home=home, extra_env=SETTINGS, fsync=False)

    try:
        running = fill(up(), up)
        for name in DAGS:
            running.api().wait_for_dag(name)
        yield World(running, loaded=time.monotonic())
    finally:
        stack.reset(home)


def fill(running: stack.Stack, up: Callable[[], stack.Stack]) -> stack.Stack:
    """Load sample data with true ages, create the platform's own schema and take a proven backup."""
    spec = generate(JOBS, SEED, datetime.now(UTC))
    real = running.store.kind == "minio"
    load(spec, running.env(), BackDate.HEADER if real else BackDate.FILES)
    if not real:
        running.store.stop()
        back_date_ministack(running.store.folder, spec.dates(), running.env()["STORAGE_BUCKET"])
        running = up()
    settings = Settings.from_env(running.env())
    connect.set_up(settings)
    with open_context(settings) as context:
        prove(context, backup_database(context).id)  # required by the fresh-backup guard
    return running


@pytest.fixture(autouse=True)
def at_rest(world: World) -> Iterator[None]:
    """Ensure that no test, not even one that fails, leaves a run in progress or maintenance paused."""
    yield
    world.sql("DELETE FROM maintenance.control WHERE name = 'paused'")
    for run in (run for dag in DAGS for run in world.runs_of(dag)):
        if run.state() not in FINISHED:
            run.fail()
