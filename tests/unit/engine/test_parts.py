"""A run in parts: each action is done once, whichever part is repeated; and the time budget of a night."""

from __future__ import annotations

from dataclasses import replace

import pytest

from storage.core.errors import ActionsFailed, JobBusy, Paused, Refused, TransientFault
from storage.core.model import Run, Totals
from storage.engine.parts import FEWEST, MOST, Part, count, start
from tests.support.in_memory import DAY, MINUTE, World
from tests.support.runs import apply, apply_part, end

TEMP = "cleanup_temp_objects"


@pytest.fixture
def planned(world: World) -> Run:
    """Plan six batches of a thousand actions, and a batch of five hundred."""
    for number in range(6_500):
        world.put(f"temp/{number:05}.ts", 2 * DAY)
    return world.plan(TEMP)


def test_parts_are_as_many_as_are_worth_it() -> None:
    assert [count(n) for n in (0, 10, 1_000, 10_000, 1_000_000)] == [
        FEWEST,
        FEWEST,
        FEWEST,
        40,
        MOST,
    ]


@pytest.mark.parametrize("of", [1, 4, 10])
def test_the_parts_together_do_the_plan_once(world: World, planned: Run, of: int) -> None:
    start(planned.id, world.stores)
    world.count_from_here()
    for number in reversed(range(of)):
        apply_part(planned.id, Part("delete", number, of), world.stores)
    done = end(planned.id, world.stores)
    assert (done.state, done.done) == ("verified", Totals(6_500, 26_000))
    assert world.objects.requests["delete"] == 7
    assert world.keys() == []
    assert end(planned.id, world.stores) == done


def test_a_part_that_died_is_repeated_from_its_last_batch(world: World, planned: Run) -> None:
    def crash(name: str) -> None:
        if name == "delete" and world.objects.requests["delete"] >= 2:
            raise TransientFault("the object store", "reset")

    start(planned.id, world.stores)
    world.objects.traffic.before = crash
    world.count_from_here()
    with pytest.raises(TransientFault):
        apply_part(planned.id, Part("delete", 0, 1), world.stores)
    world.objects.traffic.before = lambda name: None
    with pytest.raises(ActionsFailed, match="ended early"):
        end(planned.id, world.stores)
    start(planned.id, world.stores)
    apply_part(planned.id, Part("delete", 0, 1), world.stores)
    assert end(planned.id, world.stores).done.count == 6_500
    assert world.objects.requests["delete"] == 7


def test_a_pause_in_the_middle_is_no_failure_of_a_part(world: World, planned: Run) -> None:
    """The run stops at a batch border, its end says why, and it continues from there."""
    start(planned.id, world.stores)
    apply_part(planned.id, Part("delete", 0, 2), world.stores)
    world.stores.control.write("paused", "by ann: disk swap")
    with pytest.raises(Paused):
        apply_part(planned.id, Part("delete", 1, 2), world.stores)
    with pytest.raises(Paused, match="by ann: disk swap"):
        end(planned.id, world.stores)
    stopped = world.stores.runs.get(planned.id)
    assert stopped and (stopped.state, stopped.done.count) == ("failed", 3_000)
    assert "Maintenance is paused since" in stopped.message
    world.stores.control.write("paused", None)
    assert apply(planned.id, world.stores).done.count == 6_500


def test_parts_stand_beside_each_other_and_not_beside_a_whole_run(world: World, planned: Run) -> None:
    start(planned.id, world.stores)
    with world.stores.runs.lock(TEMP, shared=True):
        apply_part(planned.id, Part("delete", 0, 2), world.stores)
        with pytest.raises(JobBusy):
            start(planned.id, world.stores)
    with world.stores.runs.lock(TEMP), pytest.raises(JobBusy):
        apply_part(planned.id, Part("delete", 1, 2), world.stores)
    with world.stores.runs.lock(f"{planned.id} delete 1/2"), pytest.raises(JobBusy):
        apply_part(planned.id, Part("delete", 1, 2), world.stores)


def test_a_part_of_a_run_that_was_not_begun_is_refused(world: World, planned: Run) -> None:
    with pytest.raises(Refused, match="is planned"):
        apply_part(planned.id, Part("delete", 0, 1), world.stores)
    assert len(world.keys()) == 6_500


def test_after_its_time_a_run_leaves_the_rest_and_is_green(world: World, planned: Run) -> None:
    """Batches already begun are finished; the remaining actions are recorded as skipped and not done."""
    start(planned.id, world.stores)
    world.count_from_here()
    until = world.time + MINUTE
    late = replace(world.stores, clock=lambda: until if world.objects.requests["delete"] else world.time)
    apply_part(planned.id, Part("delete", 0, 1), late, until=until)
    done = end(planned.id, world.stores)
    assert done.state == "verified"
    assert 1_000 <= done.done.count <= 4_000  # at most four batches were in progress
    left = 6_500 - done.done.count
    assert world.stores.runs.details(done.id) == [
        ("skipped", "the time budget of this run is spent; the next run continues from here", left)
    ]
    assert len(world.keys()) == done.skipped.count == left
