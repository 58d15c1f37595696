"""The rules for jobs, uploads and tombstones: every branch, near misses, and ages exactly at the cut-off."""

from __future__ import annotations

from datetime import timedelta

import pytest

from storage.cleanup.failed_jobs import FailedJobs, StuckJobs
from storage.cleanup.reap import Reap
from storage.cleanup.uploads import OrphanUploads, StaleUploads
from storage.core.model import JobId, ObjectKey, Tombstone
from storage.engine.actions import (
    AbortUpload,
    Action,
    CondemnJob,
    CondemnObject,
    FailJob,
    Keep,
    ReapFile,
    ReapJob,
    ReapObject,
)
from storage.engine.policy import Policy, span
from tests.support.in_memory import DAY, HOUR, MINUTE, NOW, SECOND, World

WEEK = FailedJobs(older_than=7 * DAY)
STUCK = StuckJobs(older_than=DAY)
STALE = StaleUploads(older_than=2 * DAY)
ORPHANS = OrphanUploads(older_than=14 * DAY)


def decide(policy: Policy, world: World) -> list[Action | Keep]:
    return list(policy.plan(policy.select(world.stores, NOW), NOW))


def verdicts(policy: Policy, world: World) -> dict[str, str]:
    return {one.key: getattr(one, "verb", "keep") for one in decide(policy, world)}


@pytest.mark.parametrize(
    ("length", "text"),
    [
        (timedelta(), "0 min"),
        (-DAY, "0 min"),
        (119 * MINUTE, "119 min"),
        (2 * HOUR, "2 h"),
        (72 * HOUR - SECOND, "71 h"),
        (3 * DAY, "3 days"),
    ],
)
def test_span(length: timedelta, text: str) -> None:
    assert span(length) == text


def test_failed_job_is_condemned_with_exactly_its_own_objects(world: World) -> None:
    world.job("1", "failed", 6 * DAY)
    own = ["failed/1/log", "processed/1/a.mp4", "temp/1/x/y.ts", "uploads/1/in.mp4"]
    for key in [*own, "processed/10/a.mp4", "processed/1.mp4", "temp/1", "models/1/a", "tempo/1/a"]:
        world.put(key, 6 * DAY)
    *objects, job = decide(WEEK, world)
    assert isinstance(job, CondemnJob)
    assert (job.key, job.updated_at, job.delete_after) == ("1", NOW - 6 * DAY, NOW + DAY)
    assert sorted(one.key for one in objects) == own
    for one in objects:
        assert isinstance(one, CondemnObject)
        assert (one.owner, one.owner_updated_at, one.goes_with_job) == ("1", NOW - 6 * DAY, True)
        assert (one.delete_after, one.size) == (NOW + DAY, 4)


@pytest.mark.parametrize(
    ("age", "due"),
    [(5 * DAY, NOW + 2 * DAY), (5 * DAY + HOUR, NOW + 2 * DAY - HOUR), (30 * DAY, NOW + DAY)],
)
def test_failed_job_goes_a_week_after_the_failure_and_after_a_days_notice(
    age: timedelta, due: object, world: World
) -> None:
    world.job("1", "failed", age)
    [job] = decide(WEEK, world)
    assert isinstance(job, CondemnJob)
    assert job.delete_after == due


@pytest.mark.parametrize(
    ("status", "age"),
    [
        ("failed", 5 * DAY - SECOND),
        ("completed", 30 * DAY),
        ("cleaned_up", 30 * DAY),
        ("queued", 30 * DAY),
        ("processing", 30 * DAY),
    ],
)
def test_other_jobs_are_not_considered(status: str, age: timedelta, world: World) -> None:
    world.job("1", status, age)
    world.put("processed/1/a.mp4", age)
    assert decide(WEEK, world) == []


def test_condemned_job_is_kept_and_its_objects_not_listed(world: World) -> None:
    world.job("1", "failed", 6 * DAY)
    world.put("temp/1/a", 6 * DAY)
    world.run("cleanup_failed_jobs")
    world.count_from_here()
    assert decide(WEEK, world) == [Keep("1", 0, "already condemned")]
    assert world.objects.requests["list"] == 0


