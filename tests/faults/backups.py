"""Crash points of backups: every effect of taking, proving, pruning, restoring and swapping is struck."""

from __future__ import annotations

import json
import multiprocessing
import random
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from storage import catalog, connect
from storage.backups.database import backup_database
from storage.backups.metadata import backup_minio_metadata
from storage.backups.prove import prove
from storage.backups.restore import restore
from storage.backups.site import Site
from storage.backups.swap import swap
from storage.engine import sweep
from storage.errors import JobBusy, StorageError
from storage.stores.postgres import connect as connect_engine
from tests.faults.effects import MODES, Effect, Fault, Injector
from tests.faults.fork import HUNG, Say, forked
from tests.faults.transports import http_client, hurry, warm, watch_boto, watch_programs, watch_sql
from tests.faults.trial import KILLS, STRUCK, Told
from tests.faults.yard import JOBS, Yard

TIMEOUT = 60.0  # seconds a child may take before it counts as hung
LATER = "written-after-the-backup"


@dataclass(frozen=True, kw_only=True)
class Act:
    """``does`` is struck; ``wrong`` are the violations once it was repeated. ``before`` prepares the yard."""

    name: str
    does: Callable[[Site, Yard], object]
    wrong: Callable[[Yard], Iterator[str]]
    before: Callable[[Yard], None] = lambda yard: None


# --- taking and proving ---------------------------------------------------------------------------
def _states(yard: Yard, kind: str) -> list[str]:
    return [state for id, (of, state, _) in yard.catalogue().items() if of == kind and id not in yard.made]


def _taken(kind: str) -> Callable[[Yard], Iterator[str]]:
    def wrong(yard: Yard) -> Iterator[str]:
        states = _states(yard, kind)
        if "complete" not in states:
            yield f"no complete backup of {kind}: {states}"
        if "running" in states:
            yield "a backup still says that it runs"

    return wrong


def _proven(yard: Yard) -> Iterator[str]:
    if yard.catalogue()[yard.whole][1] != "proven":
        yield "the backup is not proven"
    if left := [name for name in yard.databases() if name != yard.live]:
        yield f"scratch databases are left: {left}"


# --- pruning --------------------------------------------------------------------------------------
def _prune(site: Site, yard: Yard) -> None:
    job = catalog.get("cleanup_old_backups")
    sweep.run(job, site.stores, site.stores.clock())


def _pruned(yard: Yard) -> Iterator[str]:
    for id in yard.old:
        state = yard.catalogue()[id][1]
        if state != "expired":
            yield f"the old backup {id} is {state}"
        if left := [key for key in yard.stored() if f"/{id}/" in key]:
            yield f"of the old backup {id} there still is {left}"


# --- restoring ------------------------------------------------------------------------------------
def _restore(site: Site, yard: Yard) -> None:
    restore(site.settings, site.stores.vault, yard.base)


def _restored(yard: Yard) -> Iterator[str]:
    made = [name for name in yard.databases() if name != yard.live]
    if not any(yard.jobs(name) == JOBS for name in made):
        yield f"no restored database among {made}"


def _write_later(yard: Yard) -> None:
    with yard.session(yard.live) as cursor:
        cursor.execute("INSERT INTO jobs (id, status) VALUES (%s, 'completed')", (LATER,))


def _swap(site: Site, yard: Yard) -> None:
    if yard.jobs(yard.live) == JOBS:
        return  # the struck one had done it: to repeat it would be another restore
    swap(site, yard.base, typed=yard.live, by="the campaign")


def _swapped(yard: Yard) -> Iterator[str]:
    if yard.jobs(yard.live) != JOBS:
        yield f"the live database is not the restored one: {yard.jobs(yard.live)}"
    kept = [name for name in yard.databases() if name != yard.live]
    if not any(yard.jobs(name) == sorted([*JOBS, LATER]) for name in kept):
        yield f"the database of before is not among {kept}"
    with yard.session(yard.live) as cursor:
        cursor.execute("SELECT name FROM maintenance.control WHERE name IN ('paused', 'restore_epoch')")
        if cursor.rowcount != 2:
            yield "the restored database is neither paused nor marked"


ACTS = (
    Act(name="backup_database", does=lambda s, y: backup_database(s), wrong=_taken("database")),
    Act(name="backup_metadata", does=lambda s, y: backup_minio_metadata(s), wrong=_taken("metadata")),
    Act(name="prove", does=lambda s, y: prove(s, y.whole), wrong=_proven),
    Act(name="cleanup_old_backups", does=_prune, wrong=_pruned),
    Act(name="restore", does=_restore, wrong=_restored),
    Act(name="swap", does=_swap, wrong=_swapped, before=_write_later),
)


