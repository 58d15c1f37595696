"""Crash points of backups: a fault at every effect of taking, proving, pruning, restoring and swapping."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from storage import catalog
from storage.backup.context import BackupContext
from storage.backup.database import backup_database
from storage.backup.metadata import backup_minio_metadata
from storage.backup.postgres import swap as pg_swap
from storage.backup.prove import prove
from storage.backup.restore.database import restore
from storage.backup.restore.swap import swap
from storage.engine import sweep
from tests.faults import disk, injected, workers
from tests.faults.backup.environment import JOBS, BackupEnvironment
from tests.faults.effects import MACHINE, MODES, Effect, Fault, Injector, Kind, Mode
from tests.faults.injected import ChildReport
from tests.faults.transports import watch_programs
from tests.faults.workers import Opener, Result

TIMEOUT = 90.0  # seconds a child may take before it counts as hung
LATER = "written-after-the-backup"
FULL: tuple[Mode, ...] = ("disk full", "temp full")
SLOW: tuple[Mode, ...] = ("outage", "disk full")
SHARE = 1 / 3
_SERVER: tuple[Mode, ...] = ("restart", "outage", "disk full")


def _nothing(backup_env: BackupEnvironment, fault: Fault, answer: ChildReport) -> Iterator[str]:
    yield from ()


@dataclass(frozen=True, kw_only=True)
class Act:
    """``does`` gets the fault; ``wrong`` yields violations after it was repeated; ``before`` prepares.

    ``never``: violations already right after the fault; ``machine``: faults of its machine; ``every``: in
    addition each mode of each effect, otherwise of its programs only.
    """

    name: str
    does: Callable[[BackupContext, BackupEnvironment], object]
    wrong: Callable[[BackupEnvironment], Iterator[str]]
    before: Callable[[BackupEnvironment], None] = lambda backup_env: None
    never: Callable[[BackupEnvironment, Fault, ChildReport], Iterator[str]] = _nothing
    machine: tuple[Mode, ...] = _SERVER
    every: bool = True

    def modes(self, kind: Kind) -> tuple[Mode, ...]:
        usual = MODES[kind] if self.every or kind == "program" else ()
        return (*usual, *(mode for mode in MACHINE.get(kind, ()) if mode in self.machine))


# --- taking and proving ---------------------------------------------------------------------------
def _states(backup_env: BackupEnvironment, kind: str) -> list[str]:
    return [
        state
        for id, (of, state, _) in backup_env.catalogue().items()
        if of == kind and id not in backup_env.made
    ]


def _taken(kind: str) -> Callable[[BackupEnvironment], Iterator[str]]:
    def wrong(backup_env: BackupEnvironment) -> Iterator[str]:
        states = _states(backup_env, kind)
        if "complete" not in states:
            yield f"no complete backup of {kind}: {states}"
        if "running" in states:
            yield "a backup still says that it runs"

    return wrong


def _proven(backup_env: BackupEnvironment) -> Iterator[str]:
    if backup_env.catalogue()[backup_env.whole][1] != "proven":
        yield "the backup is not proven"
    if left := [name for name in backup_env.databases() if name != backup_env.live]:
        yield f"scratch databases are left: {left}"


def _prove_apart(context: BackupContext, backup_env: BackupEnvironment) -> None:
    prove(replace(context, settings=replace(context.settings, proof_server="throwaway")), backup_env.whole)


def _proven_apart(backup_env: BackupEnvironment) -> Iterator[str]:
    yield from _proven(backup_env)
    if left := backup_env.machine.left():
        yield f"in the temp folder there still is {left}"


def _called_damaged(backup_env: BackupEnvironment, fault: Fault, answer: ChildReport) -> Iterator[str]:
    """An injected fault never marks the backup damaged; a full temp folder is reported as such."""
    if (state := backup_env.catalogue()[backup_env.whole][1]) not in ("complete", "proven"):
        yield f"the backup is called {state} for it: {answer.error}"
    if fault.mode == "temp full":
        if answer.error and not answer.error.startswith("ScratchFault"):
            yield f"no clear error: {answer.error}"
        if left := backup_env.machine.left():
            yield f"in the temp folder there still is {left}"


# --- pruning --------------------------------------------------------------------------------------
def _prune(context: BackupContext, backup_env: BackupEnvironment) -> None:
    job = catalog.get("cleanup_old_backups")
    sweep.run(job, context.stores, context.stores.clock())


def _pruned(backup_env: BackupEnvironment) -> Iterator[str]:
    for id in backup_env.old:
        state = backup_env.catalogue()[id][1]
        if state != "expired":
            yield f"the old backup {id} is {state}"
        if left := [key for key in backup_env.stored() if f"/{id}/" in key]:
            yield f"of the old backup {id} there still is {left}"


# --- restoring ------------------------------------------------------------------------------------
def _restore(context: BackupContext, backup_env: BackupEnvironment) -> None:
    if any(_restored(backup_env)):  # otherwise the faulted restore had finished
        restore(context.settings, context.stores.backup_bucket, backup_env.base)


def _restored(backup_env: BackupEnvironment) -> Iterator[str]:
    made = {name: mark for name, mark in backup_env.marks().items() if name != backup_env.live}
    if [backup_env.jobs(name) for name in made] != [JOBS] or pg_swap.UNFINISHED in made.values():
        yield f"there is not one restored database: {made}"


def _write_later(backup_env: BackupEnvironment) -> None:
    with backup_env.session(backup_env.live) as cursor:
        cursor.execute("INSERT INTO jobs (id, status) VALUES (%s, 'completed')", (LATER,))


def _swap(context: BackupContext, backup_env: BackupEnvironment) -> None:
    if backup_env.jobs(backup_env.live) == JOBS:
        return  # the faulted swap had finished: repeating it would be another restore
    swap(context, backup_env.base, typed=backup_env.live, by="the campaign")


def _swapped(backup_env: BackupEnvironment) -> Iterator[str]:
    if backup_env.jobs(backup_env.live) != JOBS:
        yield f"the live database is not the restored one: {backup_env.jobs(backup_env.live)}"
    kept = [name for name in backup_env.databases() if name != backup_env.live]
    if not any(backup_env.jobs(name) == sorted([*JOBS, LATER]) for name in kept):
        yield f"the database of before is not among {kept}"
    with backup_env.session(backup_env.live) as cursor:
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


def child(backup_env: BackupEnvironment, act: Act, fault: Fault | None = None) -> ChildReport:
    def does(injector: Injector) -> None:
        tempfile.tempdir = str(backup_env.machine.temp)
        watch_programs(injector)
        with backup_env.machine.injected(), injected.watched(injector, backup_env.settings) as stores:
            act.does(BackupContext(stores=stores, settings=backup_env.settings), backup_env)

    return injected.child(does, backup_env.names, TIMEOUT, fault, backup_env.machine.befall)


def record(backup_env: BackupEnvironment, act: Act) -> tuple[Effect, ...]:
    """Record every effect of an undisturbed run."""
    backup_env.lay()
    act.before(backup_env)
    answer = child(backup_env, act)
    wrong = ([answer.error] if answer.error else []) + [*backup_env.always(), *act.wrong(backup_env)]
    assert not wrong, f"{act.name}, undisturbed: {wrong}"
    return answer.log


def run(backup_env: BackupEnvironment, trial: Trial) -> list[str]:
    """Run the trial; return its violations."""
    backup_env.machine.tidy()
    backup_env.lay()
    trial.act.before(backup_env)
    before = backup_env.jobs(backup_env.live)
    first = child(backup_env, trial.act, trial.fault)
    backup_env.machine.mend()
    found = list(injected.misbehaved(first, trial.fault))
    if (now := backup_env.jobs(backup_env.live)) not in (before, JOBS, None):
        found.append(f"the live database is neither old nor new: {now}")
    found += [
        f"after the fault: {one}"
        for one in (*backup_env.always(), *trial.act.never(backup_env, trial.fault, first))
    ]
    again = injected.patient(lambda: child(backup_env, trial.act))
    final = [again.error] if again.error else []
    found += [
        f"after the rerun: {one}" for one in (*final, *trial.act.wrong(backup_env), *backup_env.always())
    ]
    return found


def trials(
    place: Opener[BackupEnvironment], acts: Sequence[Act], seed: int, share: float = SHARE
) -> list[Trial]:
    """Return a trial for every mode of every effect, ordered so that any first part is spread over them.

    Of the modes in SLOW only a random share; where the kernel mounts no small disk, no full-disk trials.
    """
    chance, left_out = random.Random(seed), FULL if disk.refused() else ()
    effects = workers.apart(place, lambda backup_env: [record(backup_env, act) for act in acts])
    found = [
        Trial(act, Fault(effect, mode), number)
        for act, log in zip(acts, effects, strict=True)
        for number, effect in enumerate(log, 1)
        for mode in act.modes(effect.kind)
        if mode not in left_out and (mode not in SLOW or chance.random() < share)
    ]
    return workers.spread(found, seed)


def run_trials(
    yards: Sequence[Opener[BackupEnvironment]], todo: Sequence[Trial], seconds: float = float("inf")
) -> Iterator[Result[Trial]]:
    return workers.run_trials(yards, todo, run, seconds)
