"""Access to the real platform under test: Airflow by REST, the command line, the database by plain SQL."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import boto3
import psycopg2

from devstack import witness
from devstack.airflow import log_of
from devstack.airflow_api import AirflowApi
from devstack.airflow_env import AIRFLOW_DATABASE
from devstack.stack import Stack

PROJECT = Path(__file__).resolve().parents[2]
T = TypeVar("T")


@dataclass(frozen=True)
class Run:
    """One DAG run, accessed through the REST interface."""

    api: AirflowApi
    dag: str
    id: str

    @property
    def path(self) -> str:
        return f"/api/v2/dags/{self.dag}/dagRuns/{quote(self.id, safe='')}"

    def state(self) -> str:
        return str(self.api.call("GET", self.path)["state"])

    def end(self, timeout: float = 150) -> str:
        return self.api.wait(self.dag, self.id, timeout)

    def states(self) -> dict[str, str | None]:
        return {task["task_id"]: task["state"] for task in self.api.task_instances(self.dag, self.id)}

    def task(self, task: str) -> dict[str, Any]:
        found: dict[str, Any] = self.api.call("GET", f"{self.path}/taskInstances/{quote(task)}")
        return found

    def xcom(self, task: str) -> dict[str, Any]:
        value: dict[str, Any] = self.api.xcom(self.dag, self.id, task)
        return value

    def log(self, task: str, try_number: int = 1) -> str:
        return self.api.logs(self.dag, self.id, task, try_number)

    def fail(self) -> None:
        """Mark the run as failed, as the button *Mark as failed* does."""
        self.api.call("PATCH", f"{self.path}?update_mask=state", {"state": "failed"})

    def asked(self, task: str) -> str:
        """Return the text that a pending approval shows."""
        path = f"{self.path}/taskInstances/{quote(task)}/-1/hitlDetails"
        return str(self.api.call("GET", path)["body"])

    def answer(self, task: str, choice: str) -> None:
        """Answer a pending approval, as the buttons of *Required actions* do."""
        body = {"chosen_options": [choice], "params_input": {}}
        self.api.call("PATCH", f"{self.path}/taskInstances/{quote(task)}/-1/hitlDetails", body)


@dataclass(frozen=True)
class World:
    """The running stack, and ways to inspect it that share no code with the platform."""

    stack: Stack
    loaded: float

    @property
    def api(self) -> AirflowApi:
        return self.stack.api()

    @property
    def temp(self) -> Path:
        return Path(self.stack.env()["STORAGE_TEMP_DIR"])

    def trigger(self, dag: str, conf: dict[str, Any] | None = None) -> Run:
        """Start a manual run, as the button *Trigger* does."""
        self.api.unpause(dag)
        return Run(self.api, dag, self.api.trigger(dag, conf))

    def asks(self, run: Run, task: str) -> None:
        """Wait for the approval request, and until the scheduler has seen the process of its task end.

        Airflow 3.3 fails a task that is answered earlier: its end then looks like a crash.
        """
        until(lambda: run.states().get(task) == "awaiting_input", 120, "question")
        self.noted(run, task)

    def noted(self, run: Run, task: str) -> None:
        """Wait until the scheduler has logged that this try of a task ended."""
        assert self.stack.airflow
        log = log_of(self.stack.airflow.home, "scheduler")
        words = f"dag_id='{run.dag}', task_id='{task}', run_id='{run.id}', try_number="
        words += f"{run.task(task)['try_number']},"

        def answer() -> bool:
            lines = log.read_text(errors="replace").splitlines()
            return any("Received executor event" in line and words in line for line in lines)

        until(answer, 60, f"word of the scheduler that {task} waits")

    def runs_of(self, dag: str) -> list[Run]:
        found = self.api.call("GET", f"/api/v2/dags/{dag}/dagRuns?limit=100")["dag_runs"]
        return [Run(self.api, dag, run["dag_run_id"]) for run in found]

    def strike_the_hour(self, dag: str) -> None:
        """Make the DAG's next run due a minute ago, so that the scheduler starts it."""
        self.api.unpause(dag)
        names = ("next_dagrun", "next_dagrun_data_interval_start", "next_dagrun_data_interval_end")
        due = ", ".join(
            f"{name} = now() - interval '1 minute'" for name in (*names, "next_dagrun_create_after")
        )
        with self.stack.postgres.connect(AIRFLOW_DATABASE) as session, session.cursor() as cursor:
            cursor.execute(f"UPDATE dag SET {due} WHERE dag_id = %s", (dag,))

    def snapshot(self) -> witness.Snapshot:
        return witness.snapshot(self.stack.env())

    def cli(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run ``storage ...`` in a separate process."""
        kept = {
            name: value for name, value in os.environ.items() if not name.startswith(("STORAGE_", "AIRFLOW"))
        }
        env = kept | self.stack.env() | {"PYTHONPATH": str(PROJECT)}
        command = [sys.executable, "-m", "storage", *arguments]
        return subprocess.run(command, env=env, cwd=PROJECT, capture_output=True, text=True, timeout=120)

    @contextmanager
    def session(self) -> Iterator[Any]:
        """Open a database session; its changes are committed at the end."""
        url = self.stack.env()["STORAGE_DATABASE_URL"].replace("+psycopg2", "", 1)
        connection = psycopg2.connect(url)
        try:
            with connection, connection.cursor() as cursor:
                yield cursor
        finally:
            connection.close()

    def sql(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        with self.session() as cursor:
            cursor.execute(query, values or None)
            return list(cursor.fetchall()) if cursor.description else []

    def bucket(self) -> Any:
        env = self.stack.env()
        return boto3.client(
            "s3",
            endpoint_url=env["STORAGE_ENDPOINT_URL"],
            region_name=env["STORAGE_REGION"],
            aws_access_key_id=env["STORAGE_ACCESS_KEY"],
            aws_secret_access_key=env["STORAGE_SECRET_KEY"],
        )

    def keys(self, prefix: str) -> list[str]:
        answer = self.bucket().list_objects_v2(Bucket=self.stack.env()["STORAGE_BUCKET"], Prefix=prefix)
        return [item["Key"] for item in answer.get("Contents", [])]

    def record(self, run_id: str) -> tuple[str, str, str]:
        """Return state, message and approver of a maintenance run."""
        query = "SELECT state, message, approved_by FROM maintenance.runs WHERE id = %s"
        state, message, approver = self.sql(query, run_id)[0]
        return state, message, approver


def until(ask: Callable[[], T], seconds: float, what: str) -> T:
    """Repeat ``ask`` until its answer is not empty; return that answer."""
    deadline = time.monotonic() + seconds
    while True:
        if answer := ask():
            return answer
        assert time.monotonic() < deadline, f"no {what} after {seconds:.0f} s"
        time.sleep(0.5)
