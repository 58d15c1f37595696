"""Contests between a maintenance run and whoever moves at the same instant. None lost, none double."""

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
from tests.faults.cleanup.environment import OLD, Ground, Row, World, body
from tests.faults.cleanup.scenarios import DAY, FAILED, TEMP_FILES, job
from tests.faults.race import RECHECK, Arena, Race, Report
from tests.support.runs import apply

DELAY = 0.03  # seconds, before each second look
_FAILED = World(
    rows=tuple(Row(id=id, status="failed", age=6 * DAY) for id in ("j", "k")),
    objects=("processed/j/a.mp4", "temp/j/b.ts", "processed/k/a.mp4"),
)
_FINISH = "UPDATE jobs SET status = 'completed', updated_at = now() WHERE id = %s AND status = 'processing'"
_CLAIM, _BEGIN = "SET status = 'cleaned_up'", "SET state = 'reaping'"


def _due(ground: Ground) -> None:
    ground.sql("UPDATE maintenance.tombstones SET delete_after = now() - interval '1 hour'")


def _own_session(ground: Ground) -> Any:
    """A connection for a rival: one cannot be shared with the judge while both are at work."""
    url = make_url(ground.settings.database_url).translate_connect_args(username="user", database="dbname")
    session = psycopg2.connect(**url)
    session.autocommit = True
    return session


def _update(session: Any, text: str, *values: Any) -> bool:
    """Whether the one row was as the rival thought: a compare-and-set, as the pipeline should do it."""
    with session.cursor() as cursor:
        cursor.execute(text, values)
        return bool(cursor.rowcount == 1)


def retry_while_purging(arena: Arena, report: Report, number: int) -> None:
    """A user retries a failed job while reap turns it to cleaned_up: one of them wins, wholly."""
    ground, won = arena.ground, dict[str, bool]()
    arena.delays = {_BEGIN: DELAY, _CLAIM: DELAY, RECHECK: DELAY}
    ground.lay(_FAILED)
    FAILED(ground.stores, f"round{number}")
    _due(ground)
    run_id = arena.decide(job("reap"), f"round{number}")
    session = _own_session(ground)

    def rival() -> None:
        text = "UPDATE jobs SET status = 'queued', updated_at = now() WHERE id = %s AND status = 'failed'"
        won["j"] = _update(session, text, "j")

    arena.contest(run_id, [rival])
    session.close()
    rows, found = ground.rows(), ground.listing()
    own = [key for key in _FAILED.objects if "/j/" in key]
    report.won += won["j"]
    if won["j"] and (rows["j"] != "queued" or any(key not in found for key in own)):
        report.violations.append(f"retried, yet {rows['j']} with {[k for k in own if k in found]}")
    if not won["j"] and (rows["j"] != "cleaned_up" or any(key in found for key in own)):
        report.violations.append(f"not retried, yet {rows['j']} with {[k for k in own if k in found]}")
    if rows["k"] != "cleaned_up":
        report.violations.append("the other job was not cleaned up")


def finish_while_reaping(arena: Arena, report: Report, number: int) -> None:
    """A worker finishes while its job is failed as stuck: never both, and a finish that was told holds."""
    ground, ids = arena.ground, [f"p{place}" for place in range(6)]
    arena.delays = {"UPDATE maintenance.jobs AS job SET status = 'failed'": 2 * DELAY}
    ground.lay(World(rows=tuple(Row(id=id, status="processing", age=2 * DAY) for id in ids)))
    run_id = arena.decide(job("cleanup_stuck_jobs"), f"round{number}")
    won: dict[str, bool] = {}

    def rival(id: str) -> Callable[[], None]:
        def finish() -> None:
            session = _own_session(ground)
            won[id] = _update(session, _FINISH, id)
            session.close()

        return finish

    arena.contest(run_id, [rival(id) for id in ids])
    rows = ground.rows()
    report.won += sum(won.values())
    for id in ids:
        if rows[id] != ("completed" if won[id] else "failed"):
            report.violations.append(f"{id}: the worker was told {won[id]}, the row says {rows[id]}")


TEMP = World(objects=tuple(f"temp/{number}.ts" for number in range(5)) + ("temporary/x.ts",))
TEMP_JOB = job("cleanup_temp_objects", lambda: TempObjects(older_than=OLD))


