"""One trial: a child struck at one effect, then a rerun, then a third run that has nothing left to do."""

from __future__ import annotations

import json
import tempfile
import time
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from storage import connect
from storage.errors import JobBusy, StorageError
from storage.settings import Settings
from storage.stores.postgres import connect as connect_engine
from tests.faults.effects import Effect, Fault, Injector
from tests.faults.fork import HUNG, Say, forked
from tests.faults.ground import Ground
from tests.faults.invariants import always, finally_
from tests.faults.scenarios import Act, Scenario
from tests.faults.transports import http_client, hurry, watch_boto, watch_files, watch_sql

TIMEOUT = 30.0  # seconds a child may take before it counts as hung
KILLS = ("before", "after")
STRUCK = b"struck\n"


@dataclass(frozen=True)
class Told:
    """What a child said: whether the fault struck, how it ended, and its effects."""

    struck: bool
    killed: bool
    error: str = ""
    foreign: bool = False
    log: tuple[Effect, ...] = ()


@dataclass(frozen=True)
class Trial:
    """One fault in one scenario. ``repeat``: the struck run is repeated, else only later nights follow."""

    scenario: Scenario
    fault: Fault
    number: int
    repeat: bool

    def __str__(self) -> str:
        how = "repeated" if self.repeat else "left to later nights"
        return f"{self.scenario.name} effect {self.number} {self.fault.mode}: {self.fault.effect} ({how})"


@dataclass
class Verdict:
    trial: Trial
    error: str
    violations: list[str] = field(default_factory=list)


def child(ground: Ground, acts: tuple[Act, ...], names: tuple[str, ...], fault: Fault | None = None) -> Told:
    """Do ``acts``, each under its run name, in a forked child that ``fault`` strikes."""

    def work(say: Say) -> None:
        injector = Injector(fault, lambda: say(STRUCK), ground.names)
        error, foreign = _work(ground.settings, tuple(zip(acts, names, strict=True)), injector)
        log = [(effect.kind, effect.what, effect.nth) for effect in injector.log]
        say(json.dumps({"error": error, "foreign": foreign, "log": log}).encode())

    said, killed = forked(work, TIMEOUT)
    struck = said.startswith(STRUCK)
    if said.endswith(HUNG):
        return Told(struck, killed, "the child hung", True)
    rest: dict[str, Any] = json.loads(said.removeprefix(STRUCK) or b"{}")
    log = tuple(Effect(*entry) for entry in rest.get("log", ()))
    return Told(struck, killed, rest.get("error", ""), rest.get("foreign", False), log)


def _work(settings: Settings, acts: tuple[tuple[Act, str], ...], injector: Injector) -> tuple[str, bool]:
    """The error the acts ended with, if any, and whether it is none of ours."""
    tempfile.tempdir = str(Path(settings.temp_dir).parent)  # what a killed child leaves goes with the place
    hurry()
    watch_boto(injector)
    watch_files(injector)
    try:
        engine = connect_engine(settings.database_url)
        watch_sql(injector, engine)
        with connect.stores(settings, engine=engine, http=http_client(injector)) as stores:
            for act, name in acts:
                act(stores, name)
    except StorageError as problem:
        return f"{type(problem).__name__}: {problem}", False
    except BaseException as problem:  # noqa: BLE001 - whatever ends the child is what is told
        return "".join(traceback.format_exception(problem)[-3:]), True
    return "", False


def lay(ground: Ground, scenario: Scenario) -> None:
    ground.lay(scenario.world)
    scenario.setup(ground)


def record(ground: Ground, scenario: Scenario) -> tuple[Effect, ...]:
    """Every effect of an undisturbed run. Raises AssertionError when it does not even do its work."""
    lay(ground, scenario)
    told = child(ground, (scenario.act,), ("first",))
    wrong = [told.error] if told.error else []
    wrong += [*always(ground, scenario), *finally_(ground, scenario, by_later_nights=False)]
    assert not wrong, f"{scenario.name}, undisturbed: {wrong}"
    return told.log


def run(ground: Ground, trial: Trial) -> Verdict:
    lay(ground, trial.scenario)
    first = child(ground, (trial.scenario.act,), ("first",), trial.fault)
    verdict = Verdict(trial, first.error)
    found = verdict.violations
    if not first.struck:
        found.append("not exercised: the effect was never met")
    elif first.killed != (trial.fault.mode in KILLS):
        found.append("the child ended otherwise than by the fault")
    if first.foreign and trial.fault.mode != "EIO":  # a broken disk may be told in the system's own words
        found.append(f"an error that is not ours: {first.error}")
    found += [f"after the fault: {one}" for one in always(ground, trial.scenario)]
    _again(ground, trial, found)
    _third(ground, trial, found)
    return verdict


def _again(ground: Ground, trial: Trial, found: list[str]) -> None:
    """Repeat the struck run, or let later nights come; then all must be done.

    What a broken disk made a run skip or fail is a later night's, for a run does each thing once.
    """
    final: list[str] = []
    if trial.repeat:
        told = _patient(ground, (trial.scenario.act,), ("first",))
        final = [told.error] if told.error else list(finally_(ground, trial.scenario, by_later_nights=False))
    if not trial.repeat or (final and trial.fault.mode == "EIO"):
        nights = trial.scenario.nights
        told = _patient(ground, nights, tuple(f"night{number}" for number in range(len(nights))))
        final = [told.error] if told.error else list(finally_(ground, trial.scenario, by_later_nights=True))
    final += always(ground, trial.scenario)
    found += [f"after the rerun: {one}" for one in final]


def _third(ground: Ground, trial: Trial, found: list[str]) -> None:
    """The third run may write its record and nothing else."""
    before = ground.print()
    told = _patient(ground, (trial.scenario.act,), ("third",))
    if told.error:
        found.append(f"the third run failed: {told.error}")
    if ground.print() != before:
        found.append("the third run changed rows, objects or files")
    writes = [str(effect) for effect in told.log if _is_write(effect)]
    if writes:
        found.append(f"the third run wrote: {writes[:3]}")


def _is_write(effect: Effect) -> bool:
    return effect.kind == "file-write" or (effect.kind == "http-write" and "MAINTENANCE" not in effect.what)


def _patient(ground: Ground, acts: tuple[Act, ...], names: tuple[str, ...]) -> Told:
    """The lock of a killed process is free as soon as the server sees its socket closed: wait for that."""
    told = child(ground, acts, names)
    for _ in range(40):
        if not told.error.startswith(JobBusy.__name__):
            break
        time.sleep(0.05)
        told = child(ground, acts, names)
    return told
