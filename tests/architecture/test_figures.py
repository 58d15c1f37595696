"""Limits of the code's structure, documented import paths, modules an import loads, and job types."""

from __future__ import annotations

import json
import re
from importlib import import_module
from pathlib import Path

import pytest

from tests.architecture import checkers, figures

#: tests/dags/test_parsing.py checks that parsing a DAG file loads none of these either.
VENDORS = {"minio", "boto3", "botocore", "sqlalchemy", "psycopg2"}
LIGHT = ("catalog", "backup", "cleanup", "lifecycle", "presigned", "testing")
DOCUMENTED = (
    ("storage.lifecycle", "configure_lifecycle_policies"),
    ("storage.cleanup", "StorageCleanup"),
    ("storage.backup", "BackupManager"),
    ("storage.presigned", "PresignedURLGenerator"),
)
JOB_RUNS = """
from datetime import datetime

from storage.backup.ports import BackupStores
from storage.cold.ports import ColdStores
from storage.core.ports import Stores
from storage.engine import sweep
from storage.engine.job import MaintenanceJob
from storage.installation import Installation


def check(
    cold_job: MaintenanceJob[ColdStores],
    backup_job: MaintenanceJob[BackupStores],
    core_stores: Stores,
    installation: Installation,
    at: datetime,
) -> None:
    sweep.run(cold_job, core_stores, at)  # refused
    sweep.run(backup_job, core_stores, at)  # refused
    sweep.run(cold_job, installation, at)
    sweep.run(backup_job, installation, at)
"""


def test_every_figure_keeps_its_limit() -> None:
    measured = figures.figures()
    beyond = [one for one in measured if one.limit is not None and one.now > one.limit]
    assert not beyond, figures.table(beyond)


def test_siblings_in_a_circle_are_refused_by_the_import_linter_too() -> None:
    (contract,) = (one for one in figures.contracts() if one["type"] == "acyclic_siblings")
    assert contract["ancestors"] == [figures.PACKAGE]
    assert not contract.keys() & {"depth", "skip_descendants", "ignore_imports"}, "nothing is left out"


def test_the_bundle_of_each_capability_is_measured() -> None:
    assert {"BackupStores", "ColdStores"} <= set(figures.bundles())


def test_longer_files_and_functions_are_found(tmp_path: Path) -> None:
    (tmp_path / "long.py").write_text("@cache\ndef two(x: int) -> int:\n    return x\n")
    code = [str(tmp_path)]
    assert figures.longer_files(code, 3) == figures.longer_functions(code, 2) == ()
    assert figures.longer_files(code, 2) == ("long.py 3",)
    assert figures.longer_functions(code, 1) == ("long.py:2 two 2",)


@pytest.mark.parametrize(("module", "name"), DOCUMENTED)
def test_a_documented_import_path_works(module: str, name: str) -> None:
    assert callable(getattr(import_module(module), name))


@pytest.mark.parametrize("module", LIGHT)
def test_an_import_loads_no_vendor_client(module: str) -> None:
    code = f"import json, sys, storage.{module}; print(json.dumps(sorted(sys.modules)))"
    done = checkers.run(figures.PROJECT, "-c", code)
    assert done.returncode == 0, done.stderr
    assert not VENDORS & set(json.loads(done.stdout))


def test_types_refuse_a_job_run_with_stores_that_do_not_suffice(tmp_path: Path) -> None:
    snippet = tmp_path / "job_runs.py"
    snippet.write_text(JOB_RUNS)
    done = checkers.mypy(figures.PROJECT, tmp_path, snippet)
    found = {int(line) for line in re.findall(r"^.*job_runs\.py:(\d+): error:", done.stdout, re.MULTILINE)}
    refused = {n for n, line in enumerate(JOB_RUNS.splitlines(), 1) if line.endswith("# refused")}
    assert found == refused, done.stdout + done.stderr