def overwrite_after_listing(arena: Arena, report: Report, number: int) -> None:
    """An object is written anew after it was listed: a write that was told before the second look stays.

    One that falls between the second look and the delete is lost on a store that can neither name a
    version nor a condition; it is counted, not excused.
    """
    ground, times = arena.ground, list[float]()
    arena.delays = {RECHECK: 2 * DELAY}
    ground.lay(TEMP)
    run_id = arena.decide(TEMP_JOB, f"round{number}")
    key, new = arena.chance.choice(TEMP.objects[:5]), f"new {number}".encode()
    client = connect.endpoint(ground.settings).minio()

    def rival() -> None:
        times.append(time.monotonic())
        client.put_object(ground.settings.bucket, key, io.BytesIO(new), len(new))
        times.append(time.monotonic())

    arena.contest(run_id, [rival])
    there = key in ground.listing()
    window = arena.window()
    report.windows += [window[1] - window[0]] if window else []
    report.won += there
    in_window = window is not None and times[1] >= window[0] and times[0] <= window[1]
    if not there and in_window:
        report.open += 1
    elif not there:
        put = [round(1000 * (instant - window[0])) for instant in times] if window else times
        report.violations.append(f"{key}, overwritten {put} ms from the second look on, is gone")
    if "temporary/x.ts" not in ground.listing():
        report.violations.append("a neighbour is gone")


_FILES = World(files=("loose.tmp", "dir/a.ts"))
_FILE_JOB = job("cleanup_temp_files", lambda: TempFiles(older_than=OLD, hold=timedelta(0)))


def append_while_sweeping(arena: Arena, report: Report, number: int) -> None:
    """A program appends to a temp file while it is condemned and reaped: no byte it wrote goes."""
    ground, name, extra = arena.ground, arena.chance.choice(_FILES.files), b"appended\n"
    arena.delays = {"rename": DELAY, "fcntl": DELAY / 4, "stat": DELAY / 8}
    ground.lay(_FILES)
    run_id = arena.decide(_FILE_JOB, f"round{number}")
    opened: list[bool] = []

    def rival() -> None:
        try:
            fd = os.open(ground.temp / name, os.O_WRONLY | os.O_APPEND)
        except FileNotFoundError:
            return opened.append(False)
        threading.Event().wait(arena.chance.uniform(0, DELAY))
        os.write(fd, extra)
        os.close(fd)
        return opened.append(True)

    arena.contest(run_id, [rival])
    apply(arena.decide(job("reap"), f"round{number}"), arena.stores)
    report.won += opened[0]
    if opened[0] and ground.content(name) != body(name) + extra:
        report.violations.append(f"{name}: what was appended is gone")
    if not opened[0] and ground.content(name) is not None:
        report.violations.append(f"{name} was not reaped")


def two_applies(arena: Arena, report: Report, number: int) -> None:
    """Two workers apply one plan: one does it, the other waits or finds it done; nothing happens twice."""
    ground = arena.ground
    arena.delays = {RECHECK: DELAY, "pg_try_advisory_lock": DELAY, "INSERT INTO maintenance.batches": DELAY}
    ground.lay(TEMP)
    run_id = arena.decide(TEMP_JOB, f"round{number}")
    barred: list[bool] = []

    def twin() -> None:
        try:
            apply(run_id, arena.stores)
        except JobBusy:
            barred.append(True)

    threads = [threading.Thread(target=twin) for _ in range(2)]
    arena.marks.clear()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    run = ground.stores.runs.get(run_id)
    deletes = sum(what.startswith("POST BUCKET?delete") for what, _, _ in arena.marks)
    report.won += len(barred)
    if run is None or (run.state, run.done.count) != ("verified", 5) or deletes != 1 or len(barred) > 1:
        state = run and (run.state, run.done.count)
        report.violations.append(f"run {state}, {deletes} deletes, {len(barred)} kept out")


_UNDO = World(rows=_FAILED.rows[:1], objects=_FAILED.objects[:2], files=_FILES.files)


def undo_while_reaping(arena: Arena, report: Report, number: int) -> None:
    """An operator takes back what reap is deleting: each thing is either back or gone, and a job whole."""
    ground = arena.ground
    arena.delays = {_BEGIN: DELAY, _CLAIM: DELAY, RECHECK: DELAY, "unlink": DELAY}
    ground.lay(_UNDO)
    for act in (FAILED, TEMP_FILES):
        act(ground.stores, f"round{number}")
    _due(ground)
    run_id = arena.decide(job("reap"), f"round{number}")
    undone = (f"cleanup_failed_jobs-round{number}", f"cleanup_temp_files-round{number}")

    def rival(name: str) -> Callable[[], None]:
        def take_back() -> None:
            undo(name, ground.stores)

        return take_back

    arena.contest(run_id, [rival(name) for name in undone])
    report.violations += list(_undone_or_gone(ground, report))


def _undone_or_gone(ground: Ground, report: Report) -> Iterator[str]:
    found, rows = ground.listing(), ground.rows()
    stones = ground.sql("SELECT kind, key, state FROM maintenance.tombstones ORDER BY id")
    for kind, key, state in stones:
        report.won += state == "undone"
        there = key in found if kind == "object" else ground.content(key) is not None
        if kind != "job" and there != (state in ("undone", "kept")):
            yield f"{kind} {key} is {state} and {'there' if there else 'gone'}"
    left = [key for key in _UNDO.objects if key in found]
    if rows["j"] == "cleaned_up" and left:
        yield f"the job is cleaned up, {left} are left, tombstones {stones}"
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
