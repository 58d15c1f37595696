"""Output of `python -m devstack status`."""

from __future__ import annotations

from pathlib import Path

from devstack.airflow import COMPONENTS
from devstack.airflow_env import ADMIN
from devstack.state import Record
from devstack.tables import table

Row = tuple[str, str, str, str]


def lines(record: Record, home: Path) -> list[str]:
    """Return the lines of the status report: a table of the parts, then notes (versions, login, folders)."""
    rows = _rows(record)
    if not rows:
        return [f"no stack in {home}; start it with `python -m devstack up`"]
    return [*table([("part", "state", "pid", "address"), *rows]), "", *_notes(record, home)]


def _rows(record: Record) -> list[Row]:
    rows: list[Row] = []
    store, server, airflow = record.store, record.postgres, record.airflow
    if store:
        rows.append(_row(f"object store ({store.kind})", store.alive(), store.pid, store.endpoint_url))
    if record.cold:
        cold = record.cold
        rows.append(_row("cold store (minio)", cold.alive(), cold.pid, cold.endpoint_url))
    if server:
        address = f"{server.host}:{server.port}"
        rows.append(_row(f"PostgreSQL {server.version}", server.alive(), server.pid, address))
    if airflow:
        dead = airflow.dead()
        for name in COMPONENTS:
            address = airflow.base_url if name == "api-server" else ""
            rows.append(_row(f"airflow {name}", name not in dead, airflow.processes[name].pid, address))
    return rows


def _row(name: str, alive: bool, pid: int | None, address: str) -> Row:
    return name, "runs" if alive else "stopped", str(pid) if pid and alive else "-", address


def _notes(record: Record, home: Path) -> list[str]:
    notes = []
    if record.store:
        notes.append(f"store      {record.store.kind} {record.store.version}")
        nothing = "not known" if record.store.kind == "external" else "nothing"
        notes += [f"emulated   {fact}" for fact in record.store.emulated or (nothing,)]
    if record.airflow and record.airflow.alive():
        password = record.airflow.admin_password
        notes.append(f"login      {record.airflow.base_url}  user {ADMIN}  password {password}")
    notes.append(f"files      {home}")
    if record.postgres and not record.postgres.folder.is_relative_to(home):
        notes.append(f"database   {record.postgres.folder}")
    return notes
