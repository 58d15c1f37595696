"""Reconciliation after a restore, on fakes: jobs awaiting a verdict, verdicts, condemned objects."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest

from storage import catalog
from storage.backup.context import BackupContext
from storage.backup.restore import reconcile
from storage.backup.restore.reconcile import Unreconciled, close, decide, pending
from storage.core.errors import ConfigError, JobBusy, Refused, UsageError
from storage.core.model import JobId, ObjectInfo, ObjectKey, Prefix
from storage.core.settings import Settings
from storage.engine.actions import CondemnObject, Keep
from storage.testing import MemoryStores
from tests.support.in_memory import DAY, HOUR, MINUTE, NOW, SECOND, World
from tests.support.runs import apply

TAKEN, RESTORED = NOW - DAY, NOW - HOUR
JOB = "condemn_unreconciled"


@pytest.fixture
def world(world: World) -> World:
    """Return an environment restored an hour ago from a backup of a day ago; no kept database."""
    world.stores.control.write("restore_epoch", epoch(RESTORED))
    world.stores.control.write("paused", "restored from backup")
    return world


def epoch(restored_at: datetime) -> str:
    answer = {"backup": "20260307T020000Z-0a1b2c3d", "taken_at": TAKEN.isoformat(), "kept": ""}
    return json.dumps(answer | {"restored_at": restored_at.isoformat()})


def context(stores: MemoryStores) -> BackupContext:
    settings = Settings(
        endpoint_url="http://127.0.0.1:9",
        access_key="a",
        secret_key="b",
        database_url="postgresql://nowhere/x",
    )
    return BackupContext(stores=stores, settings=settings)


def found(world: World) -> dict[str, Unreconciled]:
    listed = list(pending(context(world.stores)))
    assert len({one.owner for one in listed}) == len(listed)
    return {one.owner: one for one in listed}


def judge(world: World, **verdicts: Any) -> None:
    for owner, verdict in verdicts.items():
        decide(context(world.stores), [owner], verdict, "eva")


def closed(world: World, **verdicts: Any) -> World:
    judge(world, **verdicts)
    close(context(world.stores), "eva")
    return world


def decisions(world: World, job: str = JOB) -> list[Any]:
    rule = catalog.get(job).rule(catalog.get(job).read({}))
    return list(rule.plan(rule.select(world.stores, world.time), world.time))


def kept(world: World, job: str = JOB) -> dict[str, str]:
    return {one.key: one.reason for one in decisions(world, job) if isinstance(one, Keep)}


def condemned(world: World) -> list[str]:
    return [one.key for one in decisions(world) if isinstance(one, CondemnObject)]


# --- jobs awaiting a verdict ---------------------------------------------------------------------
def test_one_line_a_job_over_all_prefixes(world: World) -> None:
    world.put("processed/job/a.mp4", 2 * HOUR, b"12345")
    world.put("processed/job/b/c.mp4", 3 * HOUR, b"12345")
    world.put("temp/job/x", 4 * HOUR, b"1")
    world.put("uploads/job/in.mp4", 40 * DAY, b"123")
    one = Unreconciled(JobId("job"), 4, 14, NOW - 2 * HOUR, "missing", False, None)
    assert found(world) == {"job": one}


@pytest.mark.parametrize("names", [("job", "job-1", "job.x", "job0"), ("ä", "z", "\U0001f600", "\uffff")])
def test_folders_that_sort_otherwise_than_their_jobs(world: World, names: tuple[str, ...]) -> None:
    """job-1/ is listed before job/: each job is still one line, with its objects in every prefix."""
    for name in names:
        for prefix in ("processed/", "temp/", "failed/"):
            world.put(f"{prefix}{name}/x", 2 * HOUR)
    assert {owner: one.objects for owner, one in found(world).items()} == dict.fromkeys(names, 3)


@pytest.mark.parametrize(
    ("has_row", "age", "listed"),
    [
        (True, DAY - SECOND, True),  # newer than the backup
        (True, DAY, False),
        (False, 50 * DAY, True),  # no row
        (False, HOUR, True),
        (False, HOUR - MINUTE, True),  # the store's clock may be this far ahead
        (False, HOUR - MINUTE - SECOND, False),  # written after the restore: not in the lost period
        (True, MINUTE, False),
    ],
)
def test_who_is_listed(world: World, has_row: bool, age: Any, listed: bool) -> None:
    world.put("uploads/job/in.mp4", age)
    if has_row:
        world.job("job", "completed", 2 * DAY)
    lines = found(world)
    assert list(lines) == (["job"] if listed else [])
    assert not listed or lines["job"].row == ("same" if has_row else "missing")


def test_what_is_in_no_jobs_folder_is_not_judged(world: World) -> None:
    for key in ("uploads/loose.mp4", "temp/x.tmp", "processed//x", "elsewhere/job/x"):
        world.put(key, 2 * HOUR)
    assert found(world) == {}


def test_no_epoch_or_one_that_cannot_be_read() -> None:
    world = World()
    for ask in (lambda: list(pending(context(world.stores))), lambda: close(context(world.stores), "eva")):
        with pytest.raises(UsageError, match="No restore waits"):
            ask()
    for text in ("2026-03-01", "{}", '{"taken_at": 1}', "[]", '{"taken_at": "x"}'):
        world.stores.control.write("restore_epoch", text)
        with pytest.raises(ConfigError, match="restore_epoch cannot be read"):
            list(pending(context(world.stores)))


def test_memory_does_not_grow_with_the_objects(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten times the objects need no more memory: the listing is streamed."""
    peaks = []
    for objects in (2_000, 20_000):
        monkeypatch.setattr(world.objects, "scan", lambda prefix, n=objects: many(prefix, n))
        tracemalloc.start()
        assert sum(one.objects for one in pending(context(world.stores))) == 4 * objects
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + (1 << 20)


