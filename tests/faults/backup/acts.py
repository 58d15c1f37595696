"""Crash points of backups: every effect of taking, proving, pruning, restoring and swapping is struck."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from storage import catalog
from storage.backup.context import Site
from storage.backup.database import backup_database
from storage.backup.metadata import backup_minio_metadata
from storage.backup.postgres import swap as pg_swap
from storage.backup.prove import prove
from storage.backup.restore.database import restore
from storage.backup.restore.swap import swap
from storage.engine import sweep
from tests.faults import disk, injected, workers
from tests.faults.backup.environment import JOBS, Yard
from tests.faults.effects import MACHINE, MODES, Effect, Fault, Injector, Kind, Mode
from tests.faults.injected import Told
from tests.faults.transports import watch_programs
from tests.faults.workers import Opener, Result

TIMEOUT = 90.0  # seconds a child may take before it counts as hung
LATER = "written-after-the-backup"
FULL: tuple[Mode, ...] = ("disk full", "temp full")
SLOW: tuple[Mode, ...] = ("outage", "disk full")
SHARE = 1 / 3
_SERVER: tuple[Mode, ...] = ("restart", "outage", "disk full")


def _nothing(yard: Yard, fault: Fault, told: Told) -> Iterator[str]:
    yield from ()


@dataclass(frozen=True, kw_only=True)
class Act:
    """``does`` is struck; ``wrong`` are the violations once it was repeated. ``before`` prepares the yard.

    ``never``: what must not even be right after the fault; ``machine``: what befalls its machine; ``every``:
    besides, each mode of each effect, else of its programs only.
    """

    name: str
    does: Callable[[Site, Yard], object]
    wrong: Callable[[Yard], Iterator[str]]
    before: Callable[[Yard], None] = lambda yard: None
    never: Callable[[Yard, Fault, Told], Iterator[str]] = _nothing
    machine: tuple[Mode, ...] = _SERVER
    every: bool = True

    def modes(self, kind: Kind) -> tuple[Mode, ...]:
        usual = MODES[kind] if self.every or kind == "program" else ()
        return (*usual, *(mode for mode in MACHINE.get(kind, ()) if mode in self.machine))


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


def _prove_apart(site: Site, yard: Yard) -> None:
    prove(replace(site, settings=replace(site.settings, proof_server="throwaway")), yard.whole)


def _proven_apart(yard: Yard) -> Iterator[str]:
    yield from _proven(yard)
    if left := yard.machine.left():
        yield f"in the temp folder there still is {left}"


def _called_damaged(yard: Yard, fault: Fault, told: Told) -> Iterator[str]:
    """No fault of ours is the backup's; and what a full temp folder stopped is told as that."""
    if (state := yard.catalogue()[yard.whole][1]) not in ("complete", "proven"):
        yield f"the backup is called {state} for it: {told.error}"
    if fault.mode == "temp full":
        if told.error and not told.error.startswith("ScratchFault"):
            yield f"no clear error: {told.error}"
        if left := yard.machine.left():
            yield f"in the temp folder there still is {left}"


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
    if any(_restored(yard)):  # else the struck one had done it
        restore(site.settings, site.stores.vault, yard.base)


def _restored(yard: Yard) -> Iterator[str]:
    made = {name: mark for name, mark in yard.marks().items() if name != yard.live}
    if [yard.jobs(name) for name in made] != [JOBS] or pg_swap.UNFINISHED in made.values():
        yield f"there is not one restored database: {made}"


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
    Act(name="prove", does=lambda s, y: prove(s, y.whole), wrong=_proven, never=_called_damaged),
    Act(
        name="prove_apart", does=_prove_apart, wrong=_proven_apart, never=_called_damaged,
        machine=("temp full",), every=False,
    ),
    Act(name="cleanup_old_backups", does=_prune, wrong=_pruned),
    Act(name="restore", does=_restore, wrong=_restored, machine=(*_SERVER, "temp full")),
    Act(name="swap", does=_swap, wrong=_swapped, before=_write_later),
)  # fmt: skip


@dataclass(frozen=True)
class Trial:
    act: Act
    fault: Fault
    number: int

    @property
    def of(self) -> str:
        return self.act.name

    def __str__(self) -> str:
        return f"{self.of} effect {self.number} {self.fault.mode}: {self.fault.effect}"


def child(yard: Yard, act: Act, fault: Fault | None = None) -> Told:
    def does(injector: Injector) -> None:
        tempfile.tempdir = str(yard.machine.temp)
        watch_programs(injector)
        with yard.machine.struck(), injected.watched(injector, yard.settings) as stores:
            act.does(Site(stores=stores, settings=yard.settings), yard)

    return injected.child(does, yard.names, TIMEOUT, fault, yard.machine.befall)


def record(yard: Yard, act: Act) -> tuple[Effect, ...]:
    """Every effect of an undisturbed run."""
    yard.lay()
    act.before(yard)
    told = child(yard, act)
    wrong = ([told.error] if told.error else []) + [*yard.always(), *act.wrong(yard)]
    assert not wrong, f"{act.name}, undisturbed: {wrong}"
    return told.log


def run(yard: Yard, trial: Trial) -> list[str]:
    """What the trial violated."""
    yard.machine.tidy()
    yard.lay()
    trial.act.before(yard)
    before = yard.jobs(yard.live)
    first = child(yard, trial.act, trial.fault)
    yard.machine.mend()
    found = list(injected.misbehaved(first, trial.fault))
    if (now := yard.jobs(yard.live)) not in (before, JOBS, None):
        found.append(f"the live database is neither old nor new: {now}")
    found += [
        f"after the fault: {one}" for one in (*yard.always(), *trial.act.never(yard, trial.fault, first))
    ]
    again = injected.patient(lambda: child(yard, trial.act))
    final = [again.error] if again.error else []
    found += [f"after the rerun: {one}" for one in (*final, *trial.act.wrong(yard), *yard.always())]
    return found


def trials(place: Opener[Yard], acts: Sequence[Act], seed: int, share: float = SHARE) -> list[Trial]:
    """Every mode of every effect, in an order whose every beginning is spread over them.

    Of those in SLOW only a drawn share; and where the kernel gives no small disk, none is filled.
    """
    chance, left_out = random.Random(seed), FULL if disk.refused() else ()
    effects = workers.apart(place, lambda yard: [record(yard, act) for act in acts])
    found = [
        Trial(act, Fault(effect, mode), number)
        for act, log in zip(acts, effects, strict=True)
        for number, effect in enumerate(log, 1)
        for mode in act.modes(effect.kind)
        if mode not in left_out and (mode not in SLOW or chance.random() < share)
    ]
    return workers.spread(found, seed)


def carry_out(
    yards: Sequence[Opener[Yard]], todo: Sequence[Trial], seconds: float = float("inf")
) -> Iterator[Result[Trial]]:
    return workers.carry_out(yards, todo, run, seconds)
