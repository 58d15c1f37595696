"""An installation in memory with a run that is old enough to be pruned, and questions about its records."""

from __future__ import annotations

from dataclasses import replace

from storage.core.deletion import DeleteTarget
from storage.core.model import ACTED, Prefix, Run, RunState
from storage.engine.sweep import HISTORY
from storage.records.search import deleted
from tests.support.in_memory import DAY, HOUR, World

JOB = "cleanup_temp_objects"
PLANS, LOGS, LAST_RUN = Prefix("plans/"), Prefix("deletions/"), Prefix(".maintenance/")
OLD = 91 * DAY


def world_with_an_old_run() -> World:
    """Return an installation with one run that deleted two objects 91 days ago, and as many newer as stay."""
    world = World()
    for key in ("temp/a", "temp/b"):
        world.put(key, 2 * DAY)
    world.run(JOB)
    nights(world, HISTORY)
    world.time += OLD
    return world


def nights(world: World, count: int) -> None:
    for _ in range(count):
        world.time += HOUR
        world.run(JOB)


def first(world: World) -> Run:
    return min(world.database.runs.values(), key=lambda run: run.as_of)


def in_state(world: World, run: Run, state: RunState) -> None:
    """Give the run another state. One that never acted is not named in the plan bucket."""
    world.database.runs[run.id] = replace(run, state=state)
    if state not in ACTED:
        world.plans.delete([DeleteTarget(info.key, info.etag) for info in world.plans.scan(LAST_RUN)])


def found(world: World, key: str = "temp/a") -> list[str]:
    """Return the runs that are known to have deleted the key."""
    deletions, unreadable = deleted(key, world.stores)
    assert not unreadable
    return [one.run for one in deletions]


def files(world: World, prefix: Prefix) -> list[str]:
    return [info.key for info in world.plans.scan(prefix)]
