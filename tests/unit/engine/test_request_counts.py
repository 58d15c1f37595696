"""Request counts of the engine. Counts are stable, unlike times: they guard its speed."""

from __future__ import annotations

from math import ceil

import pytest

from storage.core.deletion import DeleteTarget
from storage.core.model import Prefix
from storage.engine.apply import SAMPLE
from storage.testing import MemoryObjects
from tests.support.in_memory import DAY, NOW, World
from tests.support.runs import apply
from tests.support.s3_protocol import Wire, bucket

TEMP = Prefix("temp/")
COUNTS = [0, 1, 999, 1_000, 1_001, 2_500, 4_000]


def keys(count: int) -> list[str]:
    return [f"temp/job-{number // 50:05}/segment_{number:06}.ts" for number in range(count)]


def wired(count: int) -> Wire:
    objects = MemoryObjects(lambda: NOW)
    for key in keys(count):
        objects.put(key, b"x")
    return Wire(objects)


@pytest.mark.parametrize("count", COUNTS)
def test_listing_is_one_request_a_thousand_keys(count: int) -> None:
    wire = wired(count)
    found = list(bucket(wire).scan(TEMP))
    assert [info.key for info in found] == keys(count)
    assert wire.requests == {"GET": max(1, ceil(count / 1_000))}


@pytest.mark.parametrize("count", COUNTS)
def test_deleting_is_one_request_a_thousand_keys(count: int) -> None:
    wire = wired(count)
    store = bucket(wire)
    targets = [DeleteTarget(info.key, info.etag) for info in wire.objects.scan(TEMP)]
    for first in range(0, count, 1_000):
        assert store.delete(targets[first : first + 1_000]) == []
    assert wire.requests["POST"] == wire.requests.total() == ceil(count / 1_000)
    assert not list(wire.objects.scan(TEMP))


@pytest.mark.parametrize("count", COUNTS[1:])
def test_planning_is_one_listing_and_one_look_at_the_rows_a_thousand_keys(world: World, count: int) -> None:
    for key in keys(count):
        world.put(key, 2 * DAY)
    world.count_from_here()
    world.plan("cleanup_temp_objects")
    pages = ceil(count / 1_000)
    assert world.objects.requests == {"list": pages, "time": 1, "identity": 1}
    assert world.database.requests["jobs.get"] <= pages + 1


@pytest.mark.parametrize("count", COUNTS[1:])
def test_applying_a_dense_plan_is_one_listing_and_one_delete_a_thousand_keys(
    world: World, count: int
) -> None:
    for key in keys(count):
        world.put(key, 2 * DAY)
    planned = world.plan("cleanup_temp_objects")
    world.count_from_here()
    assert apply(planned.id, world.stores).done.count == count
    batches = ceil(count / 1_000)
    assert world.objects.requests["list"] <= batches
    assert world.objects.requests["delete"] == batches
    # HEADs are of the verification sample; the guard makes its requests once.
    assert world.objects.requests["head"] == min(count, SAMPLE)
    assert world.objects.requests.total() <= 2 * batches + SAMPLE + 2


def test_rows_and_records_are_asked_for_once_a_batch(world: World) -> None:
    for key in keys(4_000):
        world.put(key, 2 * DAY)
    planned = world.plan("cleanup_temp_objects")
    world.count_from_here()
    apply(planned.id, world.stores)
    assert world.database.requests["jobs.get"] == 4
    assert world.database.requests["runs.finish_batch"] == 4
    assert world.database.requests["control.paused"] == 1 + 4
