"""The whole local stack: start, repair, stop and reset it."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from devstack import cold_store, postgres, repair, state
from devstack.airflow import Airflow
from devstack.airflow_api import AirflowApi
from devstack.airflow_env import PROJECT, Backends, storage_env
from devstack.credentials import Credentials, load_or_create, private_folder
from devstack.errors import DevstackError, UnsafeFolder
from devstack.objectstore import ObjectStore
from devstack.postgres import Postgres
from devstack.process import end_strays
from devstack.repair import Say
from devstack.state import Record

PARTS = (
    "object-store",
    "cold-store",
    "postgres",
    "airflow",
    "logs",
    "temp",
    "temp.outside",
    "secrets",
    "state.json",
    "state.broken",
)


@dataclass(frozen=True)
class Stack:
    """A running stack."""

    home: Path
    store: ObjectStore
    postgres: Postgres
    airflow: Airflow | None
    credentials: Credentials
    cold: ObjectStore | None = None

    @property
    def backends(self) -> Backends:
        """Return the backends that the platform uses."""
        tiers = cold_store.SETTING if self.cold else ""
        return Backends(self.store, self.postgres, self.credentials, self.home / "temp", tiers)

    def env(self) -> dict[str, str]:
        """Return the STORAGE_* variables that point the platform at this stack."""
        return storage_env(self.backends)

    def api(self) -> AirflowApi:
        """Return a client of Airflow's REST API."""
        if self.airflow is None:
            raise DevstackError("this stack runs without Airflow; start it with `python -m devstack up`")
        return self.airflow.api()


def default_home() -> Path:
    """Return the folder of this checkout's stack."""
    return PROJECT / ".state" / "devstack"


def server_folder(home: Path) -> Path:
    """Return the data folder of the database server.

    When run as root, the server runs under another account, which may be unable to enter the home: its data
    is then below /var/tmp, in a folder named after a hash of the home.
    """
    if os.geteuid() != 0:
        return home / "postgres"
    digest = hashlib.sha256(str(home).encode()).hexdigest()[:8]
    return Path("/var/tmp") / f"transcode-flow-storage-{digest}" / "postgres"


def up(
    store: str = "auto",
    airflow: bool = True,
    home: Path | None = None,
    *,
    cold: bool = False,
    extra_env: Mapping[str, str] | None = None,
    fsync: bool = True,
    say: Say = print,
) -> Stack:
    """Start the parts that do not run, restart those that died, keep those that run.

    `cold` adds a second MinIO for cold objects if the first store is a MinIO; once added it stays.
    `extra_env` holds further AIRFLOW__* settings; changing them restarts Airflow.
    """
    place = _home(home)
    with _locked(place):
        credentials = load_or_create(place / "secrets")
        private_folder(place / "temp")
        local_stack = repair.LocalStack(
            place, server_folder(place), credentials, _load(place, credentials, say), say
        )
        repair.store_up(local_stack, store)
        repair.cold_up(local_stack, cold)
        fresh = repair.postgres_up(local_stack, fsync)
        if airflow:
            repair.airflow_up(local_stack, fresh, extra_env or {})
        return replace(
            _stack(place, local_stack.record, credentials),
            airflow=local_stack.record.airflow if airflow else None,
        )


def down(home: Path | None = None, *, say: Say = print) -> None:
    """Stop all parts and keep the data."""
    place = _home(home)
    if not (place / "secrets").exists():
        say(f"no stack in {place}")
        return
    with _locked(place):
        record = _load(place, load_or_create(place / "secrets"), say)
        for part in (record.airflow, record.store, record.cold, record.postgres):
            if part is not None:
                part.stop()
        _end_strays(place, record, say)
        say("the stack is stopped")


def status(home: Path | None = None) -> Record:
    """Return the record of the state file; `alive()` of each part tells if it still runs."""
    place = _home(home)
    if not state.path_of(place).exists():
        return Record()
    return state.load(place, load_or_create(place / "secrets"))[0]


def running(home: Path | None = None) -> Stack:
    """Return the running stack without starting anything. Raises DevstackError if none runs."""
    place = _home(home)
    record = status(place)
    stack = (
        _stack(place, record, load_or_create(place / "secrets")) if record.store and record.postgres else None
    )
    if stack is None or not stack.store.alive() or not stack.postgres.alive():
        raise DevstackError(f"no stack runs in {place}; start it with `python -m devstack up`")
    return replace(stack, airflow=record.airflow if record.airflow and record.airflow.alive() else None)


def reset(home: Path | None = None, *, say: Say = print) -> None:
    """Stop all parts and delete all data of the stack."""
    place = _home(home)
    down(place, say=say)
    for name in PARTS:
        _delete(place / name)
    if os.geteuid() == 0:
        _delete(server_folder(place).parent)
    say(f"all data of the stack in {place} is deleted")


def _delete(path: Path) -> None:
    if path.is_symlink() or path.is_file():
        path.unlink()
    elif path.is_dir():
        shutil.rmtree(path)


def _home(home: Path | None) -> Path:
    return (home or default_home()).resolve()


@contextmanager
def _locked(home: Path) -> Iterator[None]:
    """Hold the stack's lock: one `up`, `down` or `reset` at a time."""
    foreign = home.exists() and not (home / ".devstack").exists() and any(home.iterdir())
    if foreign:
        raise UnsafeFolder(f"{home} holds other files; choose an empty folder with --home")
    private_folder(home)
    with (home / ".devstack").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _stack(home: Path, record: Record, credentials: Credentials) -> Stack:
    if record.store is None or record.postgres is None:
        raise DevstackError(f"the stack in {home} is incomplete; run `python -m devstack up`")
    return Stack(home, record.store, record.postgres, None, credentials, record.cold)


def _load(home: Path, credentials: Credentials, say: Say) -> Record:
    record, problem = state.load(home, credentials)
    if problem:
        say(problem)
    _end_strays(home, record, say)
    return record


def _end_strays(home: Path, record: Record, say: Say) -> None:
    if record.postgres is None or not record.postgres.alive():
        postgres.end_leftovers(server_folder(home))  # first: it needs a different signal to stop cleanly
    strays = end_strays(home, record.processes())
    if strays:
        say(f"ended processes of this stack that were not recorded: {', '.join(map(str, strays))}")
