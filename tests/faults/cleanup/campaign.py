"""Trials of the clean-up jobs: every fault of every effect."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial

from tests.faults import workers
from tests.faults.cleanup import trial
from tests.faults.cleanup.environment import environment
from tests.faults.cleanup.scenarios import ALL, Scenario
from tests.faults.cleanup.trial import Trial
from tests.faults.effects import MODES, Effect, Fault
from tests.faults.servers import Place
from tests.faults.workers import Result

Recorded = Sequence[tuple[Scenario, tuple[Effect, ...]]]


def record(place: Place, scenarios: Sequence[Scenario] = ALL) -> Recorded:
    """Record the effects of each scenario's undisturbed run."""
    fit = [replace(scenario, world=scenario.world.on(place[1])) for scenario in scenarios]
    with environment(*place) as here:
        return [(scenario, trial.record(here, scenario)) for scenario in fit]


def trials(recorded: Recorded, seed: int) -> list[Trial]:
    """Return every mode of every effect; half of the faulted runs are repeated, half left to later nights."""
    chance, found = random.Random(seed), []
    for scenario, effects in recorded:
        for number, effect in enumerate(effects, 1):
            for mode in MODES[effect.kind]:
                found.append(Trial(scenario, Fault(effect, mode), number, chance.random() < 0.5))
    return workers.spread(found, seed)


def run_trials(
    environments: Sequence[Place], todo: Sequence[Trial], seconds: float = float("inf")
) -> Iterator[Result[Trial]]:
    return workers.run_trials(
        [partial(environment, *place) for place in environments], todo, trial.run, seconds
    )
