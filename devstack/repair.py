"""Bring one part of a stack up: reuse it when it runs, restart it when it died."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from devstack import airflow as airflow_processes
from devstack import objectstore, ports, postgres
from devstack.airflow import Airflow
from devstack.airflow_env import (
    AIRFLOW_DATABASE,
    PROJECT,
    STORAGE_DATABASE,
    STORAGE_USER,
    Backends,
    environment,
)
from devstack.buckets import ensure_buckets
from devstack.credentials import Credentials
from devstack.errors import DevstackError
from devstack.objectstore import ObjectStore
from devstack.postgres import Postgres

Say = Callable[[str], None]
POOLS = PROJECT / "dags" / "pools.json"


def store_up(
    folder: Path, known: ObjectStore | None, wanted: str, credentials: Credentials, say: Say
) -> ObjectStore:
    """The object store of the wanted kind, each kind with data of its own below `folder`."""
    kind = _kind(known, wanted, say)
    if known is not None and known.kind == kind and known.alive() and _same_endpoint(known):
        say(f"object store: {kind} already runs at {known.endpoint_url}")
        ensure_buckets(known)
        return known
    if known is not None:
        known.stop()
    keys = (credentials.access_key, credentials.secret_key)
    if kind == "external":
        keys = _external_keys()
        port = None
    else:
        # The same port for every kind: nothing that was configured with the address has to change.
        port = port_again(known.port if known and known.process else None, "object store", say)
    store = objectstore.start(kind, folder / kind, access_key=keys[0], secret_key=keys[1], port=port)
    ensure_buckets(store)
    say(f"object store: {kind} {store.version} at {store.endpoint_url}")
    for fact in store.emulated:
        say(f"  emulated: {fact}")
    return store


def _kind(known: ObjectStore | None, wanted: str, say: Say) -> str:
    resolved = objectstore.resolve(wanted)
    if wanted != "auto" or known is None or "external" in (resolved, known.kind) or resolved == known.kind:
        return resolved
    # Its data is there: switching because a program appeared on the machine would hide it.
    say(f"object store: this stack keeps {known.kind}; `--store {resolved}` changes to {resolved}")
    return known.kind


def _same_endpoint(known: ObjectStore) -> bool:
    wanted = os.environ.get("STORAGE_ENDPOINT_URL", "").rstrip("/")
    return known.kind != "external" or known.endpoint_url == wanted


def _external_keys() -> tuple[str, str]:
    keys = objectstore.external_keys()
    if not all(keys):
        raise DevstackError("STORAGE_ENDPOINT_URL is set: set STORAGE_ACCESS_KEY and STORAGE_SECRET_KEY too")
    return keys


def port_again(recorded: int | None, what: str, say: Say) -> int:
    """The port used before, or another one when somebody took it."""
    port = ports.choose(recorded)
    if recorded and port != recorded:
        say(f"{what}: port {recorded} is taken by another program, using {port}")
    return port


def postgres_up(
    folder: Path, known: Postgres | None, credentials: Credentials, fsync: bool, say: Say
) -> tuple[Postgres, bool]:
    """The database server with its two databases, and whether it had to be started."""
    fresh = known is None or not known.alive()
    if known is not None and not fresh:
        server = known
        say(f"PostgreSQL already runs at {server.host}:{server.port}")
    else:
        if known is not None:
            known.process.sweep()
        postgres.own_folder(folder.parent, 0o711)
        port = port_again(known.port if known else None, "PostgreSQL", say)
        server = postgres.start(folder, port=port, fsync=fsync)
        say(f"PostgreSQL {server.version} at {server.host}:{server.port} ({server.bindir})")
    server.create_database(STORAGE_DATABASE, STORAGE_USER, credentials.database_password)
    server.create_database(AIRFLOW_DATABASE, AIRFLOW_DATABASE, credentials.airflow_database_password)
    return server, fresh


def airflow_up(
    folder: Path, backends: Backends, known: Airflow | None, fresh_database: bool, extra: Mapping[str, str], say: Say
) -> Airflow:
    """All Airflow components, restarted as a whole when what they were configured with has changed."""
    port, log_port = _airflow_ports(known, say)
    env = environment(folder, backends, port=port, log_port=log_port, extra=extra)
    same = known is not None and known.fingerprint == airflow_processes.fingerprint(env) and not fresh_database
    if known is not None and same and known.alive():
        say(f"Airflow already runs at {known.base_url}")
        airflow_processes.load_pools(known, POOLS)
        return known
    running = _stop_what_must_go(known, same, say)
    if airflow_processes.prepare(folder, env, backends.postgres, backends.credentials.admin_password):
        say("Airflow: metadata tables created or upgraded")
    started = airflow_processes.start(folder, env, running=running)
    pools = airflow_processes.load_pools(started, POOLS)
    say(f"Airflow {started.version} at {started.base_url} ({pools} pools)")
    return started


def _airflow_ports(known: Airflow | None, say: Say) -> tuple[int, int]:
    if known is None:
        return ports.choose(), ports.choose()
    if "api-server" not in known.dead():
        return known.port, known.log_port
    return port_again(known.port, "Airflow", say), known.log_port


def _stop_what_must_go(
    known: Airflow | None, same: bool, say: Say
) -> dict[str, airflow_processes.Process]:
    if known is None:
        return {}
    dead = known.dead()
    if not same:
        if len(dead) < len(known.processes):
            say("Airflow: addresses or settings changed, restarting it")
        known.stop()
        return {}
    say(f"Airflow: restarting {', '.join(dead)}")
    airflow_processes.stop_processes(known.processes[name] for name in dead if name in known.processes)
    return {name: process for name, process in known.processes.items() if name not in dead}
