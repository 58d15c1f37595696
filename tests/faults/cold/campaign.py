"""Crash points of cold data: a fault at every effect of compressing, moving and restoring objects."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from storage.core.errors import ActionsFailed
from tests.faults import injected, workers
from tests.faults.cold.acts import Act, At
from tests.faults.cold.environment import ColdEnvironment, open_cold_environment
from tests.faults.cold.table import ACTS
from tests.faults.effects import MODES, Effect, Fault, Injector
from tests.faults.injected import ChildReport
from tests.faults.servers import Place
from tests.faults.workers import Result

TIMEOUT = 60.0  # seconds a child may take before it counts as hung
#: After these faults a repeated run has objects whose actions failed; the next night handles those.
IN_VAIN = ("503", "lost", "lost once", "cut")


@dataclass(frozen=True)
class Trial:
    """One fault in one act. ``repeat``: the faulted run is repeated, else the next night follows."""

    act: Act
    fault: Fault
    number: int
    repeat: bool = True

    @property
    def of(self) -> str:
        return self.act.name

    def __str__(self) -> str:
        how = "repeated" if self.repeat else "left to the next night"
        return f"{self.of} effect {self.number} {self.fault.mode}: {self.fault.effect} ({how})"


def child(cold_env: ColdEnvironment, act: Act, run: str, fault: Fault | None = None) -> ChildReport:
    def does(injector: Injector) -> None:
        tempfile.tempdir = str(Path(cold_env.environment.settings.temp_dir).parent)
        with injected.watched(injector, cold_env.environment.settings) as stores:
            act.does(At(stores, injector, cold_env, run))

    return injected.child(does, cold_env.environment.names, TIMEOUT, fault)


def lay(cold_env: ColdEnvironment, act: Act) -> None:
    cold_env.lay(act.things)
    act.before(cold_env)


def record(cold_env: ColdEnvironment, act: Act) -> tuple[Effect, ...]:
    """Record every effect of an undisturbed run. Raises AssertionError when that run itself is wrong."""
    lay(cold_env, act)
    answer = child(cold_env, act, "first")
    wrong = [answer.error] if answer.error else []
    wrong += cold_env.always()
    act.between(cold_env)
    for run in act.then:
        again = child(cold_env, act, run)
        wrong += [again.error] if again.error else []
    wrong += [*act.wrong(cold_env), *cold_env.books()]
    assert not wrong, f"{act.name}, undisturbed: {wrong}"
    return answer.log


def run(cold_env: ColdEnvironment, trial: Trial) -> list[str]:
    """Run the trial; return its violations."""
    act = trial.act
    lay(cold_env, act)
    first = child(cold_env, act, "first", trial.fault)
    found = list(injected.misbehaved(first, trial.fault))
    found += [f"after the fault: {one}" for one in cold_env.always()]
    act.between(cold_env)
    found += [f"after the rerun: {one}" for one in _again(cold_env, trial)]
    found += _third(cold_env, act)
    return found + list(cold_env.unfinished())


def _again(cold_env: ColdEnvironment, trial: Trial) -> Iterator[str]:
    """Repeat the faulted run, or run the next night; then all must be done."""
    names = ("first", *trial.act.then) if trial.repeat or trial.act.by_hand else ("second", "next")
    for name in names:
        answer = _patient(cold_env, trial.act, name)
        if answer.error.startswith(ActionsFailed.__name__) and trial.fault.mode in IN_VAIN:
            answer = _patient(cold_env, trial.act, f"after {name}")
        if answer.error:
            yield answer.error
        trial.act.between(cold_env)
    yield from cold_env.always()
    yield from trial.act.wrong(cold_env)
    yield from cold_env.books()


def _third(cold_env: ColdEnvironment, act: Act) -> Iterator[str]:
    """Check that the third run writes its record and nothing else."""
    before = cold_env.print()
    answer = _patient(cold_env, act, "third")
    if answer.error:
        yield f"the third run failed: {answer.error}"
    if cold_env.print() != before:
        yield "the third run changed something"
    writes = [str(one) for one in answer.log if one.kind == "http-write" and "MAINTENANCE" not in one.what]
    if writes:
        yield f"the third run wrote: {writes[:3]}"


def _patient(cold_env: ColdEnvironment, act: Act, name: str) -> ChildReport:
    return injected.patient(lambda: child(cold_env, act, name))


def trials(place: Place, seed: int, acts: Sequence[Act] = ACTS) -> list[Trial]:
    """Return every mode of every effect of the acts for this kind of store."""
    fit = [act for act in acts if act.kind == place[1]]
    logs = workers.apart(
        partial(open_cold_environment, place), lambda cold_env: [record(cold_env, act) for act in fit]
    )
    chance = random.Random(seed)
    found = [
        Trial(act, Fault(effect, mode), number, chance.random() < 0.5)
        for act, log in zip(fit, logs, strict=True)
        for number, effect in enumerate(log, 1)
        for mode in MODES[effect.kind]
    ]
    return workers.spread(found, seed)


def run_trials(
    environments: Sequence[Place], todo: Sequence[Trial], seconds: float = float("inf")
) -> Iterator[Result[Trial]]:
    return workers.run_trials(
        [partial(open_cold_environment, place) for place in environments], todo, run, seconds
    )