def many(prefix: Prefix, count: int) -> Iterator[ObjectInfo]:
    """Yield the objects of ten jobs, generated on demand."""
    for number in range(count):
        key = ObjectKey(f"{prefix}job-{number * 10 // count}/{number:06}.ts")
        yield ObjectInfo(key, 1, NOW - 2 * HOUR, "etag")


# --- verdicts ------------------------------------------------------------------------------------
def test_closing_early_says_how_many_wait(world: World) -> None:
    for name in ("one", "three", "two"):
        world.put(f"uploads/{name}/in.mp4", 2 * HOUR)
    judge(world, one="adopt")
    with pytest.raises(Refused, match=r"2 jobs are not judged yet, such as 'three'\. `storage reconcile`"):
        close(context(world.stores), "eva")
    assert world.stores.control.paused() and world.stores.control.read("restore_epoch")
    judge(world, two="condemn", three="adopt")
    close(context(world.stores), "eva")
    control = world.stores.control
    assert (control.paused(), control.read("restore_epoch")) == (None, None)
    assert control.read("history_from") == NOW.isoformat()
    assert [event for event, _, _ in world.database.audit] == ["reconcile"] * 3 + ["reconciled"]
    with pytest.raises(UsageError, match="No restore waits"):
        judge(world, two="adopt")


def test_the_last_verdict_holds_and_repeating_one_is_no_error(world: World) -> None:
    world.put("uploads/job/in.mp4", 2 * HOUR)
    for verdict in ("adopt", "condemn", "condemn"):
        judge(world, job=verdict)
        assert found(world)["job"].verdict == verdict
    assert decide(context(world.stores), ["a", "b", "a"], "adopt", "eva") == 2


def test_a_verdict_of_an_earlier_restore_is_none_of_this_one(world: World) -> None:
    world.put("uploads/job/in.mp4", 2 * HOUR)
    closed(world, job="adopt")
    world.stores.control.write("restore_epoch", epoch(NOW))
    assert found(world)["job"].verdict is None


def test_not_beside_a_twin(world: World) -> None:
    for act in (lambda: judge(world, job="adopt"), lambda: close(context(world.stores), "eva")):
        with world.stores.runs.lock(reconcile.LOCK), pytest.raises(JobBusy):
            act()
    assert world.database.verdicts == {}


# --- condemned objects ---------------------------------------------------------------------------
def test_nothing_is_condemned_before_the_epoch_is_closed(world: World) -> None:
    world.put("uploads/job/in.mp4", 2 * HOUR)
    judge(world, job="condemn")
    world.stores.control.write("paused", None)
    with pytest.raises(Refused, match="storage reconcile"):
        world.plan(JOB)
    assert decisions(world) == []


