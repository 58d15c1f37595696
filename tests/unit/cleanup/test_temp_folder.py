"""The temp folder, end to end: files set aside, put back, unlinked; kept if written or opened meanwhile."""

from __future__ import annotations

import pytest

from storage.core.errors import TransientFault
from storage.core.model import Run, Totals
from storage.engine.undo import undo
from tests.support.in_memory import DAY, HOUR, NOW, World
from tests.support.runs import apply

FILES = "cleanup_temp_files"


def old(world: World, *paths: str) -> None:
    for path in paths:
        world.files.add(path, 10, NOW - 2 * DAY)


def shown(world: World) -> list[str]:
    return [entry.path for entry in world.files.walk()]


def set_aside(world: World) -> Run:
    old(world, "j/a.ts", "j/deep/b.ts", "loose.tmp")
    run = world.run(FILES)
    assert (run.state, run.done, shown(world)) == ("verified", Totals(5, 30), [])
    return run


def test_dry_plan_moves_nothing(world: World) -> None:
    old(world, "j/a.ts")
    world.plan(FILES)
    assert shown(world) == ["j/a.ts", "j"]
    assert world.tombstones() == []


def test_files_are_set_aside_then_unlinked_an_hour_later(world: World) -> None:
    set_aside(world)
    held = [tombstone.held_at for tombstone in world.tombstones("condemned")]
    assert all(world.files.look(path) for path in held)
    world.time += HOUR
    reaped = world.run("reap")
    assert (reaped.done, [world.files.look(path) for path in held]) == (Totals(3, 30), [None] * 3)
    assert {tombstone.state for tombstone in world.tombstones()} == {"reaped"}


def test_files_are_not_unlinked_before_their_hour(world: World) -> None:
    set_aside(world)
    world.time += HOUR / 2
    assert world.run("reap").considered.count == 0


def test_undo_puts_files_back(world: World) -> None:
    run = set_aside(world)
    assert [outcome.status for _, outcome in undo(run.id, world.stores)] == ["done"] * 3
    assert sorted(shown(world)) == ["j", "j/a.ts", "j/deep", "j/deep/b.ts", "loose.tmp"]
    world.time += HOUR
    assert world.run("reap").considered.count == 0


def test_undo_writes_over_nothing_new(world: World) -> None:
    run = set_aside(world)
    new = world.files.add("loose.tmp", 3)
    found = {tombstone.key: outcome for tombstone, outcome in undo(run.id, world.stores)}
    assert found["loose.tmp"].status == "failed"
    assert ".condemned/" in found["loose.tmp"].detail
    assert world.files.look("loose.tmp") == new


def test_interrupted_undo_is_finished_by_another(world: World) -> None:
    run = set_aside(world)
    world.stores.tombstones.undo([tombstone.id for tombstone in world.tombstones()])
    undo(run.id, world.stores)
    assert "loose.tmp" in shown(world)


def test_file_opened_in_condemned_is_put_back(world: World) -> None:
    set_aside(world)
    [held] = [tombstone.held_at for tombstone in world.tombstones() if tombstone.key == "loose.tmp"]
    world.files.opened.add(held)
    world.time += HOUR
    assert world.run("reap").skipped.count == 1
    assert shown(world) == ["loose.tmp"]
    assert [tombstone.key for tombstone in world.tombstones("kept")] == ["loose.tmp"]


def test_file_written_to_in_condemned_is_put_back(world: World) -> None:
    set_aside(world)
    [held] = [tombstone.held_at for tombstone in world.tombstones() if tombstone.key == "loose.tmp"]
    inode = world.files.entries[held].inode
    world.files.add(held, 99, inode=inode)
    world.time += HOUR
    world.run("reap")
    back = world.files.look("loose.tmp")
    assert back and (back.size, back.inode) == (99, inode)


@pytest.mark.parametrize("what", ["written", "replaced", "opened", "gone", "owned"])
def test_file_that_changed_after_the_plan_stays(what: str, world: World) -> None:
    old(world, "j/a.ts")
    planned = world.plan(FILES)
    inode = world.files.entries["j/a.ts"].inode
    if what == "written":
        world.files.add("j/a.ts", 11, NOW, inode=inode)
    elif what == "replaced":
        old(world, "j/a.ts")
    elif what == "opened":
        world.files.opened.add("j/a.ts")
    elif what == "gone":
        world.files.unlink("j/a.ts")
    else:
        world.job("j", "processing", HOUR)
    before = world.files.look("j/a.ts")
    run = apply(planned.id, world.stores)
    assert run.state == "verified"
    assert world.files.look("j/a.ts") == before
    assert world.tombstones() == []
    assert run.skipped.count == (1 if what == "gone" else 2)


def test_new_file_keeps_its_folder(world: World) -> None:
    old(world, "j/a.ts")
    planned = world.plan(FILES)
    world.files.add("j/new.ts")
    run = apply(planned.id, world.stores)
    assert (run.done.count, shown(world)) == (1, ["j/new.ts", "j"])
    assert world.stores.runs.details(run.id) == [("skipped", "not empty", 1)]


def test_crash_between_tombstone_and_record_is_taken_up(world: World) -> None:
    old(world, "j/a.ts", "loose.tmp")
    planned = world.plan(FILES)

    def crash(name: str) -> None:
        if name == "runs.finish_batch":
            raise TransientFault("the database", "gone")

    world.database.traffic.before = crash
    with pytest.raises(TransientFault):
        apply(planned.id, world.stores)
    world.database.traffic.before = lambda name: None
    run = apply(planned.id, world.stores)
    assert (run.state, run.done.count, shown(world)) == ("verified", 3, [])
    assert len(world.tombstones("condemned")) == 2


def test_two_jobs_do_not_condemn_one_file_twice(world: World) -> None:
    world.job("j", "completed", HOUR)
    old(world, "j/a.ts")
    first, second = world.plan(FILES), world.plan("cleanup_ended_temp_files")
    apply(first.id, world.stores)
    run = apply(second.id, world.stores)
    assert (run.state, run.skipped.count) == ("verified", 1)
    [tombstone] = world.tombstones("condemned")
    assert world.files.look(tombstone.held_at)
