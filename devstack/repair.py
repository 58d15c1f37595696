"""Bring up the parts of a stack: reuse what runs, restart what died."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from devstack import airflow as airflow_processes
from devstack import cold_store, minio_build, objectstore, ports, postgres, state
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
from devstack.process import Process
from devstack.state import Record

Say = Callable[[str], None]
POOLS = PROJECT / "dags" / "pools.json"


@dataclass
class LocalStack:
    """State of a stack while it is brought up."""

    home: Path
    server_folder: Path
    credentials: Credentials
    record: Record
    say: Say

    def keep(self, record: Record) -> None:
        """Save the record of a started part at once, before a later step can fail."""
        self.record = record
        state.save(self.home, record)

    def backends(self) -> Backends:
        """Return the backends that Airflow uses."""
        store, server = self.record.store, self.record.postgres
        if store is None or server is None:
            raise DevstackError("Airflow needs the object store and the database; start them first")
        tiers = cold_store.SETTING if self.record.cold else ""
        return Backends(store, server, self.credentials, self.home / "temp", tiers)


def store_up(local_stack: LocalStack, wanted: str) -> None:
    """Bring up the object store of the wanted kind; each kind has its own data."""
    known, say = local_stack.record.store, local_stack.say
    kind = _kind(known, wanted, say)
    if known is not None and known.kind == kind and known.alive() and _same_endpoint(known):
        ensure_buckets(known)
        say(f"object store: {kind} already runs at {known.endpoint_url}")
        return
    if known is not None:
        known.stop()
    # The same port for every kind, so that clients keep their configured address.
    recorded = known.port if known and known.process else None
    port = None if kind == "external" else _port_again(recorded, "object store", say)
    keys = _keys(kind, local_stack.credentials)
    folder = local_stack.home / "object-store" / kind
    store = objectstore.start(kind, folder, access_key=keys[0], secret_key=keys[1], port=port)
    local_stack.keep(replace(local_stack.record, store=store))
    ensure_buckets(store)
    say(f"object store: {kind} {store.version} at {store.endpoint_url}")
    if minio_build.SOURCE_VERSION in store.version:
        say(f"  {minio_build.NOTICE}")
    for fact in store.emulated:
        say(f"  emulated: {fact}")


def cold_up(local_stack: LocalStack, wanted: bool) -> None:
    """Bring up the second MinIO if wanted or already used: the first store reads moved objects from it."""
    known, store, say = local_stack.record.cold, local_stack.record.store, local_stack.say
    if store is None or store.kind != "minio":
        if known is not None:
            known.stop()
            local_stack.keep(replace(local_stack.record, cold=None))
        if wanted:
            say("cold store: none, because only a MinIO moves objects to another store")
        return
    if known is None and not wanted:
        return
    if known is None or not known.alive():
        access_key, secret_key = cold_store.keys(local_stack.credentials)
        port = known.port if known else None  # keep the port: the first store has its address configured
        known = cold_store.start(local_stack.home / "cold-store", access_key, secret_key, port)
        local_stack.keep(replace(local_stack.record, cold=known))
    cold_store.register(store, known)
    say(f"cold store: minio at {known.endpoint_url}, remote tier {cold_store.TIER} of the object store")


def _kind(known: ObjectStore | None, wanted: str, say: Say) -> str:
    if wanted == "auto" and known is not None and known.process and known.endpoint_url == _named_endpoint():
        return known.kind  # the caller's shell has loaded this stack's `devstack env`
    resolved = objectstore.resolve(wanted)
    if wanted != "auto" or known is None or "external" in (resolved, known.kind) or resolved == known.kind:
        return resolved
    # Keep the kind that holds the data: switching because a program was installed would hide it.
    say(f"object store: this stack keeps {known.kind}; `--store {resolved}` changes to {resolved}")
    return known.kind


def _same_endpoint(known: ObjectStore) -> bool:
    return known.kind != "external" or known.endpoint_url == _named_endpoint()


def _named_endpoint() -> str:
    return os.environ.get("STORAGE_ENDPOINT_URL", "").rstrip("/")


def _keys(kind: str, credentials: Credentials) -> tuple[str, str]:
    if kind != "external":
        return credentials.access_key, credentials.secret_key
    keys = objectstore.external_keys()
    if not all(keys):
        raise DevstackError("STORAGE_ENDPOINT_URL is set: set STORAGE_ACCESS_KEY and STORAGE_SECRET_KEY too")
    return keys


def _port_again(recorded: int | None, what: str, say: Say) -> int:
    port = ports.choose(recorded)
    if recorded and port != recorded:
        say(f"{what}: port {recorded} is taken by another program, using {port}")
    return port


def postgres_up(local_stack: LocalStack, fsync: bool) -> bool:
    """Bring up the database server and its two databases; return True if it had to be started."""
    server, say = local_stack.record.postgres, local_stack.say
    fresh = server is None or not server.alive()
    if server is None or fresh:
        if server is not None:
            server.process.sweep()
        postgres.own_folder(local_stack.server_folder.parent, 0o711 if os.geteuid() == 0 else 0o700)
        port = _port_again(server.port if server else None, "PostgreSQL", say)
        server = postgres.start(local_stack.server_folder, port=port, fsync=fsync)
        local_stack.keep(replace(local_stack.record, postgres=server))
    server.create_database(STORAGE_DATABASE, STORAGE_USER, local_stack.credentials.database_password)
    server.create_database(
        AIRFLOW_DATABASE, AIRFLOW_DATABASE, local_stack.credentials.airflow_database_password
    )
    verb = f"{server.version} ({server.bindir})" if fresh else "already runs"
    say(f"PostgreSQL {verb} at {server.host}:{server.port}")
    return fresh


def airflow_up(local_stack: LocalStack, fresh_database: bool, extra: Mapping[str, str]) -> None:
    """Bring up all Airflow components; restart all of them if their configuration has changed."""
    known, say, folder = local_stack.record.airflow, local_stack.say, local_stack.home / "airflow"
    backends = local_stack.backends()
    port, log_port = _airflow_ports(known, say)
    env = environment(folder, backends, port=port, log_port=log_port, extra=extra)
    digest = airflow_processes.fingerprint(env)
    same = known is not None and known.fingerprint == digest and not fresh_database
    if known is not None and same and known.alive():
        airflow_processes.load_pools(known, POOLS)
        say(f"Airflow already runs at {known.base_url}")
        return
    running = _stop_what_must_go(known, same, say)
    if airflow_processes.prepare(folder, env, backends.postgres, local_stack.credentials.admin_password):
        say("Airflow: metadata tables created or upgraded")
    say("Airflow: starting, this takes half a minute")
    started = airflow_processes.start(folder, env, running=running)
    local_stack.keep(replace(local_stack.record, airflow=started))
    pools = airflow_processes.load_pools(started, POOLS)
    say(f"Airflow {started.version} at {started.base_url} ({pools} pools)")


def _airflow_ports(known: Airflow | None, say: Say) -> tuple[int, int]:
    if known is None:
        return ports.choose(), ports.choose()
    if "api-server" not in known.dead():
        return known.port, known.log_port
    return _port_again(known.port, "Airflow", say), known.log_port


def _stop_what_must_go(known: Airflow | None, same: bool, say: Say) -> dict[str, Process]:
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
