"""Deletes that the store refuses: busy stores are asked again after a recheck, locked objects are kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from storage.core.deletion import DeleteTarget, Failure, ObjectLock
from storage.core.errors import TooManyFailures, TransientFault
from storage.core.model import ObjectInfo, ObjectKey
from storage.engine.actions.removal import Removal
from storage.testing import MemoryObjects
from tests.support.in_memory import DAY, HOUR, NOW, World

TEMP = "cleanup_temp_objects"
Answer = Callable[[Sequence[DeleteTarget]], list[Failure]]


def fill(world: World, count: int) -> list[str]:
    keys = [f"temp/j/{number:05}.ts" for number in range(count)]
    for key in keys:
        world.put(key, 2 * DAY)
    return keys


def busy(keys: Sequence[str], code: str = "SlowDown") -> list[Failure]:
    return [Failure(key, code, "busy", transient=True) for key in keys]


def answering(world: World, *answers: Callable[[Answer, Sequence[DeleteTarget]], list[Failure]]) -> list[int]:
    """Answer the first deletes by these functions, the others as usual; return the sizes of the requests."""
    usual, sizes, waiting = world.objects.delete, list[int](), list(answers)

    def delete(targets: Sequence[DeleteTarget]) -> list[Failure]:
        sizes.append(len(targets))
        return waiting.pop(0)(usual, targets) if waiting else usual(targets)

    world.objects.delete = delete  # type: ignore[method-assign]
    return sizes


@pytest.mark.parametrize("code", ["SlowDown", "InternalError"])
def test_keys_of_a_busy_store_are_tried_again_in_smaller_requests(code: str, world: World) -> None:
    """Thirty in a row stopped the run."""
    keys = fill(world, 100)
    sizes = answering(
        world,
        lambda usual, targets: usual(targets[30:]) + busy(keys[:30], code),
        lambda usual, targets: busy([target.key for target in targets], code),
    )
    done = world.run(TEMP)
    assert (done.state, done.done.count, world.keys()) == ("verified", 100, [])
    assert sizes == [100, 15, 15, 4, 4, 4, 3]


def test_a_request_that_is_refused_as_a_whole_is_tried_again(world: World) -> None:
    fill(world, 4)

    def refused(usual: Answer, targets: Sequence[DeleteTarget]) -> list[Failure]:
        raise TransientFault("The object store", "SlowDown")

    answering(world, refused)
    assert world.run(TEMP).done.count == 4


def test_tries_end_and_then_the_failures_count(world: World) -> None:
    keys = fill(world, 40)
    world.objects.failing.update(dict.fromkeys(keys, "SlowDown"))
    sizes = answering(world)
    with pytest.raises(TooManyFailures, match="SlowDown"):
        world.run(TEMP)
    assert len(sizes) <= 1 + 2 + 4 + 8 + 16


def test_what_was_deleted_in_spite_of_the_answer_is_done(world: World) -> None:
    keys = fill(world, 3)
    answering(world, lambda usual, targets: usual(targets) + busy(keys[:2]))
    done = world.run(TEMP)
    assert (done.done.count, done.skipped.count, world.keys()) == (3, 0, [])


def test_an_object_written_again_between_two_tries_stays(world: World) -> None:
    """The same bytes, so the same etag."""
    keys = fill(world, 3)

    def written_again(usual: Answer, targets: Sequence[DeleteTarget]) -> list[Failure]:
        failures = usual(targets) + busy(keys[:2])
        world.objects.put(keys[0], b"data", NOW)
        return failures

    answering(world, written_again)
    done = world.run(TEMP)
    assert (done.done.count, done.skipped.count, world.keys()) == (2, 1, keys[:1])


@pytest.mark.parametrize("row", ["job", "reference"])
def test_a_job_that_appears_between_two_tries_keeps_its_objects(row: str, world: World) -> None:
    keys = fill(world, 3)

    def appears(usual: Answer, targets: Sequence[DeleteTarget]) -> list[Failure]:
        if row == "job":
            world.job("j", "processing", HOUR)
        else:
            world.job("other", "processing", HOUR, output_360p_path=keys[0])
        return usual(targets[1:]) + busy(keys[:1])

    answering(world, appears)
    done = world.run(TEMP)
    assert (done.done.count, done.skipped.count, world.keys()) == (2, 1, keys[:1])


@pytest.mark.parametrize("written", [False, True])
def test_versions_that_one_try_left_are_deleted_by_the_next(written: bool) -> None:
    """What is left of the object is an older version, with another etag; a newer one is another object."""
    world = World()
    world.objects = MemoryObjects(world.now, versioned=True)
    world.stores = replace(world.stores, objects=world.objects)
    world.stores.control.write("identity", world.stores.identity())
    for number in range(3):
        world.put("temp/j/a.ts", 2 * DAY, f"version {number}".encode())
    if written:
        world.put("temp/j/b.ts", 2 * DAY)

    def one_left(usual: Answer, targets: Sequence[DeleteTarget]) -> list[Failure]:
        newest = [replace(target, versions=target.versions[:-1] or target.versions) for target in targets]
        failures = usual(newest) + busy([target.key for target in targets])
        if written:
            world.put("temp/j/b.ts", timedelta(0))
        return failures

    answering(world, one_left)
    done = world.run(TEMP)
    assert (done.done.count, done.skipped.count) == (1, 1 if written else 0)
    assert world.keys() == (["temp/j/b.ts"] if written else [])


def test_a_version_null_that_was_overwritten_stays() -> None:
    """Where versioning is suspended, a new write has the id of the one before."""
    key = ObjectKey("temp/j/a.ts")
    sent, written = (ObjectInfo(key, 1, NOW, etag, versions=("null",)) for etag in ("old", "new"))
    removal: Removal[Any] = Removal(MemoryObjects(lambda: NOW), lambda left, now: {}, _sent={key: sent})
    assert removal._as_sent(written) is written


# --- locked objects -----------------------------------------------------------------------------------


def locked(key: str, lock: ObjectLock) -> Callable[[Answer, Sequence[DeleteTarget]], list[Failure]]:
    def answer(usual: Answer, targets: Sequence[DeleteTarget]) -> list[Failure]:
        failures = usual([target for target in targets if target.key != key])
        return [*failures, Failure(key, "AccessDenied", "Access Denied", lock=lock)]

    return answer


def test_a_locked_object_is_kept_with_its_date(world: World) -> None:
    keys = fill(world, 3)
    answering(world, locked(keys[1], ObjectLock("object lock (COMPLIANCE)", NOW + 30 * DAY)))
    done = world.run(TEMP)
    assert (done.state, done.done.count, world.keys()) == ("verified", 2, [keys[1]])
    reason = "kept by object lock (COMPLIANCE) until 2026-04-07"
    assert world.stores.runs.details(done.id) == [("skipped", reason, 1)]


@pytest.mark.parametrize(("until", "wait"), [(NOW + 9 * HOUR, 9 * HOUR), (NOW + 90 * DAY, DAY), (None, DAY)])
def test_reap_asks_for_a_locked_object_again_when_it_may_be_free(
    until: object, wait: timedelta, world: World
) -> None:
    world.put("uploads/gone/in.mp4", 20 * DAY)
    world.run("cleanup_orphan_uploads")
    world.time += 2 * DAY
    answering(world, locked("uploads/gone/in.mp4", ObjectLock("a legal hold", until and until + 2 * DAY)))  # type: ignore
    assert world.run("reap").skipped.count == 1
    [tombstone] = world.tombstones("condemned")
    assert tombstone.delete_after == world.time + wait
    assert world.run("reap").considered.count == 0
    world.time += wait
    assert world.run("reap").done.count == 1
    assert world.keys() == []
