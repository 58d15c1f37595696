"""Races between a maintenance run and concurrent clients: nothing is lost, nothing is done twice."""

from __future__ import annotations

import io
import os
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import psycopg2
from sqlalchemy.engine import make_url

from storage import connect
from storage.cleanup.temp import TempFiles, TempObjects
from storage.core.errors import JobBusy
from storage.engine.undo import undo
from tests.faults.cleanup.environment import OLD, Environment, Row, World, body
from tests.faults.cleanup.scenarios import DAY, FAILED, TEMP_FILES, job
from tests.faults.race import RECHECK, Race, RaceHarness, Report
from tests.support.runs import apply

DELAY = 0.03  # seconds, before each re-check
_FAILED = World(
    rows=tuple(Row(id=id, status="failed", age=6 * DAY) for id in ("j", "k")),
    objects=("processed/j/a.mp4", "temp/j/b.ts", "processed/k/a.mp4"),
)
_FINISH = "UPDATE jobs SET status = 'completed', updated_at = now() WHERE id = %s AND status = 'processing'"
_CLAIM, _BEGIN = "SET status = 'cleaned_up'", "SET state = 'reaping'"


def _due(environment: Environment) -> None:
    environment.sql("UPDATE maintenance.tombstones SET delete_after = now() - interval '1 hour'")


def _own_session(environment: Environment) -> Any:
    """Open a connection for a rival, which runs concurrently with the checks and cannot share theirs."""
    url = make_url(environment.settings.database_url).translate_connect_args(
        username="user", database="dbname"
    )
    session = psycopg2.connect(**url)
    session.autocommit = True
    return session


def _update(session: Any, text: str, *values: Any) -> bool:
    """Update by compare-and-set, as the pipeline should; return true when the one row was as expected."""
    with session.cursor() as cursor:
        cursor.execute(text, values)
        return bool(cursor.rowcount == 1)


def retry_while_purging(harness: RaceHarness, report: Report, number: int) -> None:
    """A user retries a failed job while reap sets it to cleaned_up: exactly one of them wins, completely."""
    environment, won = harness.environment, dict[str, bool]()
    harness.delays = {_BEGIN: DELAY, _CLAIM: DELAY, RECHECK: DELAY}
    environment.lay(_FAILED)
    FAILED(environment.stores, f"round{number}")
    _due(environment)
    run_id = harness.decide(job("reap"), f"round{number}")
    session = _own_session(environment)

    def rival() -> None:
        text = "UPDATE jobs SET status = 'queued', updated_at = now() WHERE id = %s AND status = 'failed'"
        won["j"] = _update(session, text, "j")

    harness.contest(run_id, [rival])
    session.close()
    rows, found = environment.rows(), environment.listing()
    own = [key for key in _FAILED.objects if "/j/" in key]
    report.count(won["j"])
    if won["j"] and (rows["j"] != "queued" or any(key not in found for key in own)):
        report.violations.append(f"retried, yet {rows['j']} with {[k for k in own if k in found]}")
    if not won["j"] and (rows["j"] != "cleaned_up" or any(key in found for key in own)):
        report.violations.append(f"not retried, yet {rows['j']} with {[k for k in own if k in found]}")
    if rows["k"] != "cleaned_up":
        report.violations.append("the other job was not cleaned up")


def finish_while_reaping(harness: RaceHarness, report: Report, number: int) -> None:
    """A worker finishes while its job is failed as stuck: never both, and an acknowledged finish holds."""
    environment, ids = harness.environment, [f"p{place}" for place in range(6)]
    harness.delays = {"UPDATE maintenance.jobs AS job SET status = 'failed'": 2 * DELAY}
    environment.lay(World(rows=tuple(Row(id=id, status="processing", age=2 * DAY) for id in ids)))
    run_id = harness.decide(job("cleanup_stuck_jobs"), f"round{number}")
    won: dict[str, bool] = {}

    def rival(id: str) -> Callable[[], None]:
        def finish() -> None:
            session = _own_session(environment)
            won[id] = _update(session, _FINISH, id)
            session.close()

        return finish

    harness.contest(run_id, [rival(id) for id in ids])
    rows = environment.rows()
    report.count(sum(won.values()), of=len(ids))
    for id in ids:
        if rows[id] != ("completed" if won[id] else "failed"):
            report.violations.append(f"{id}: the worker was told {won[id]}, the row says {rows[id]}")


TEMP = World(objects=tuple(f"temp/{number}.ts" for number in range(5)) + ("temporary/x.ts",))
TEMP_JOB = job("cleanup_temp_objects", lambda: TempObjects(older_than=OLD))


def overwrite_after_listing(harness: RaceHarness, report: Report, number: int) -> None:
    """An object is overwritten after it was listed: a write acknowledged before the re-check survives.

    A write between the re-check and the delete is lost on a store that supports neither versions nor
    conditions in a bulk delete; it is counted as open.
    """
    environment, times = harness.environment, list[float]()
    harness.delays = {RECHECK: 2 * DELAY}
    environment.lay(TEMP)
    run_id = harness.decide(TEMP_JOB, f"round{number}")
    key, new = harness.chance.choice(TEMP.objects[:5]), f"new {number}".encode()
    client = connect.endpoint(environment.settings).minio()

    def rival() -> None:
        times.append(time.monotonic())
        client.put_object(environment.settings.bucket, key, io.BytesIO(new), len(new))
        times.append(time.monotonic())

    harness.contest(run_id, [rival])
    there = key in environment.listing()
    window = harness.window()
    report.windows += [window[1] - window[0]] if window else []
    report.won += there
    in_window = window is not None and times[1] >= window[0] and times[0] <= window[1]
    if not there and in_window:
        report.open += 1
    elif not there:
        put = [round(1000 * (instant - window[0])) for instant in times] if window else times
        report.violations.append(f"{key}, overwritten {put} ms from the second look on, is gone")
    if "temporary/x.ts" not in environment.listing():
        report.violations.append("a neighbour is gone")


