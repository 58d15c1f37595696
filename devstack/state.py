"""The record of a stack: one JSON file with its processes and addresses. It holds no secret."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from devstack import cold_store, objectstore
from devstack.airflow import Airflow
from devstack.credentials import Credentials, write_private
from devstack.objectstore import ObjectStore
from devstack.postgres import SUPERUSER, Postgres, superuser_password
from devstack.process import Process

FORMAT = 1


@dataclass(frozen=True)
class Record:
    """Parts of a stack when it was last recorded; any part may have died since."""

    store: ObjectStore | None = None
    postgres: Postgres | None = None
    airflow: Airflow | None = None
    cold: ObjectStore | None = None

    def processes(self) -> list[Process]:
        """Return all recorded processes."""
        parts = (self.store, self.cold, self.postgres)
        servers = [part.process for part in parts if part and part.process]
        return servers + list(self.airflow.processes.values() if self.airflow else ())


def path_of(home: Path) -> Path:
    """Return the path of a stack's state file."""
    return home / "state.json"


def save(home: Path, record: Record) -> None:
    """Write the record atomically."""
    content = {
        "format": FORMAT,
        "home": str(home),
        "store": record.store and _store_fields(record.store),
        "postgres": record.postgres and _postgres_fields(record.postgres),
        "airflow": record.airflow and _airflow_fields(record.airflow),
        "cold": record.cold and _store_fields(record.cold),
    }
    write_private(path_of(home), json.dumps(content, indent=1))


def load(home: Path, credentials: Credentials) -> tuple[Record, str]:
    """Load the record; also return a message if the file is unusable (then the record is empty)."""
    path = path_of(home)
    if not path.exists():
        return Record(), ""
    try:
        content = json.loads(path.read_text())
        return _record(content, credentials), ""
    except (ValueError, KeyError, TypeError, AttributeError, OSError) as broken:
        kept = path.replace(path.with_suffix(".broken"))
        return (
            Record(),
            f"the state file was unreadable ({broken!r}); kept as {kept.name}, starting with an empty one",
        )


def _record(content: dict[str, Any], credentials: Credentials) -> Record:
    store, postgres, airflow = content["store"], content["postgres"], content["airflow"]
    return Record(
        store=_store(store, credentials) if store else None,
        postgres=_postgres(postgres) if postgres else None,
        airflow=_airflow(airflow) if airflow else None,
        cold=_cold(content["cold"], credentials) if content.get("cold") else None,
    )


def _store_fields(store: ObjectStore) -> dict[str, Any]:
    return {
        "kind": store.kind,
        "endpoint_url": store.endpoint_url,
        "region": store.region,
        "version": store.version,
        "folder": str(store.folder),
        "process": asdict(store.process) if store.process else None,
    }


def _store(fields: Mapping[str, Any], credentials: Credentials) -> ObjectStore:
    keys = (
        objectstore.external_keys()
        if fields["kind"] == "external"
        else (credentials.access_key, credentials.secret_key)
    )
    return ObjectStore(
        kind=fields["kind"],
        endpoint_url=fields["endpoint_url"],
        access_key=keys[0],
        secret_key=keys[1],
        region=fields["region"],
        version=fields["version"],
        emulated=objectstore.EMULATED[fields["kind"]],
        folder=Path(fields["folder"]),
        process=Process(**fields["process"]) if fields["process"] else None,
    )


def _cold(fields: Mapping[str, Any], credentials: Credentials) -> ObjectStore:
    access_key, secret_key = cold_store.keys(credentials)
    return replace(_store(fields, credentials), access_key=access_key, secret_key=secret_key)


def _postgres_fields(postgres: Postgres) -> dict[str, Any]:
    return {
        "host": postgres.host,
        "port": postgres.port,
        "bindir": str(postgres.bindir),
        "version": postgres.version,
        "folder": str(postgres.folder),
        "process": asdict(postgres.process),
    }


def _postgres(fields: Mapping[str, Any]) -> Postgres:
    folder = Path(fields["folder"])
    return Postgres(
        host=fields["host"],
        port=int(fields["port"]),
        user=SUPERUSER,
        password=superuser_password(folder) if folder.exists() else "",
        bindir=Path(fields["bindir"]),
        version=fields["version"],
        folder=folder,
        process=Process(**fields["process"]),
    )


def _airflow_fields(airflow: Airflow) -> dict[str, Any]:
    return {
        "home": str(airflow.home),
        "port": airflow.port,
        "log_port": airflow.log_port,
        "version": airflow.version,
        "fingerprint": airflow.fingerprint,
        "processes": {name: asdict(process) for name, process in airflow.processes.items()},
    }


def _airflow(fields: Mapping[str, Any]) -> Airflow:
    return Airflow(
        home=Path(fields["home"]),
        port=int(fields["port"]),
        log_port=int(fields["log_port"]),
        version=fields["version"],
        fingerprint=fields["fingerprint"],
        processes={name: Process(**process) for name, process in fields["processes"].items()},
    )