def test_failed_job_of_one_day_has_a_days_notice(world: World) -> None:
    world.job("1", "failed", SECOND)
    [job] = decide(FailedJobs(older_than=DAY), world)
    assert isinstance(job, CondemnJob)
    assert job.delete_after == NOW + DAY


@pytest.mark.parametrize("status", ["queued", "processing", "transcoding", "uploading"])
def test_stuck_job_fails_at_the_cut(status: str, world: World) -> None:
    world.job("at", status, DAY)
    world.job("after", status, DAY - SECOND)
    [action] = decide(STUCK, world)
    assert action == FailJob(
        key="at", status=status, updated_at=NOW - DAY, reason=f"{status} without an update for 24 h"
    )


@pytest.mark.parametrize("status", ["completed", "failed", "cleaned_up"])
def test_ended_job_is_never_stuck(status: str, world: World) -> None:
    world.job("1", status, 100 * DAY)
    assert decide(STUCK, world) == []


def upload(world: World, age: timedelta, *parts: timedelta, key: str = "uploads/1/rec.mp4") -> str:
    upload_id = world.objects.start_upload(key, NOW - age)
    for number, part in enumerate(parts, 1):
        world.objects.put_part(upload_id, number, 10, NOW - part)
    return upload_id


def test_stale_upload_is_aborted_at_the_cut(world: World) -> None:
    upload_id = upload(world, 2 * DAY, 40 * HOUR, DAY)
    [action] = decide(STALE, world)
    assert isinstance(action, AbortUpload)
    assert (action.upload_id, action.size, action.quiet_since) == (upload_id, 20, NOW - DAY)


def test_upload_without_parts_is_aborted(world: World) -> None:
    upload(world, 3 * DAY)
    assert verdicts(STALE, world) == {"uploads/1/rec.mp4": "abort"}


@pytest.mark.parametrize(
    ("age", "parts", "why"),
    [
        (2 * DAY - SECOND, (2 * DAY - SECOND,), "upload begun 47 h ago"),
        (30 * DAY, (20 * DAY, DAY - SECOND), "a part arrived 23 h ago"),
        (30 * DAY, (HOUR, 20 * DAY), "a part arrived 60 min ago"),
    ],
)
def test_living_upload_is_kept(age: timedelta, parts: tuple[timedelta, ...], why: str, world: World) -> None:
    upload(world, age, *parts)
    [kept] = decide(STALE, world)
    assert isinstance(kept, Keep)
    assert kept.reason == why


def test_heartbeat_keeps_an_upload_the_store_calls_quiet(world: World) -> None:
    upload_id = upload(world, 3 * DAY)
    world.stores.uploads.record(ObjectKey("uploads/1/rec.mp4"), upload_id)
    assert verdicts(STALE, world) == {"uploads/1/rec.mp4": "keep"}


def test_journalled_upload_is_asked_for_once_and_may_be_gone(world: World) -> None:
    world.time = NOW - 3 * DAY
    world.stores.uploads.record(ObjectKey("uploads/1/gone.mp4"), "gone")
    known = world.objects.start_upload("uploads/1/rec.mp4")
    world.stores.uploads.record(ObjectKey("uploads/1/rec.mp4"), known)
    world.time = NOW
    assert verdicts(STALE, world) == {"uploads/1/gone.mp4": "keep", "uploads/1/rec.mp4": "abort"}
    assert world.objects.requests["list-parts"] == 2


def test_part_group_goes_whole_or_stays_whole(world: World) -> None:
    for key, age in (
        ("uploads/1/a.mp4.part1", 2 * DAY),
        ("uploads/1/a.mp4.part2", 9 * DAY),
        ("uploads/1/b.mp4.part1", 2 * DAY - SECOND),
        ("uploads/1/b.mp4.part2", 9 * DAY),
        ("uploads/1/rec.mp4.partner-cut.mp4", 9 * DAY),
        ("uploads/1/rec.mp4.part", 9 * DAY),
        ("uploads/1/rec.mp4.part1.bak", 9 * DAY),
        ("uploads/1/rec.mp4", 9 * DAY),
        ("temp/1/a.mp4.part1", 9 * DAY),
    ):
        world.put(key, age)
    assert verdicts(STALE, world) == {
        "uploads/1/a.mp4.part1": "condemn",
        "uploads/1/a.mp4.part2": "condemn",
        "uploads/1/b.mp4.part1": "keep",
        "uploads/1/b.mp4.part2": "keep",
    }


