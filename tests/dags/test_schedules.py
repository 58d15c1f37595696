"""Schedules of the DAGs: the documented hours, other hours from the environment, no catch-up."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

PROJECT = Path(__file__).resolve().parents[2]
#: The hours that the documents and README name.
DOCUMENTED = {
    "storage_cleanup": ("STORAGE_CLEANUP_SCHEDULE", "0 2 * * *"),
    "storage_reap": ("STORAGE_REAP_SCHEDULE", "15 * * * *"),
    "storage_temp_after_jobs": ("STORAGE_TEMP_SCHEDULE", "*/10 * * * *"),
    "storage_probe": ("STORAGE_PROBE_SCHEDULE", "30 1 * * *"),
    "daily_backup": ("STORAGE_BACKUP_SCHEDULE", "0 3 * * *"),
    "backup_drill": ("STORAGE_DRILL_SCHEDULE", "0 5 * * 0"),
    "lifecycle_drift": ("STORAGE_DRIFT_SCHEDULE", "30 4 * * *"),
    "cold_storage": ("STORAGE_COLD_SCHEDULE", "0 4 * * *"),
    "storage_records": ("STORAGE_RECORDS_SCHEDULE", "30 5 * * *"),
}
SCHEDULES = {
    re.search(r'dag_id="(\w+)"', text)[1]: found.groups()  # type: ignore[index]
    for path in sorted((PROJECT / "dags").glob("*.py"))
    if (found := re.search(r'schedule\("(\w+)", "([^"]+)"\)', text := path.read_text()))
}
PARSE = """
import json, sys
from airflow.dag_processing.dagbag import DagBag
bag = DagBag(sys.argv[1])
print("FOUND", json.dumps({name: [dag.timetable.expression, str(dag.timetable.timezone)]
                           for name, dag in bag.dags.items() if dag.timetable.can_be_scheduled}
                          | {"errors": bag.import_errors}))
"""


def parsed_with(extra: dict[str, str]) -> dict[str, Any]:
    """Return the cron line and time zone of every DAG, parsed in a separate process."""
    names = [environment for environment, _ in SCHEDULES.values()]
    env = {name: value for name, value in os.environ.items() if name not in names}
    env |= {"PYTHONPATH": f"{PROJECT}:{PROJECT / 'plugins'}"} | extra
    command = [sys.executable, "-c", PARSE, str(PROJECT / "dags")]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120)
    found = [line for line in done.stdout.splitlines() if line.startswith("FOUND ")]
    assert found, done.stderr
    result: dict[str, Any] = json.loads(found[0].removeprefix("FOUND "))
    assert not result.pop("errors")
    return result


def test_the_documented_hours_in_utc() -> None:
    found = parsed_with({})
    assert found == {name: [cron, "UTC"] for name, (_, cron) in SCHEDULES.items()}
    assert {name: [cron, "UTC"] for name, (_, cron) in DOCUMENTED.items()}.items() <= found.items()


def test_the_environment_names_other_hours() -> None:
    wanted = {variable: f"{minute} 4 * * 1" for minute, (variable, _) in enumerate(SCHEDULES.values())}
    found = parsed_with(wanted)
    assert found == {name: [wanted[variable], "UTC"] for name, (variable, _) in SCHEDULES.items()}


def core_timetable(cron: str) -> Any:
    """Return the timetable as the scheduler has it: declared by our code, serialised, read back."""
    from airflow.sdk import DAG
    from airflow.serialization.serialized_objects import DagSerialization
    from storage_airflow.runtime import DEFAULTS, schedule

    with DAG("sample", schedule=schedule("NO_SUCH_VARIABLE", cron), **DEFAULTS) as dag:
        pass
    return DagSerialization.from_dict(DagSerialization.to_dict(dag)).timetable


def next_run(timetable: Any, last: datetime | None = None) -> datetime:
    """Return the time at which the scheduler would start the next run of a DAG that is unpaused now."""
    from airflow.timetables.base import DataInterval, TimeRestriction
    from pendulum import instance

    before = None if last is None else DataInterval.exact(instance(last))
    info = timetable.next_dagrun_info(
        last_automated_data_interval=before, restriction=TimeRestriction(None, None, catchup=False)
    )
    moment: datetime = info.run_after
    return moment


@pytest.mark.parametrize("minutes_ago", [1, 3, 5, 61])
def test_a_dag_that_never_ran_waits_for_its_next_night(minutes_ago: int) -> None:
    """A DAG unpaused shortly after its hour does not catch up on the run it missed."""
    now = datetime.now(UTC)
    missed = now - timedelta(minutes=minutes_ago)
    first = next_run(core_timetable(f"{missed.minute} {missed.hour} * * *"))
    assert now < first <= now + timedelta(days=1)


def test_a_dag_that_runs_every_night_runs_the_next_night() -> None:
    now = datetime.now(UTC)
    fired = now - timedelta(minutes=3)
    cron, last = f"{fired.minute} {fired.hour} * * *", fired.replace(second=0, microsecond=0)
    assert next_run(core_timetable(cron), last) == last + timedelta(days=1)


@pytest.mark.parametrize("name", SCHEDULES)
def test_every_dag_of_the_project_waits_for_its_next_hour(name: str, dags: dict[str, Any]) -> None:
    from airflow.serialization.serialized_objects import DagSerialization

    timetable = DagSerialization.from_dict(DagSerialization.to_dict(dags[name])).timetable
    assert next_run(timetable) > datetime.now(UTC)
