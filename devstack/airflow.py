"""The four Airflow components as local processes."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import time
from collections.abc import Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psycopg2

from devstack import ports
from devstack.airflow_api import AirflowApi
from devstack.airflow_env import ADMIN, AIRFLOW_DATABASE
from devstack.credentials import write_private
from devstack.errors import AirflowApiError, DevstackError, NotReady, ServerDied
from devstack.postgres import Postgres
from devstack.process import OUTPUT, Process, start_process, tail, wait_until

# Without --skip-serve-logs scheduler and triggerer would serve log files on every interface. The API
# server reads the files from disk instead.
COMPONENTS: dict[str, tuple[str, ...]] = {
    "api-server": ("api-server",),
    "scheduler": ("scheduler", "--skip-serve-logs"),
    "dag-processor": ("dag-processor",),
    "triggerer": ("triggerer", "--skip-serve-logs"),
}
HEALTH_PARTS = ("metadatabase", "scheduler", "dag_processor", "triggerer")
HEALTH_PATH = "/api/v2/monitor/health"
HEALTHY_SECONDS = 180.0
STOP_SECONDS = 25.0


@dataclass(frozen=True)
class Airflow:
    """Running components; `fingerprint` identifies the environment they were started with."""

    home: Path
    port: int
    log_port: int
    version: str
    fingerprint: str
    processes: Mapping[str, Process]

    @property
    def base_url(self) -> str:
        """Return the base URL of the web interface and the REST API."""
        return f"http://{ports.HOST}:{self.port}"

    @property
    def admin_password(self) -> str:
        """Return the password of the user `admin`."""
        return str(json.loads((self.home / "passwords.json").read_text())[ADMIN])

    def api(self) -> AirflowApi:
        """Return a client of the REST API, logged in as admin."""
        return AirflowApi(self.base_url, ADMIN, self.admin_password)

    def dead(self) -> list[str]:
        """Return the names of the components that are not running."""
        return [name for name in COMPONENTS if name not in self.processes or not self.processes[name].alive()]

    def alive(self) -> bool:
        """Return True if all components are running."""
        return not self.dead()

    def stop(self) -> None:
        """Stop all components and the processes of their sessions."""
        # Stop the API server last: the others report to it while they shut down, and hang when it is gone.
        stop_processes(process for name, process in self.processes.items() if name != "api-server")
        stop_processes(process for name, process in self.processes.items() if name == "api-server")


def fingerprint(env: Mapping[str, str]) -> str:
    """Return a short digest of the environment variables that affect Airflow."""
    names = sorted(name for name in env if name.startswith("AIRFLOW") or name == "PYTHONPATH")
    return hashlib.sha256(json.dumps([(name, env[name]) for name in names]).encode()).hexdigest()[:16]


def prepare(home: Path, env: Mapping[str, str], postgres: Postgres, admin_password: str) -> bool:
    """Write the login and migrate the metadata tables; return True if a migration was run."""
    home.mkdir(parents=True, exist_ok=True)
    for name in ("AIRFLOW__CORE__DAGS_FOLDER", "AIRFLOW__CORE__PLUGINS_FOLDER"):
        Path(env[name]).mkdir(parents=True, exist_ok=True)
    write_private(home / "passwords.json", json.dumps({ADMIN: admin_password}))
    stamp, wanted = home / "migrated", f"{version('apache-airflow')} on PostgreSQL {postgres.version}"
    if stamp.exists() and stamp.read_text() == wanted and _has_tables(postgres):
        return False
    _cli(["db", "migrate"], env, home)
    stamp.write_text(wanted)
    return True


def _has_tables(postgres: Postgres) -> bool:
    with postgres.connect(AIRFLOW_DATABASE) as session, session.cursor() as cursor:
        try:
            cursor.execute("SELECT count(*) FROM alembic_version")
        except psycopg2.errors.UndefinedTable:
            return False
        row = cursor.fetchone()
        return bool(row and row[0])


def _cli(arguments: list[str], env: Mapping[str, str], home: Path) -> None:
    log = log_of(home, "cli")
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as out:
        done = subprocess.run(
            [sys.executable, "-m", "airflow", *arguments], env=dict(env), cwd=home, stdin=subprocess.DEVNULL,
            stdout=out, stderr=subprocess.STDOUT, timeout=300, check=False,
        )  # fmt: skip
    if done.returncode:
        command = " ".join(arguments)
        raise ServerDied(f"`airflow {command}` failed ({done.returncode}); log {log}:\n{tail(log, 25)}")


def start(folder: Path, env: Mapping[str, str], *, running: Mapping[str, Process] | None = None) -> Airflow:
    """Start the components that are not in `running` and wait until all are healthy."""
    processes, begun = dict(running or {}), datetime.now(UTC)
    for name, arguments in COMPONENTS.items():
        if name not in processes:
            processes[name] = start_process(
                [sys.executable, "-m", "airflow", *arguments], env=env, cwd=folder, log=log_of(folder, name)
            )
    port = int(env["AIRFLOW__API__PORT"])
    airflow = Airflow(
        folder, port, int(env["AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT"]), version("apache-airflow"),
        fingerprint(env), processes,
    )  # fmt: skip
    try:
        _wait_healthy(airflow, set(processes) - set(running or {}), begun)
    except BaseException:  # also on an interrupt: the processes are not recorded yet and would leak
        airflow.stop()
        raise
    return airflow


def log_of(folder: Path, component: str) -> Path:
    """Return the output file of a component."""
    return folder.parent / "logs" / f"airflow-{component}{OUTPUT}"


def _wait_healthy(airflow: Airflow, started: set[str], begun: datetime) -> None:
    deadline = time.monotonic() + HEALTHY_SECONDS
    missing: list[str] = []
    while time.monotonic() < deadline:
        for name in airflow.dead():
            log = log_of(airflow.home, name)
            raise ServerDied(f"airflow {name} ended while starting; last lines of {log}:\n{tail(log, 25)}")
        missing = unhealthy(airflow, started, begun)
        if not missing:
            return
        time.sleep(0.3)
    logs = airflow.home.parent / "logs"
    raise NotReady(
        f"after {HEALTHY_SECONDS:.0f} s these Airflow parts are not healthy: {', '.join(missing)}; see {logs}"
    )


def unhealthy(airflow: Airflow, started: Collection[str] = (), begun: datetime | None = None) -> list[str]:
    """Return the components that the API server does not report as healthy.

    A component in `started` needs a heartbeat since `begun`: the server reports a killed component as healthy
    for another half minute.
    """
    try:
        answer = AirflowApi(airflow.base_url, "", "").call("GET", HEALTH_PATH, anonymous=True)
    except AirflowApiError:
        return ["api-server"]
    return [part for part in HEALTH_PARTS if not _healthy(part, answer.get(part) or {}, started, begun)]


def _healthy(part: str, answer: Mapping[str, Any], started: Collection[str], begun: datetime | None) -> bool:
    if answer.get("status") != "healthy":
        return False
    if begun is None or part.replace("_", "-") not in started:
        return True
    heartbeat = answer.get(f"latest_{part}_heartbeat")
    return bool(heartbeat) and datetime.fromisoformat(str(heartbeat)) >= begun


def load_pools(airflow: Airflow, definition: Path) -> int:
    """Create or update the pools of a `pools.json`; a task in a missing pool would wait for ever."""
    if not definition.exists():
        return 0
    pools: dict[str, dict[str, Any]] = json.loads(definition.read_text())
    entities = [{"name": name, "include_deferred": False, **settings} for name, settings in pools.items()]
    action = {"action": "create", "action_on_existence": "overwrite", "entities": entities}
    answer = airflow.api().call("PATCH", "/api/v2/pools", {"actions": [action]})
    errors = (answer.get("create") or {}).get("errors")
    if errors:
        raise DevstackError(f"Airflow refused pools of {definition}: {errors}; correct the file")
    return len(entities)


def stop_processes(processes: Iterable[Process]) -> None:
    """Stop components in parallel.

    Only the main process of each is signalled, not its group: the scheduler hangs if its workers die first.
    """
    stopping = list(processes)
    for process in stopping:
        process.send(15)
    wait_until(lambda: not any(process.alive() for process in stopping), STOP_SECONDS)
    with ThreadPoolExecutor(max(1, len(stopping))) as pool:
        list(pool.map(Process.sweep, stopping))
