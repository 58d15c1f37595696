"""Many trials: which there are, a sample of them, and carrying them out on several places at once."""

from __future__ import annotations

import multiprocessing
import random
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from tests.faults import trial
from tests.faults.effects import MODES, Effect, Fault
from tests.faults.ground import ground
from tests.faults.place import Place
from tests.faults.scenarios import ALL, Scenario
from tests.faults.transports import warm
from tests.faults.trial import Trial

Recorded = Sequence[tuple[Scenario, tuple[Effect, ...]]]


@dataclass(frozen=True)
class Result:
    """What became of one trial."""

    trial: Trial
    error: str
    violations: tuple[str, ...]


def record(place: Place, scenarios: Sequence[Scenario] = ALL) -> Recorded:
    """The effects of each scenario's undisturbed run."""
    fit = [replace(scenario, world=scenario.world.on(place[1])) for scenario in scenarios]
    with ground(*place) as here:
        return [(scenario, trial.record(here, scenario)) for scenario in fit]


def trials(recorded: Recorded, seed: int) -> list[Trial]:
    """Every mode of every effect. Half of the struck runs are repeated, half left to later nights."""
    chance, found = random.Random(seed), []
    for scenario, effects in recorded:
        for number, effect in enumerate(effects, 1):
            for mode in MODES[effect.kind]:
                found.append(Trial(scenario, Fault(effect, mode), number, chance.random() < 0.5))
    return found


def spread(every: Sequence[Trial], seed: int) -> list[Trial]:
    """The same trials in a drawn order whose every beginning is spread over scenarios, kinds and modes."""
    groups: dict[tuple[str, str, str], list[Trial]] = defaultdict(list)
    for one in every:
        groups[one.scenario.name, one.fault.effect.kind, one.fault.mode].append(one)
    chance = random.Random(seed)
    for group in groups.values():
        chance.shuffle(group)
    order, left = list(groups), sum(map(len, groups.values()))
    drawn: list[Trial] = []
    while len(drawn) < left:
        chance.shuffle(order)
        turns: Counter[str] = Counter()
        numbered = []
        for key in order:
            turns[key[0]] += 1
            numbered.append((turns[key[0]], key))
        for _, key in sorted(numbered, key=lambda turn: turn[0]):  # every scenario before any comes again
            drawn += [groups[key].pop()] if groups[key] else []
    return drawn


def carry_out(
    places: Sequence[Place], todo: Sequence[Trial], seconds: float = float("inf")
) -> Iterator[Result]:
    """Each trial's result as it comes. After ``seconds`` no further trial is begun."""
    warm()
    context, until = multiprocessing.get_context("fork"), time.monotonic() + seconds
    queue = context.SimpleQueue()
    workers = [
        context.Process(
            target=_work, args=(place, todo, range(first, len(todo), len(places)), until, queue.put)
        )
        for first, place in enumerate(places)
    ]
    for worker in workers:
        worker.start()
    running = len(workers)
    while running:
        told = queue.get()
        if told is None:
            running -= 1
        else:
            number, error, violations = told
            yield Result(todo[number], error, violations)
    for worker in workers:
        worker.join()


def _work(
    place: Place, todo: Sequence[Trial], mine: Sequence[int], until: float, tell: Callable[[object], None]
) -> None:
    try:
        with ground(*place) as here:
            for number in mine:
                if time.monotonic() > until:
                    break
                try:
                    verdict = trial.run(here, todo[number])
                    tell((number, verdict.error, tuple(verdict.violations)))
                except Exception as error:  # noqa: BLE001 - a trial that cannot be judged did not survive
                    tell((number, "", (f"the trial itself broke: {type(error).__name__}: {error}",)))
    finally:
        tell(None)
