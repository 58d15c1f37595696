"""A database that was restored behind the platform's back, found by the run that the plan bucket names."""

from __future__ import annotations

import json
from copy import deepcopy
from typing import Any

import pytest

from storage.backup.restore.reconcile import open_epoch
from storage.core.errors import Refused
from storage.core.model import ObjectKey
from storage.engine import last_run
from storage.engine.undo import undo
from tests.support.in_memory import DAY, HOUR, Killed, World
from tests.support.runs import apply

TEMP, FAILED = "cleanup_temp_objects", "cleanup_failed_jobs"
KEPT = ("jobs", "runs", "batches", "control", "tombstones", "notes", "claims", "audit")
State = dict[str, Any]


def image(world: World) -> State:
    return {name: deepcopy(getattr(world.database, name)) for name in KEPT}


def bring_back(world: World, state: State) -> None:
    """Restore the database as a disk snapshot does: it is the same one, as of another day."""
    for name, value in deepcopy(state).items():
        setattr(world.database, name, value)


def due(world: World, key: str) -> None:
    world.put(key, 2 * DAY)


def marked(world: World) -> State:
    """Condemn a failed job's object; return the image of that day. Then the mark is withdrawn."""
    world.job("job-1", "failed", 10 * DAY)
    world.put("processed/job-1/a", 10 * DAY)
    run = world.run(FAILED)
    state = image(world)
    world.time += HOUR
    undo(run.id, world.stores)
    due(world, "temp/x")
    world.run(TEMP)
    return state


def test_marks_of_another_day_do_not_act(world: World) -> None:
    """The mark that was withdrawn is a mark again in the old image, and due; its object stays."""
    before = marked(world)
    known = max(run.finished_at for run in before["runs"].values())
    bring_back(world, before)
    world.time += 30 * DAY
    with pytest.raises(Refused, match="restore-epoch"):
        world.run("reap")
    assert world.keys() == ["processed/job-1/a"]
    epoch = open_epoch(world.stores)
    assert (epoch.backup, epoch.taken_at, epoch.restored_at, epoch.kept) == ("", known, world.time, "")


def test_no_plan_of_before_is_applied(world: World) -> None:
    due(world, "temp/a")
    waiting = world.plan(TEMP)
    before = image(world)
    due(world, "temp/b")
    world.run(TEMP)
    due(world, "temp/a")
    bring_back(world, before)
    with pytest.raises(Refused, match="restore-epoch"):
        apply(waiting.id, world.stores)
    assert world.keys() == ["temp/a"]


def test_a_plan_alone_is_no_run_that_acted(world: World) -> None:
    """The database goes back to when the run waited for its approval."""
    due(world, "temp/a")
    planned = world.plan(TEMP)
    before = image(world)
    apply(planned.id, world.stores)
    due(world, "temp/a")
    bring_back(world, before)
    with pytest.raises(Refused, match="restore-epoch"):
        apply(planned.id, world.stores)


def test_once_reconciled_it_goes_on(world: World) -> None:
    bring_back(world, marked(world))
    with pytest.raises(Refused, match="restore-epoch"):
        world.plan(TEMP)
    world.stores.control.write("restore_epoch", None)
    due(world, "temp/y")
    assert world.run(TEMP).done.count == 1
    assert world.run(TEMP).state == "verified"


@pytest.mark.parametrize("killed_in", ["save", "create"])
def test_a_kill_while_a_run_begins(world: World, killed_in: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before or after its row is saved: the object names a run that is known, and the run is repeated."""
    due(world, "temp/x")
    world.run(TEMP)
    due(world, "temp/y")
    planned = world.plan(TEMP)
    with monkeypatch.context() as patch:
        patch.setattr(world.stores.runs if killed_in == "save" else world.plans, killed_in, kill)
        with pytest.raises(Killed):
            apply(planned.id, world.stores)
    world.database.locks.clear()
    assert apply(planned.id, world.stores).state == "verified"
    assert world.stores.control.read("restore_epoch") is None


@pytest.mark.parametrize("written", [0, 1])
def test_a_kill_while_the_epoch_is_opened(
    world: World, written: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    bring_back(world, marked(world))
    write, left = type(world.stores.control).write, [written]

    def counted(control: Any, name: str, value: str | None) -> None:
        if not left[0]:
            raise Killed
        left[0] -= 1
        write(control, name, value)

    with monkeypatch.context() as patch:
        patch.setattr(type(world.stores.control), "write", counted)
        with pytest.raises(Killed):
            world.plan(TEMP)
    for _ in range(2):
        with pytest.raises(Refused, match="restore-epoch"):
            world.plan(TEMP)
    world.stores.control.write("restore_epoch", None)
    assert world.plan(TEMP).state == "planned"


def kill(*words: object, **named: object) -> None:
    raise Killed


def test_what_it_costs(world: World) -> None:
    """One small object is read by each check and written by each run that has something to do."""
    world.run(TEMP)
    assert [key for key in world.plans._keys() if key.startswith(".maintenance/")] == []
    due(world, "temp/x")
    planned = world.plan(TEMP)
    world.plans.requests.clear()
    apply(planned.id, world.stores)
    assert world.plans.requests["put"] == 1


def test_another_database_of_the_bucket_has_a_mark_of_its_own(world: World) -> None:
    due(world, "temp/x")
    world.run(TEMP)
    world.database.identity, world.database.runs = "another", {}
    world.stores.control.write("identity", world.stores.identity())
    assert world.plan(TEMP).state == "planned"


def test_a_damaged_object_opens_no_epoch_silently(world: World) -> None:
    due(world, "temp/x")
    world.run(TEMP)
    [key] = [key for key in world.plans._keys() if key.startswith(".maintenance/")]
    world.plans.create(ObjectKey(key), b"\xff\xfe", over=True)
    with pytest.raises(Refused, match="restore-epoch"):
        world.plan(TEMP)
    assert json.loads(world.stores.control.read("restore_epoch") or "")["backup"] == ""
    assert world.stores.control.read(last_run.NOTICED)