def test_part_group_with_ten_parts_is_one_group(world: World) -> None:
    """In byte order part10 comes before part2, and another file's parts may lie between."""
    for number in range(1, 13):
        world.put(f"uploads/1/a.part{number}", 9 * DAY if number != 5 else HOUR)
    world.put("uploads/1/a.part1.part1", 9 * DAY)
    found = verdicts(STALE, world)
    assert found.pop("uploads/1/a.part1.part1") == "condemn"
    assert set(found.values()) == {"keep"}


@pytest.mark.parametrize(
    ("status", "verdict"), [("uploading", "keep"), ("completed", "condemn"), ("failed", "condemn")]
)
def test_parts_of_a_job(status: str, verdict: str, world: World) -> None:
    world.job("1", status, 9 * DAY)
    world.put("uploads/1/a.mp4.part1", 9 * DAY)
    assert verdicts(STALE, world) == {"uploads/1/a.mp4.part1": verdict}


def test_orphans_are_condemned_in_time_and_with_notice(world: World) -> None:
    world.put("uploads/at/in.mp4", 12 * DAY)
    world.put("uploads/young/in.mp4", 12 * DAY - SECOND)
    world.put("uploads/old/in.mp4", 50 * DAY)
    world.put("uploads/loose.mp4", 13 * DAY)
    world.put("uploads/known/in.mp4", 50 * DAY)
    world.put("uploads/at/in.mp4.part3", 50 * DAY)
    world.job("known", "failed", 50 * DAY)
    found = {one.key: one for one in decide(ORPHANS, world)}
    due = {key: one.delete_after for key, one in found.items() if isinstance(one, CondemnObject)}
    assert due == {
        "uploads/at/in.mp4": NOW + 2 * DAY,
        "uploads/old/in.mp4": NOW + DAY,
    }
    assert found["uploads/known/in.mp4"].reason == "belongs to job known, which is failed"
    assert found["uploads/at/in.mp4.part3"].reason.startswith("part of an upload")
    assert "may still be created" in found["uploads/young/in.mp4"].reason


TOMBSTONE = Tombstone(
    id=3,
    run_id="run-1",
    job="sweep",
    kind="object",
    place="bucket",
    key="temp/a b",
    size=5,
    seen="ab-2 2026-03-01T11:00:00+00:00",
    reason="old",
    delete_after=NOW,
    owner=JobId("j"),
    owner_updated_at=NOW - DAY,
    goes_with_job=True,
)


def test_reap_makes_the_act_of_each_kind() -> None:
    of_file = Tombstone(
        3, "run-1", "s", "file", "/t", "a", 5, "12345 678", "old", NOW, held_at=".condemned/x"
    )
    of_job = Tombstone(4, "run-1", "s", "job", "jobs", "j", 0, "", "old", NOW, JobId("j"), NOW - DAY)
    job, thing, file = Reap().plan([of_job, TOMBSTONE, of_file], NOW)
    assert isinstance(job, ReapJob) and (job.tombstone, job.key, job.updated_at) == (4, "j", NOW - DAY)
    assert isinstance(thing, ReapObject)
    assert (thing.etag, thing.last_modified.isoformat()) == ("ab-2", "2026-03-01T11:00:00+00:00")
    assert (thing.owner, thing.owner_updated_at, thing.goes_with_job) == ("j", NOW - DAY, True)
    assert isinstance(file, ReapFile)
    assert (file.mtime_ns, file.inode, file.held_at) == (12345, 678, ".condemned/x")
    assert thing.reason == "condemned by run-1: old"