_FILES = World(files=("loose.tmp", "dir/a.ts"))
_FILE_JOB = job("cleanup_temp_files", lambda: TempFiles(older_than=OLD, hold=timedelta(0)))


def append_while_sweeping(harness: RaceHarness, report: Report, number: int) -> None:
    """A program appends to a temp file while it is condemned and reaped: no appended byte is lost."""
    environment, name, extra = harness.environment, harness.chance.choice(_FILES.files), b"appended\n"
    harness.delays = {"rename": DELAY, "fcntl": DELAY / 4, "stat": DELAY / 8}
    environment.lay(_FILES)
    run_id = harness.decide(_FILE_JOB, f"round{number}")
    opened: list[bool] = []

    def rival() -> None:
        try:
            fd = os.open(environment.temp / name, os.O_WRONLY | os.O_APPEND)
        except FileNotFoundError:
            return opened.append(False)
        threading.Event().wait(harness.chance.uniform(0, DELAY))
        os.write(fd, extra)
        os.close(fd)
        return opened.append(True)

    harness.contest(run_id, [rival])
    apply(harness.decide(job("reap"), f"round{number}"), harness.stores)
    report.count(opened[0])
    if opened[0] and environment.content(name) != body(name) + extra:
        report.violations.append(f"{name}: what was appended is gone")
    if not opened[0] and environment.content(name) is not None:
        report.violations.append(f"{name} was not reaped")


def two_applies(harness: RaceHarness, report: Report, number: int) -> None:
    """Two workers apply one plan: one does it, the other is refused or finds it done; nothing runs twice."""
    environment = harness.environment
    harness.delays = {RECHECK: DELAY, "pg_try_advisory_lock": DELAY, "INSERT INTO maintenance.batches": DELAY}
    environment.lay(TEMP)
    run_id = harness.decide(TEMP_JOB, f"round{number}")
    blocked: list[bool] = []

    def twin() -> None:
        try:
            apply(run_id, harness.stores)
        except JobBusy:
            blocked.append(True)

    threads = [threading.Thread(target=twin) for _ in range(2)]
    harness.marks.clear()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    run = environment.stores.runs.get(run_id)
    deletes = sum(what.startswith("POST BUCKET?delete") for what, _, _ in harness.marks)
    report.won += len(blocked)
    if run is None or (run.state, run.done.count) != ("verified", 5) or deletes != 1 or len(blocked) > 1:
        state = run and (run.state, run.done.count)
        report.violations.append(f"run {state}, {deletes} deletes, {len(blocked)} kept out")


_UNDO = World(rows=_FAILED.rows[:1], objects=_FAILED.objects[:2], files=_FILES.files)


def undo_while_reaping(harness: RaceHarness, report: Report, number: int) -> None:
    """An operator undoes what reap is deleting: every object, file and job is wholly back or wholly gone."""
    environment = harness.environment
    harness.delays = {_BEGIN: DELAY, _CLAIM: DELAY, RECHECK: DELAY, "unlink": DELAY}
    environment.lay(_UNDO)
    for act in (FAILED, TEMP_FILES):
        act(environment.stores, f"round{number}")
    _due(environment)
    run_id = harness.decide(job("reap"), f"round{number}")
    undone = (f"cleanup_failed_jobs-round{number}", f"cleanup_temp_files-round{number}")

    def rival(name: str) -> Callable[[], None]:
        def take_back() -> None:
            undo(name, environment.stores)

        return take_back

    harness.contest(run_id, [rival(name) for name in undone])
    report.violations += list(_undone_or_gone(environment, report))


def _undone_or_gone(environment: Environment, report: Report) -> Iterator[str]:
    found, rows = environment.listing(), environment.rows()
    tombstones = environment.sql("SELECT kind, key, state FROM maintenance.tombstones ORDER BY id")
    for kind, key, state in tombstones:
        report.count(state == "undone")
        there = key in found if kind == "object" else environment.content(key) is not None
        if kind != "job" and there != (state in ("undone", "kept")):
            yield f"{kind} {key} is {state} and {'there' if there else 'gone'}"
    left = [key for key in _UNDO.objects if key in found]
    if rows["j"] == "cleaned_up" and left:
        yield f"the job is cleaned up, {left} are left, tombstones {tombstones}"
    if rows["j"] == "failed" and len(left) < len(_UNDO.objects):
        yield f"the job is not cleaned up, yet only {left} are left"


RACES: dict[str, Race] = {
    "retry-while-purging": retry_while_purging,
    "finish-while-reaping": finish_while_reaping,
    "overwrite-after-listing": overwrite_after_listing,
    "append-while-sweeping": append_while_sweeping,
    "two applies of one plan": two_applies,
    "undo-while-reaping": undo_while_reaping,
}