@dataclass(frozen=True)
class Trial:
    act: Act
    fault: Fault
    number: int

    def __str__(self) -> str:
        return f"{self.act.name} effect {self.number} {self.fault.mode}: {self.fault.effect}"


def child(yard: Yard, act: Act, fault: Fault | None = None) -> Told:
    def work(say: Say) -> None:
        injector = Injector(fault, lambda: say(STRUCK), yard.names)
        error, foreign = _work(yard, act, injector)
        log = [(effect.kind, effect.what, effect.nth) for effect in injector.log]
        say(json.dumps({"error": error, "foreign": foreign, "log": log}).encode())

    said, killed = forked(work, TIMEOUT)
    struck = said.startswith(STRUCK)
    if said.endswith(HUNG):
        return Told(struck, killed, "the child hung", True)
    rest: dict[str, Any] = json.loads(said.removeprefix(STRUCK) or b"{}")
    log = tuple(Effect(*entry) for entry in rest.get("log", ()))
    return Told(struck, killed, rest.get("error", ""), rest.get("foreign", False), log)


def _work(yard: Yard, act: Act, injector: Injector) -> tuple[str, bool]:
    tempfile.tempdir = str(yard.folder)
    hurry()
    watch_boto(injector)
    watch_programs(injector)
    engine = connect_engine(yard.settings.database_url)
    watch_sql(injector, engine)
    try:
        with connect.stores(yard.settings, engine=engine, http=http_client(injector)) as stores:
            act.does(Site(stores=stores, settings=yard.settings), yard)
    except StorageError as problem:
        return f"{type(problem).__name__}: {problem}", False
    except BaseException as problem:  # noqa: BLE001 - whatever ends the child is what is told
        return "".join(traceback.format_exception(problem)[-3:]), True
    return "", False


def record(yard: Yard, act: Act) -> tuple[Effect, ...]:
    """Every effect of an undisturbed run."""
    yard.lay()
    act.before(yard)
    told = child(yard, act)
    wrong = ([told.error] if told.error else []) + [*yard.always(), *act.wrong(yard)]
    assert not wrong, f"{act.name}, undisturbed: {wrong}"
    return told.log


def run(yard: Yard, trial: Trial) -> list[str]:
    yard.lay()
    trial.act.before(yard)
    before = yard.jobs(yard.live)
    first = child(yard, trial.act, trial.fault)
    found = []
    if not first.struck:
        found.append("not exercised: the effect was never met")
    elif first.killed != (trial.fault.mode in KILLS):
        found.append("the child ended otherwise than by the fault")
    if first.foreign:
        found.append(f"an error that is not ours: {first.error}")
    if (now := yard.jobs(yard.live)) not in (before, JOBS, None):
        found.append(f"the live database is neither old nor new: {now}")
    found += [f"after the fault: {one}" for one in yard.always()]
    again = _patient(yard, trial.act)
    final = [again.error] if again.error else []
    found += [f"after the rerun: {one}" for one in (*final, *trial.act.wrong(yard), *yard.always())]
    return found


def _patient(yard: Yard, act: Act) -> Told:
    """The lock of a killed process is free as soon as the server sees its socket closed: wait for that."""
    told = child(yard, act)
    for _ in range(40):
        if not told.error.startswith(JobBusy.__name__):
            break
        time.sleep(0.05)
        told = child(yard, act)
    return told


def trials(yard: Yard, acts: Sequence[Act], seed: int) -> list[Trial]:
    """Every mode of every effect, in a drawn order."""
    found = []
    for act in acts:
        for number, effect in enumerate(record(yard, act), 1):
            found += [Trial(act, Fault(effect, mode), number) for mode in MODES[effect.kind]]
    random.Random(seed).shuffle(found)
    return found


def carry_out(
    yards: Sequence[Yard], todo: Sequence[Trial], seconds: float = float("inf")
) -> Iterator[tuple[Trial, list[str]]]:
    """Each trial and its violations as they come. After ``seconds`` no further trial is begun."""
    warm()
    context, until = multiprocessing.get_context("fork"), time.monotonic() + seconds
    queue = context.SimpleQueue()

    def work(first: int) -> None:
        try:
            for number in range(first, len(todo), len(yards)):
                if time.monotonic() > until:
                    break
                try:
                    queue.put((number, run(yards[first], todo[number])))
                except Exception as error:  # noqa: BLE001 - a trial that cannot be judged did not survive
                    queue.put((number, [f"the trial itself broke: {type(error).__name__}: {error}"]))
        finally:
            queue.put(None)

    workers = [context.Process(target=work, args=(first,)) for first in range(len(yards))]
    for worker in workers:
        worker.start()
    running = len(workers)
    while running:
        told = queue.get()
        if told is None:
            running -= 1
        else:
            yield todo[told[0]], told[1]
    for worker in workers:
        worker.join()
