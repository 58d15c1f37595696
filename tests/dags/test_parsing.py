"""Parsing of the DAG files, cheap and deterministic: no vendor client, no clock, no randomness."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[2]
CLIENTS = ("minio", "boto3", "botocore", "psycopg2", "storage.stores", "storage.connect")
BASELINE = "from airflow.sdk import dag, task; import airflow.providers.standard.operators.hitl"
IMPORT_ALL = """
import importlib.util, pathlib
for path in sorted(pathlib.Path("dags").glob("*.py")):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    spec.loader.exec_module(importlib.util.module_from_spec(spec))
"""
TELL = "\nimport json, sys; print('LOADED', json.dumps(sorted(sys.modules)))"


def loaded_after(code: str) -> set[str]:
    """Return the modules that a clean interpreter has loaded after running ``code``."""
    env = os.environ | {"PYTHONPATH": f"{PROJECT}:{PROJECT / 'plugins'}"}
    done = subprocess.run(
        [sys.executable, "-c", code + TELL], env=env, cwd=PROJECT, capture_output=True, text=True, timeout=120
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("LOADED ")]
    assert lines, done.stderr
    return set(json.loads(lines[0].removeprefix("LOADED ")))


def test_parsing_the_dag_files_loads_no_vendor_client() -> None:
    """Every task parses its file again: a client imported there would slow down each task."""
    added = loaded_after(IMPORT_ALL) - loaded_after(BASELINE)
    assert "storage_airflow" in added, "the DAG files were imported"
    assert not added & set(CLIENTS)


def test_serialising_twice_gives_equal_output(dags: dict[str, Any]) -> None:
    """Otherwise every parse would create a new version of the DAG."""
    from airflow.dag_processing.dagbag import DagBag
    from airflow.serialization.serialized_objects import DagSerialization

    again = DagBag(str(PROJECT / "dags")).dags
    assert set(again) == set(dags)
    for name, dag in dags.items():
        first, second = (
            json.dumps(DagSerialization.to_dict(one), sort_keys=True) for one in (dag, again[name])
        )
        assert first == second, name
