"""Properties of every DAG: its runbook, its timeouts, its pools, a task group per maintenance job."""

from __future__ import annotations

import ast
import json
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from storage import catalog

PROJECT = Path(__file__).resolve().parents[2]
FILES = sorted((PROJECT / "dags").glob("*.py"))
NAMES = [found[1] for path in FILES if (found := re.search(r'dag_id="(\w+)"', path.read_text()))]
TAGS = {"storage", "cleanup", "backup", "restore", "cold"}


def test_every_file_is_imported_without_an_error(dagbag: Any) -> None:
    assert dagbag.import_errors == {}
    assert set(dagbag.dags) == set(NAMES)
    assert len(FILES) == len(NAMES), "one file per DAG"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_file_only_declares_and_is_its_own_runbook(path: Path) -> None:
    """The file is short, and its docstring tells the operator on call what to do."""
    source = path.read_text()
    assert len(source.splitlines()) <= 40
    docstring = ast.get_docstring(ast.parse(source)) or ""
    assert "**If it is red:**" in docstring
    assert docstring.startswith("### ")


@pytest.mark.parametrize("name", NAMES)
def test_a_dag_can_be_found_and_understood_in_the_list(name: str, dags: dict[str, Any]) -> None:
    dag = dags[name]
    assert "If it is red" in dag.doc_md
    assert dag.description
    assert dag.tags
    assert dag.tags <= TAGS
    assert {task.owner for task in dag.tasks} == {"transcode-flow"}


@pytest.mark.parametrize("name", NAMES)
def test_a_dag_runs_once_at_a_time_and_never_for_the_past(name: str, dags: dict[str, Any]) -> None:
    dag = dags[name]
    assert dag.max_active_runs == 1
    assert dag.catchup is False
    assert dag.start_date is None
    assert {task.start_date for task in dag.tasks} == {None}
    assert {str(one.value) for one in dag.allowed_run_types} == {"scheduled", "manual"}


@pytest.mark.parametrize("name", NAMES)
def test_nothing_hangs_for_ever_and_retries_are_decided_by_the_error(name: str, dags: dict[str, Any]) -> None:
    """A run times out before the next night's run; a task times out before its run."""
    from storage_airflow.approval import ANSWER_WITHIN
    from storage_airflow.runtime import RETRIES

    dag = dags[name]
    assert ANSWER_WITHIN < dag.dagrun_timeout < timedelta(days=1)
    for task in dag.tasks:
        assert timedelta(0) < task.execution_timeout < dag.dagrun_timeout
        assert task.retries == (0 if task.task_id == "restore" else 3)  # an operator asked for it
        assert task.retry_policy is RETRIES


def test_every_pool_is_defined(dags: dict[str, Any]) -> None:
    """A task of a pool that does not exist waits for ever."""
    pools = json.loads((PROJECT / "dags" / "pools.json").read_text())
    used = {task.pool for dag in dags.values() for task in dag.tasks}
    assert used - {"default_pool"} == set(pools)
    assert all(pool["slots"] >= 1 and pool["description"] for pool in pools.values())


def test_what_touches_rows_or_files_has_a_pool_of_one_slot() -> None:
    pools = json.loads((PROJECT / "dags" / "pools.json").read_text())
    assert pools["storage_database"]["slots"] == pools["storage_files"]["slots"] == 1


@pytest.mark.parametrize("job", catalog.JOBS)
def test_every_catalogued_job_is_planned_approved_and_applied_in_some_dag(
    job: str, dags: dict[str, Any]
) -> None:
    homes = [dag for dag in dags.values() if job in dag.task_group.children]
    assert len(homes) == 1, f"{job} belongs to exactly one DAG"
    tasks = {task.task_id: task for task in homes[0].tasks if task.task_id.startswith(f"{job}.")}
    steps = [f"{job}.{title}" for _, title in catalog.get(job).steps]
    act = f"{job}.begin" if steps else f"{job}.apply"
    assert set(tasks) == {f"{job}.plan", f"{job}.approve", act, *steps, *([f"{job}.record"] if steps else [])}
    assert tasks[f"{job}.approve"].upstream_task_ids == {f"{job}.plan"}
    assert tasks[act].upstream_task_ids == {f"{job}.plan", f"{job}.approve"}
    assert {t.pool for t in tasks.values() if t.task_id != f"{job}.approve"} == {
        f"storage_{catalog.get(job).resource}"
    }


def test_what_is_done_in_parts_is_done_step_by_step_and_verified(dags: dict[str, Any]) -> None:
    """Each step is mapped and waits for the previous step; record runs after all of them, failed or not."""
    dag, job = dags["cold_storage"], "cold_storage"
    compress, move = (dag.get_task(f"{job}.{n}") for n in ("compress_cold_objects", "transition_tiers"))
    assert compress.is_mapped
    assert move.is_mapped
    assert compress.task_id in move.upstream_task_ids
    record = dag.get_task(f"{job}.record")
    assert move.task_id in record.upstream_task_ids
    assert record.trigger_rule == "all_done"


@pytest.mark.parametrize("group", ["cleanup_temp_files", "cleanup_failed_jobs", "cleanup_stuck_jobs"])
def test_the_documents_names_are_kept(group: str, dags: dict[str, Any]) -> None:
    assert group in dags["storage_cleanup"].task_group.children


@pytest.mark.parametrize("job", catalog.JOBS)
def test_an_approval_is_a_rejection_unless_somebody_says_otherwise(job: str, dags: dict[str, Any]) -> None:
    """Approval rejects by default and on timeout, rejection is a failure, apply does not run after it."""
    from storage_airflow.approval import ANSWER_WITHIN

    dag = next(dag for dag in dags.values() if job in dag.task_group.children)
    act = "begin" if catalog.get(job).steps else "apply"
    approve, apply = dag.get_task(f"{job}.approve"), dag.get_task(f"{job}.{act}")
    assert approve.defaults == ["Reject"]
    assert approve.fail_on_reject is True
    assert approve.response_timeout == ANSWER_WITHIN
    assert approve.retries >= 1
    assert apply.trigger_rule == "none_failed_min_one_success", "no plan, nothing to apply"
