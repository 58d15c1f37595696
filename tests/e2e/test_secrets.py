"""Absence of secrets in all the platform writes. The last module: it reads the output of all others."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path

from tests.e2e.conftest import DAGS
from tests.e2e.world import World

TABLES = "SELECT tablename FROM pg_tables WHERE schemaname = 'maintenance'"


def test_no_secret_is_written_down(world: World) -> None:
    """Covers task logs, output of the components, XComs, the platform's tables and its plans."""
    if not world.runs_of("storage_probe"):
        assert world.trigger("storage_probe").end() == "success"
    secrets = {
        "secret key": world.stack.credentials.secret_key,
        "database password": world.stack.credentials.database_password,
    }
    seen = 0
    for place, text in everything_written(world):
        seen += 1
        for name, secret in secrets.items():
            assert secret not in text, f"the {name} is in {place}"
    assert seen > 20


def everything_written(world: World) -> Iterator[tuple[str, str]]:
    for folder in ("airflow/logs", "logs"):
        for path in sorted((world.stack.home / folder).rglob("*")):
            if path.is_file():
                yield str(path), path.read_text(errors="replace")
    yield from xcoms(world)
    for (table,) in world.sql(TABLES):
        yield table, str(world.sql(f"SELECT to_jsonb(one) FROM maintenance.{table} AS one"))
    bucket = world.stack.env()["STORAGE_MAINTENANCE_BUCKET"]
    pages = world.bucket().get_paginator("list_objects_v2").paginate(Bucket=bucket)
    for item in (item for page in pages for item in page.get("Contents", ())):
        body = world.bucket().get_object(Bucket=bucket, Key=item["Key"])["Body"].read()
        plain = gzip.decompress(body) if Path(item["Key"]).suffix == ".gz" else body
        yield item["Key"], plain.decode(errors="replace")


def xcoms(world: World) -> Iterator[tuple[str, str]]:
    for run in (run for dag in DAGS for run in world.runs_of(dag)):
        entries = world.api.call("GET", f"{run.path}/taskInstances/~/xcomEntries?limit=100")["xcom_entries"]
        for task in (entry["task_id"] for entry in entries if entry["key"] == "return_value"):
            yield f"XCom of {run.dag} {run.id} {task}", json.dumps(run.xcom(task))
