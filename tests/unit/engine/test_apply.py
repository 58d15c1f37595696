"""Applying a plan: the recheck, per-key failures, crashes, a store that lies, and request counts."""

from __future__ import annotations

import pytest

from storage.cold.actions.compress import CompressObject
from storage.core.errors import (
    ActionsFailed,
    JobBusy,
    LockLost,
    Paused,
    TooManyFailures,
    TransientFault,
    VerificationFailed,
)
from storage.core.model import Outcome, Totals
from storage.engine.actions.recheck import just_before, look_again
from storage.engine.apply import Breaker, cut
from tests.support.in_memory import DAY, HOUR, NOW, World
from tests.support.runs import apply

TEMP = "cleanup_temp_objects"


def fill(world: World, count: int) -> list[str]:
    keys = [f"temp/{number:05}.ts" for number in range(count)]
    for key in keys:
        world.put(key, 2 * DAY)
    return keys


def test_object_overwritten_after_the_plan_survives(world: World) -> None:
    fill(world, 3)
    planned = world.plan(TEMP)
    world.put("temp/00001.ts", 2 * DAY, b"rewritten")
    world.put("temp/00002.ts", HOUR)
    done = apply(planned.id, world.stores)
    assert world.keys() == ["temp/00001.ts", "temp/00002.ts"]
    assert (done.done.count, done.skipped.count) == (1, 2)
    assert world.stores.runs.details(done.id) == [("skipped", "written anew since it was seen", 2)]


def test_object_that_went_meanwhile_is_skipped(world: World) -> None:
    fill(world, 2)
    planned = world.plan(TEMP)
    other = world.run(TEMP)
    assert other.done.count == 2
    done = apply(planned.id, world.stores)
    assert (done.state, done.skipped) == ("verified", Totals(2, 8))
    assert world.stores.runs.details(done.id) == [("skipped", "already gone", 2)]


@pytest.mark.parametrize("status", ["queued", "processing", "completed"])
def test_objects_remain_when_their_job_moved_on(status: str, world: World) -> None:
    world.job("j", "failed", 5 * DAY)
    world.put("temp/j/a.ts", 2 * DAY)
    world.put("temp/k/a.ts", 2 * DAY)
    planned = world.plan(TEMP)
    world.job("j", status, HOUR)
    world.job("k", status, HOUR)
    assert apply(planned.id, world.stores).skipped.count == 2
    assert world.keys() == ["temp/j/a.ts", "temp/k/a.ts"]


def test_failed_keys_fail_the_run_and_the_rest_is_done(world: World) -> None:
    keys = fill(world, 20)
    world.objects.failing[keys[3]] = "AccessDenied"
    planned = world.plan(TEMP)
    with pytest.raises(ActionsFailed, match="1 of 20 actions failed; the first: AccessDenied: injected"):
        apply(planned.id, world.stores)
    failed = world.stores.runs.get(planned.id)
    assert failed and (failed.state, failed.done.count, failed.failed.count) == ("failed", 19, 1)
    assert "AccessDenied" in failed.message
    assert world.keys() == [keys[3]]


def test_ten_failures_in_a_row_stop_the_run(world: World) -> None:
    keys = fill(world, 6_000)
    world.objects.failing.update(dict.fromkeys(keys[100:110], "SlowDown"))
    planned = world.plan(TEMP)
    with pytest.raises(TooManyFailures):
        apply(planned.id, world.stores)
    assert len(world.keys()) >= 2_000, "no fifth batch was begun"


def test_rows_that_the_database_refuses_do_not_stop_the_run() -> None:
    """They say nothing about other rows; ten other failures in a row still stop the run."""
    breaker = Breaker()
    breaker.count([Outcome("failed", "frozen", of_row=True)] * 2_000)
    breaker.count([Outcome("failed", "SlowDown")] * 9)
    with pytest.raises(TooManyFailures, match="10 failures"):
        breaker.count([Outcome("failed", "frozen", of_row=True), Outcome("failed", "SlowDown")])


def test_one_in_a_hundred_stops_the_run(world: World) -> None:
    keys = fill(world, 6_000)
    world.objects.failing.update(dict.fromkeys(keys[0:1000:90], "SlowDown"))
    planned = world.plan(TEMP)
    with pytest.raises(TooManyFailures, match="12 failures"):
        apply(planned.id, world.stores)
    assert len(world.keys()) >= 2_000


def test_a_store_that_lies_is_found_out(world: World) -> None:
    fill(world, 3)
    planned = world.plan(TEMP)
    world.objects.lying = True
    with pytest.raises(VerificationFailed, match="3 of 3"):
        apply(planned.id, world.stores)
    run = world.stores.runs.get(planned.id)
    assert run and run.state == "failed"


def test_crash_between_batches_does_not_repeat_the_finished_ones(world: World) -> None:
    fill(world, 6_000)
    planned = world.plan(TEMP)
    world.count_from_here()

    def crash(name: str) -> None:
        if name == "delete" and world.objects.requests["delete"] >= 4:
            raise TransientFault("the object store", "reset")

    world.objects.traffic.before = crash
    with pytest.raises(TransientFault):
        apply(planned.id, world.stores)
    finished = set(world.stores.runs.finished(planned.id))
    assert finished == {0, 1, 2, 3}
    assert len(world.keys()) == 2_000
    world.objects.traffic.before = lambda name: None
    world.count_from_here()
    done = apply(planned.id, world.stores)
    assert (done.state, done.done) == ("verified", Totals(6_000, 24_000))
    assert world.objects.requests["delete"] == 2
    assert world.database.requests["runs.finish_batch"] == 2


