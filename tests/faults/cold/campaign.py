"""Crash points of cold data: every effect of compressing, moving and bringing back is struck."""

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
from tests.faults.cold.environment import Cellar, open_cellar
from tests.faults.cold.table import ACTS
from tests.faults.effects import MODES, Effect, Fault, Injector
from tests.faults.injected import Told
from tests.faults.servers import Place
from tests.faults.workers import Result

TIMEOUT = 60.0  # seconds a child may take before it counts as hung
#: After these a run that is repeated has objects that it tried in vain, and they are the next night's.
IN_VAIN = ("503", "lost", "lost once", "cut")


@dataclass(frozen=True)
class Trial:
    """One fault in one act. ``repeat``: the struck run is repeated, else the next night comes."""

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


def child(cellar: Cellar, act: Act, run: str, fault: Fault | None = None) -> Told:
    def does(injector: Injector) -> None:
        tempfile.tempdir = str(Path(cellar.ground.settings.temp_dir).parent)
        with injected.watched(injector, cellar.ground.settings) as stores:
            act.does(At(stores, injector, cellar, run))

    return injected.child(does, cellar.ground.names, TIMEOUT, fault)


def lay(cellar: Cellar, act: Act) -> None:
    cellar.lay(act.things)
    act.before(cellar)


def record(cellar: Cellar, act: Act) -> tuple[Effect, ...]:
    """Every effect of an undisturbed run. Raises AssertionError when it does not even do its work."""
    lay(cellar, act)
    told = child(cellar, act, "first")
    wrong = [told.error] if told.error else []
    wrong += cellar.always()
    act.between(cellar)
    for run in act.then:
        again = child(cellar, act, run)
        wrong += [again.error] if again.error else []
    wrong += [*act.wrong(cellar), *cellar.books()]
    assert not wrong, f"{act.name}, undisturbed: {wrong}"
    return told.log


def run(cellar: Cellar, trial: Trial) -> list[str]:
    """What the trial violated."""
    act = trial.act
    lay(cellar, act)
    first = child(cellar, act, "first", trial.fault)
    found = list(injected.misbehaved(first, trial.fault))
    found += [f"after the fault: {one}" for one in cellar.always()]
    act.between(cellar)
    found += [f"after the rerun: {one}" for one in _again(cellar, trial)]
    found += _third(cellar, act)
    return found + list(cellar.unfinished())


def _again(cellar: Cellar, trial: Trial) -> Iterator[str]:
    """Repeat the struck run, or let the next night come; then all must be done."""
    names = ("first", *trial.act.then) if trial.repeat or trial.act.by_hand else ("second", "next")
    for name in names:
        told = _patient(cellar, trial.act, name)
        if told.error.startswith(ActionsFailed.__name__) and trial.fault.mode in IN_VAIN:
            told = _patient(cellar, trial.act, f"after {name}")
        if told.error:
            yield told.error
        trial.act.between(cellar)
    yield from cellar.always()
    yield from trial.act.wrong(cellar)
    yield from cellar.books()


def _third(cellar: Cellar, act: Act) -> Iterator[str]:
    """The third run may write its record and nothing else."""
    before = cellar.print()
    told = _patient(cellar, act, "third")
    if told.error:
        yield f"the third run failed: {told.error}"
    if cellar.print() != before:
        yield "the third run changed something"
    writes = [str(one) for one in told.log if one.kind == "http-write" and "MAINTENANCE" not in one.what]
    if writes:
        yield f"the third run wrote: {writes[:3]}"


def _patient(cellar: Cellar, act: Act, name: str) -> Told:
    return injected.patient(lambda: child(cellar, act, name))


def trials(place: Place, seed: int, acts: Sequence[Act] = ACTS) -> list[Trial]:
    """Every mode of every effect of the acts that its store is for."""
    fit = [act for act in acts if act.kind == place[1]]
    logs = workers.apart(partial(open_cellar, place), lambda cellar: [record(cellar, act) for act in fit])
    chance = random.Random(seed)
    found = [
        Trial(act, Fault(effect, mode), number, chance.random() < 0.5)
        for act, log in zip(fit, logs, strict=True)
        for number, effect in enumerate(log, 1)
        for mode in MODES[effect.kind]
    ]
    return workers.spread(found, seed)


def carry_out(
    places: Sequence[Place], todo: Sequence[Trial], seconds: float = float("inf")
) -> Iterator[Result[Trial]]:
    return workers.carry_out([partial(open_cellar, place) for place in places], todo, run, seconds)