def test_everything_of_a_condemned_job_goes_after_two_weeks(world: World) -> None:
    for key in ("uploads/job/in.mp4", "processed/job/a/b.mp4", "temp/job/x", "failed/job/y", "temp/job-2/x"):
        world.put(key, 2 * HOUR)
    closed(world, job="condemn", **{"job-2": "adopt"})
    assert world.run(JOB).done.count == 4
    assert {tombstone.delete_after for tombstone in world.tombstones("condemned")} == {NOW + 14 * DAY}
    assert "was condemned after the restore" in world.tombstones()[0].reason
    world.time += 14 * DAY - SECOND
    assert world.run("reap").done.count == 0
    world.time += SECOND
    world.run("reap")
    assert world.keys() == ["temp/job-2/x"]


def test_two_weeks_pass_also_when_the_plan_waited(world: World) -> None:
    world.put("uploads/job/in.mp4", 2 * HOUR)
    planned = closed(world, job="condemn").plan(JOB)
    world.time += 5 * DAY
    apply(planned.id, world.stores)
    assert [tombstone.delete_after for tombstone in world.tombstones()] == [world.time + 14 * DAY]


def test_who_has_a_row_and_what_came_later_remain(world: World) -> None:
    for key in ("uploads/job/in.mp4", "uploads/back/in.mp4"):
        world.put(key, 2 * HOUR)
    closed(world, job="condemn", back="condemn")
    world.job("back", "queued", SECOND)
    world.put("uploads/job/again.mp4", HOUR - MINUTE - SECOND)
    assert world.run(JOB).done.count == 1
    assert kept(world) == {
        "uploads/job/in.mp4": "already condemned",
        "uploads/job/again.mp4": f"came after the restore of {RESTORED:%Y-%m-%d %H:%M}",
        "uploads/back/in.mp4": "job back has a row (queued)",
    }


@pytest.mark.parametrize("when", ["condemning", "reaping"])
def test_a_job_retried_meanwhile_stays(world: World, when: str) -> None:
    world.put("uploads/job/in.mp4", 2 * HOUR)
    planned = closed(world, job="condemn").plan(JOB)
    if when == "condemning":
        world.job("job", "processing", SECOND)
        assert apply(planned.id, world.stores).skipped.count == 1
        assert world.tombstones() == []
    else:
        apply(planned.id, world.stores)
        world.job("job", "processing", SECOND)
        world.time += 15 * DAY
        assert world.run("reap").skipped.count == 1
    assert world.keys() == ["uploads/job/in.mp4"]


def test_a_listing_is_a_hint(world: World) -> None:
    """An object missing from a listing stays until it is listed; an object written anew since is kept."""
    for key in ("uploads/job/hidden.mp4", "uploads/job/seen.mp4", "uploads/job/anew.mp4"):
        world.put(key, 2 * HOUR)
    closed(world, job="condemn")
    world.objects.hidden.add("uploads/job/hidden.mp4")
    assert world.run(JOB).done.count == 2
    world.put("uploads/job/anew.mp4", SECOND, b"other")
    world.time += 14 * DAY
    world.run("reap")
    assert sorted(world.keys()) == ["uploads/job/anew.mp4", "uploads/job/hidden.mp4"]
    world.objects.hidden.clear()
    assert condemned(world) == ["uploads/job/hidden.mp4"]


@pytest.mark.parametrize("verdict", ["adopt", "condemn", None])
def test_orphans_that_were_adopted_remain(world: World, verdict: Any) -> None:
    world.put("uploads/job/in.mp4", 50 * DAY)
    closed(world, job=verdict or "condemn")
    if verdict is None:
        world.database.verdicts.clear()
    run = world.run("cleanup_orphan_uploads")
    assert run.done.count == (0 if verdict == "adopt" else 1)
    reason = "job job was adopted after a restore" if verdict == "adopt" else "already condemned"
    assert kept(world, "cleanup_orphan_uploads") == {"uploads/job/in.mp4": reason}


def test_the_latest_restore_decides(world: World) -> None:
    world.put("uploads/job/in.mp4", 50 * DAY)
    closed(world, job="adopt")
    record(world, "condemn", RESTORED - DAY)
    assert condemned(world) == []
    record(world, "condemn", RESTORED + SECOND)
    assert condemned(world) == ["uploads/job/in.mp4"]


def record(world: World, verdict: Any, epoch: datetime) -> None:
    world.stores.verdicts.record([JobId("job")], verdict, epoch, "eva")
    world.stores.verdicts.close(epoch, "eva", NOW)