def test_crash_before_the_record_repeats_the_batch_harmlessly(world: World) -> None:
    fill(world, 5)
    planned = world.plan(TEMP)

    def crash(name: str) -> None:
        if name == "runs.finish_batch":
            raise TransientFault("the database", "gone")

    world.database.traffic.before = crash
    with pytest.raises(TransientFault):
        apply(planned.id, world.stores)
    world.database.traffic.before = lambda name: None
    world.put("temp/00003.ts", HOUR, b"new")
    done = apply(planned.id, world.stores)
    assert (done.state, done.skipped.count, world.keys()) == ("verified", 5, ["temp/00003.ts"])


def test_pause_stops_before_the_next_batch(world: World) -> None:
    fill(world, 6_000)
    planned = world.plan(TEMP)

    def pause(name: str) -> None:
        if name == "delete":
            world.stores.control.write("paused", "stop")

    world.objects.traffic.before = pause
    with pytest.raises(Paused):
        apply(planned.id, world.stores)
    assert 2_000 <= len(world.keys()) < 6_000  # at most four batches were in progress
    world.objects.traffic.before = lambda name: None
    world.stores.control.write("paused", None)
    assert apply(planned.id, world.stores).done.count == 6_000


def test_twin_is_kept_out_by_the_lock(world: World) -> None:
    fill(world, 2)
    planned = world.plan(TEMP)
    with world.stores.runs.lock(TEMP), pytest.raises(JobBusy):
        apply(planned.id, world.stores)
    assert len(world.keys()) == 2


def test_lost_lock_stops_before_the_next_batch(world: World) -> None:
    fill(world, 6_000)
    planned = world.plan(TEMP)

    def lose(name: str) -> None:
        if name == "delete":
            world.database.locks.clear()

    world.objects.traffic.before = lose
    with pytest.raises(LockLost):
        apply(planned.id, world.stores)
    assert 2_000 <= len(world.keys()) < 6_000


def test_dense_recheck_is_one_listing_and_one_delete(world: World) -> None:
    fill(world, 1000)
    planned = world.plan(TEMP)
    world.count_from_here()
    seen = {}
    world.objects.traffic.before = lambda name: seen.setdefault(name, dict(world.objects.requests))  # type: ignore[func-returns-value]
    done = apply(planned.id, world.stores)
    assert done.done.count == 1000
    assert (world.objects.requests["list"], world.objects.requests["delete"]) == (1, 1)
    assert "head" not in seen["delete"], "heads come only afterwards, for the verified sample"
    assert world.objects.requests["head"] == 100


def test_sparse_recheck_asks_for_each(world: World) -> None:
    for number in range(3_000):
        world.put(f"temp/{number:05}.ts", HOUR)
    keys = [f"temp/{number:05}.ts" for number in range(5, 3_000, 300)]
    world.count_from_here()
    found = look_again(world.objects, iter([*keys, "temp/gone"]))
    assert {key for key, info in found.items() if info} == set(keys)
    assert found["temp/gone"] is None
    assert world.objects.requests["list"] == 1
    assert world.objects.requests["head"] == 7, "four of the ten lay on that page"


def test_absence_from_a_listing_proves_nothing(world: World) -> None:
    keys = fill(world, 30)
    world.objects.hidden.update(keys[10:13])
    found = look_again(world.objects, keys)
    assert all(found[key] for key in keys)
    assert world.objects.requests["head"] == 3


def test_recheck_looks_in_every_folder(world: World) -> None:
    keys = ["processed/j/a", "temp/j/a", "uploads/j/a", "loose"]
    for key in keys:
        world.put(key, DAY)
    found = look_again(world.objects, [*keys, "temp/none"])
    assert {key: info and info.key for key, info in found.items()} == {
        **{key: key for key in keys},
        "temp/none": None,
    }


@pytest.mark.parametrize(
    "key", ["temp/b", "temp/!", "temp/ ", "temp/\ue000", "temp/é", "temp/\U00010000", "t"]
)
def test_just_before(key: str) -> None:
    before = just_before(key)
    assert before.encode() < key.encode()


def test_as_of_is_kept_in_the_run(world: World) -> None:
    assert world.run(TEMP).as_of == NOW


def test_large_objects_are_batches_of_their_own() -> None:
    """Several can then be compressed in parallel; a repetition relies on the numbering of the batches."""
    mib = 1 << 20
    sizes = [1] * 20 + [9 * mib, 9 * mib, 40 * mib, mib, mib]
    batches = list(cut(compressing(f"{n:02}", size) for n, size in enumerate(sizes)))
    assert [[one.size for one in batch.actions] for batch in batches] == [
        [1] * 16, [1] * 4 + [9 * mib], [9 * mib], [40 * mib], [mib, mib],
    ]  # fmt: skip
    assert [(batch.number, batch.first) for batch in batches] == [(0, 0), (1, 16), (2, 21), (3, 22), (4, 23)]


def compressing(key: str, size: int) -> CompressObject:
    return CompressObject(
        key=key, size=size, etag="e", last_modified=NOW, codec="zstd", level=None,
        object_class="transcripts", reason="it is cold",
    )  # fmt: skip
