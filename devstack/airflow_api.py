"""A small client of Airflow's REST API, using only the standard library."""

from __future__ import annotations

import http.client
import json
import time
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import quote, urlencode

from devstack.errors import AirflowApiError

FINISHED = frozenset({"success", "failed"})
PAGE = 100
LOG_FIELDS = ("timestamp", "level", "event")
# Bypass any proxy from the environment: requests go to loopback.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class AirflowApi:
    """Client for one Airflow user; fetches the token at the first call and renews it when it is refused."""

    def __init__(self, base_url: str, username: str, password: str, timeout: float = 60.0) -> None:
        self.base_url = base_url.rstrip("/")
        self.username = username
        self.timeout = timeout
        self._password = password
        self._token = ""

    def token(self, fresh: bool = False) -> str:
        """Return a bearer token."""
        if fresh or not self._token:
            body = {"username": self.username, "password": self._password}
            self._token = str(self.call("POST", "/auth/token", body, anonymous=True)["access_token"])
        return self._token

    def call(self, method: str, path: str, body: Any = None, *, anonymous: bool = False) -> Any:
        """Send one request; `path` starts at the server's root, as in ``/api/v2/dags``."""
        try:
            return self._send(method, path, body, "" if anonymous else self.token())
        except AirflowApiError as refused:
            if anonymous or refused.status != 401:
                raise
        return self._send(method, path, body, self.token(fresh=True))

    def _send(self, method: str, path: str, body: Any, token: str) -> Any:
        headers = {"Accept": "application/json", "Content-Type": "application/json"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.base_url + path, data=data, headers=headers, method=method)
        try:
            with _OPENER.open(request, timeout=self.timeout) as answer:
                return _decoded(answer.read(), answer.headers.get("Content-Type", ""))
        except urllib.error.HTTPError as refused:
            detail = refused.read().decode(errors="replace")[:2000]
            message = f"{method} {path}: HTTP {refused.code}: {detail}"
            raise AirflowApiError(message, refused.code) from refused
        except (OSError, http.client.HTTPException) as broken:
            raise AirflowApiError(f"{method} {path}: no answer from {self.base_url}: {broken}") from broken

    def wait_for_dag(self, dag_id: str, timeout: float = 90.0) -> None:
        """Wait until the DAG processor has parsed the DAG."""
        deadline = time.monotonic() + timeout
        while True:
            try:
                self.call("GET", f"/api/v2/dags/{quote(dag_id)}")
                return
            except AirflowApiError as missing:
                if missing.status != 404:
                    raise
            if time.monotonic() > deadline:
                errors = self.call("GET", "/api/v2/importErrors")
                raise AirflowApiError(f"no DAG {dag_id} after {timeout:.0f} s; import errors: {errors}")
            time.sleep(0.5)

    def unpause(self, dag_id: str, paused: bool = False) -> None:
        """Unpause a DAG, or pause it with `paused`."""
        path = f"/api/v2/dags/{quote(dag_id)}?update_mask=is_paused"
        self.call("PATCH", path, {"is_paused": paused})

    def trigger(
        self, dag_id: str, conf: dict[str, Any] | None = None, logical_date: str | None = None
    ) -> str:
        """Trigger a run; return its id."""
        body = {"logical_date": logical_date, "conf": conf or {}}
        return str(self.call("POST", f"/api/v2/dags/{quote(dag_id)}/dagRuns", body)["dag_run_id"])

    def wait(self, dag_id: str, run_id: str, timeout: float = 180.0) -> str:
        """Wait for the end of a run; return its state, `success` or `failed`."""
        deadline = time.monotonic() + timeout
        while True:
            state = str(self.call("GET", _run(dag_id, run_id))["state"])
            if state in FINISHED:
                return state
            if time.monotonic() > deadline:
                tasks = {task["task_id"]: task["state"] for task in self.task_instances(dag_id, run_id)}
                raise AirflowApiError(f"{dag_id} {run_id} is {state} after {timeout:.0f} s; tasks: {tasks}")
            time.sleep(0.4)

    def task_instances(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        """Return all task instances of a run, mapped ones included."""
        found: list[dict[str, Any]] = []
        while True:
            query = urlencode({"limit": PAGE, "offset": len(found), "order_by": "id"})
            page = self.call("GET", f"{_run(dag_id, run_id)}/taskInstances?{query}")
            found += page["task_instances"]
            if not page["task_instances"] or len(found) >= page["total_entries"]:
                return found

    def xcom(
        self, dag_id: str, run_id: str, task_id: str, key: str = "return_value", map_index: int = -1
    ) -> Any:
        """Return a value that a task returned or pushed."""
        query = urlencode({"map_index": map_index})
        task = f"{_run(dag_id, run_id)}/taskInstances/{quote(task_id)}"
        return self.call("GET", f"{task}/xcomEntries/{quote(key, safe='')}?{query}")["value"]

    def logs(self, dag_id: str, run_id: str, task_id: str, try_number: int = 1, map_index: int = -1) -> str:
        """Return the log of one try as plain lines."""
        query = urlencode({"full_content": "true", "map_index": map_index})
        path = f"{_run(dag_id, run_id)}/taskInstances/{quote(task_id)}/logs/{try_number}?{query}"
        content = self.call("GET", path)["content"]
        return "\n".join(_log_line(entry) for entry in content)


def _run(dag_id: str, run_id: str) -> str:
    return f"/api/v2/dags/{quote(dag_id)}/dagRuns/{quote(run_id, safe='')}"


def _decoded(raw: bytes, content_type: str) -> Any:
    if not raw:
        return None
    return json.loads(raw) if "json" in content_type else raw.decode(errors="replace")


def _log_line(entry: Any) -> str:
    if not isinstance(entry, dict):
        return str(entry)
    main = [str(entry[name]) for name in LOG_FIELDS if entry.get(name)]
    extra = [f"{name}={value}" for name, value in entry.items() if name not in LOG_FIELDS]
    return " ".join(main + extra)
