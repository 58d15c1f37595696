"""Pruning is killed before each of its effects, and meets a twin there; what was deleted stays known."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import pytest

from storage import catalog
from storage.engine.sweep import plan
from storage.records.search import deleted
from storage.testing import MemoryRuns, MemoryStores
from tests.support.in_memory import DAY, Killed, World
from tests.support.old_runs import JOB, LOGS, PLANS, files, first, world_with_an_old_run
from tests.support.runs import apply

EFFECTS = 40  # more than there are


class Unlocked(MemoryRuns):
    """Runs whose locks are always free, as after a failed lock server."""

    def lock(self, job: str, *, shared: bool = False) -> Any:
        return nullcontext(lambda: None)


def at_effect(world: World, number: int, does: Callable[[], None]) -> None:
    """Do something before the effect with this number, of all that follow on plans and records."""
    seen = 0

    def before(name: str) -> None:
        nonlocal seen
        seen += 1
        if seen == number:
            does()

    world.plans.traffic.before = world.database.traffic.before = before


def undisturbed(world: World) -> None:
    world.plans.traffic.before = world.database.traffic.before = lambda name: None


def kill() -> None:
    raise Killed


def check(world: World, run: str, effect: int) -> None:
    undisturbed(world)
    for key in ("temp/a", "temp/b"):
        known = [(one.run, one.outcome) for one in deleted(key, world.stores)[0]]
        assert known == [(run, "done")], f"before effect {effect}: the deletion of {key} is not known"


def gone(world: World, run: str) -> None:
    assert world.stores.runs.get(run) is None
    assert run not in " ".join(files(world, PLANS))
    assert len(files(world, LOGS)) == 1


@pytest.mark.parametrize("repeat", [True, False])
def test_killed_before_each_effect(repeat: bool) -> None:
    for effect in range(1, EFFECTS):
        world = world_with_an_old_run()
        run, planned = first(world).id, world.plan("prune_records").id
        at_effect(world, effect, kill)
        try:
            apply(planned, world.stores)
            break
        except Killed:
            check(world, run, effect)
        if repeat:
            apply(planned, world.stores)
        else:
            world.run("prune_records")
        gone(world, run)
        check(world, run, effect)
    assert 8 < effect < EFFECTS - 1, "every effect had its turn"


def meets_a_twin(effect: int, same_plan: bool) -> bool:
    """Return whether there is such an effect."""
    world, met = world_with_an_old_run(), list[bool]()
    stores: MemoryStores = replace(world.stores, runs=Unlocked(world.database))
    run, job = first(world).id, catalog.get("prune_records")
    planned = plan(job, stores, world.time).id

    def twin() -> None:
        undisturbed(world)
        met.append(True)
        apply(planned if same_plan else plan(job, stores, world.time).id, stores)

    at_effect(world, effect, twin)
    apply(planned, stores)
    check(world, run, effect)
    gone(world, run)
    return bool(met)


@pytest.mark.parametrize("same_plan", [True, False])
def test_a_twin_runs_before_each_effect(same_plan: bool) -> None:
    """Without the lock: the twin does all of it while the first one stands before an effect."""
    effect = next(effect for effect in range(1, EFFECTS) if not meets_a_twin(effect, same_plan))
    assert effect > 8, "every effect had its turn"


def test_deleted_by_an_attempt_that_was_killed_before_it_recorded_it() -> None:
    """The repeated attempt finds the objects gone and skips them; that this run deleted them is not lost."""
    world = World()
    world.put("temp/a", 2 * DAY)
    run = world.plan(JOB).id

    def before(name: str) -> None:
        if name == "runs.finish_batch":
            raise Killed

    world.database.traffic.before = before
    with pytest.raises(Killed):
        apply(run, world.stores)
    undisturbed(world)
    assert apply(run, world.stores).skipped.count == 1
    assert [(one.run, one.outcome) for one in deleted("temp/a", world.stores)[0]] == [(run, "unknown")]
