"""One trial: a child with a fault at one effect, then a rerun, then a third run with nothing left to do."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.faults import injected
from tests.faults.cleanup.environment import Environment
from tests.faults.cleanup.invariants import always, finally_
from tests.faults.cleanup.scenarios import Act, Scenario
from tests.faults.effects import Effect, Fault, Injector
from tests.faults.injected import ChildReport
from tests.faults.transports import watch_files

TIMEOUT = 30.0  # seconds a child may take before it counts as hung


@dataclass(frozen=True)
class Trial:
    """One fault in one scenario. ``repeat``: the faulted run is repeated, else only later nights follow."""

    scenario: Scenario
    fault: Fault
    number: int
    repeat: bool

    @property
    def of(self) -> str:
        return self.scenario.name

    def __str__(self) -> str:
        how = "repeated" if self.repeat else "left to later nights"
        return f"{self.of} effect {self.number} {self.fault.mode}: {self.fault.effect} ({how})"


def child(
    environment: Environment, acts: tuple[Act, ...], names: tuple[str, ...], fault: Fault | None = None
) -> ChildReport:
    """Do ``acts``, each under its run name, in a forked child with ``fault`` injected."""

    def does(injector: Injector) -> None:
        # Temporary files that a killed child leaves are removed with the environment.
        tempfile.tempdir = str(Path(environment.settings.temp_dir).parent)
        watch_files(injector)
        with injected.watched(injector, environment.settings) as stores:
            for act, name in zip(acts, names, strict=True):
                act(stores, name)

    return injected.child(does, environment.names, TIMEOUT, fault)


def lay(environment: Environment, scenario: Scenario) -> None:
    environment.lay(scenario.world)
    scenario.setup(environment)


def record(environment: Environment, scenario: Scenario) -> tuple[Effect, ...]:
    """Record every effect of an undisturbed run. Raises AssertionError when that run itself is wrong."""
    lay(environment, scenario)
    answer = child(environment, (scenario.act,), ("first",))
    wrong = [answer.error] if answer.error else []
    wrong += [*always(environment, scenario), *finally_(environment, scenario, by_later_nights=False)]
    assert not wrong, f"{scenario.name}, undisturbed: {wrong}"
    return answer.log


def run(environment: Environment, trial: Trial) -> list[str]:
    """Run the trial; return its violations."""
    lay(environment, trial.scenario)
    first = child(environment, (trial.scenario.act,), ("first",), trial.fault)
    found = list(injected.misbehaved(first, trial.fault))
    found += [f"after the fault: {one}" for one in always(environment, trial.scenario)]
    _again(environment, trial, found)
    _third(environment, trial, found)
    return found


def _again(environment: Environment, trial: Trial, found: list[str]) -> None:
    """Repeat the faulted run, or run the later nights; then all must be done.

    Actions that a broken disk made a run skip or fail are left to a later night: a run tries each once.
    """
    final: list[str] = []
    if trial.repeat:
        answer = _patient(environment, (trial.scenario.act,), ("first",))
        final = (
            [answer.error]
            if answer.error
            else list(finally_(environment, trial.scenario, by_later_nights=False))
        )
    if not trial.repeat or (final and trial.fault.mode == "EIO"):
        nights = trial.scenario.nights
        answer = _patient(environment, nights, tuple(f"night{number}" for number in range(len(nights))))
        final = (
            [answer.error]
            if answer.error
            else list(finally_(environment, trial.scenario, by_later_nights=True))
        )
    final += always(environment, trial.scenario)
    found += [f"after the rerun: {one}" for one in final]


def _third(environment: Environment, trial: Trial, found: list[str]) -> None:
    """Check that the third run writes its record and nothing else."""
    before = environment.print()
    answer = _patient(environment, (trial.scenario.act,), ("third",))
    if answer.error:
        found.append(f"the third run failed: {answer.error}")
    if environment.print() != before:
        found.append("the third run changed rows, objects or files")
    writes = [str(effect) for effect in answer.log if _is_write(effect)]
    if writes:
        found.append(f"the third run wrote: {writes[:3]}")


def _is_write(effect: Effect) -> bool:
    return effect.kind == "file-write" or (effect.kind == "http-write" and "MAINTENANCE" not in effect.what)


def _patient(environment: Environment, acts: tuple[Act, ...], names: tuple[str, ...]) -> ChildReport:
    return injected.patient(lambda: child(environment, acts, names))
