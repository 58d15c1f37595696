"""Guards of a plan: the pause switch, the environment, the limits, the protected prefixes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from storage import catalog
from storage.backup.model import Backup, BackupId
from storage.core.errors import Paused, Refused
from storage.core.model import ObjectInfo, Prefix, Totals
from storage.core.ports import Stores
from storage.core.records import pause_of, pause_reason
from storage.engine import apply as engine
from storage.engine import guard
from storage.engine.actions import Action, DeleteObject, Keep
from storage.engine.sweep import plan
from tests.support.in_memory import DAY, HOUR, MINUTE, NOW, SECOND, World
from tests.support.runs import apply

TEMP = "cleanup_temp_objects"


def fill(world: World, count: int, folder: str = "temp") -> None:
    for number in range(count):
        world.put(f"{folder}/{number:05}.ts", 2 * DAY)


@pytest.mark.parametrize("when", ["plan", "apply"])
def test_paused(when: str, world: World) -> None:
    fill(world, 2)
    planned = world.plan(TEMP)
    world.stores.control.write("paused", "disk swap")
    with pytest.raises(Paused, match="disk swap"):
        world.plan(TEMP) if when == "plan" else apply(planned.id, world.stores)
    assert len(world.keys()) == 2
    world.stores.control.write("paused", None)
    assert apply(planned.id, world.stores).done.count == 2


@pytest.mark.parametrize(("hours", "unsafe"), [(23, False), (24, False), (25, True), (24 * 30, True)])
def test_a_pause_of_more_than_a_day_is_not_safe(hours: int, unsafe: bool, world: World) -> None:
    assert guard.pause_too_long(world.stores) == ""
    world.stores.control.write("paused", pause_reason("ann", "disk swap"))
    world.database.control_changed["paused"] = world.stores.clock() - hours * HOUR
    assert bool(guard.pause_too_long(world.stores)) is unsafe


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("by ann: disk swap", "since 2026-03-01 14:54 UTC by ann: disk swap"),
        ("by ann", "since 2026-03-01 14:54 UTC by ann"),
        ("restored from backup b", "since 2026-03-01 14:54 UTC: restored from backup b"),
        (" ", "since 2026-03-01 14:54 UTC: no reason was given"),
    ],
)
def test_a_pause_says_since_when_and_why(value: str, text: str) -> None:
    assert str(pause_of(value, datetime(2026, 3, 1, 14, 54, 59, tzinfo=UTC))) == text


def _other_bucket(world: World) -> None:
    world.objects.adopt("another")


def _never_set_up(world: World) -> None:
    world.stores.control.write("identity", None)


def _store_ahead(world: World) -> None:
    world.objects.skew = MINUTE + SECOND


def _store_behind(world: World) -> None:
    world.objects.skew = -(MINUTE + SECOND)


def _restored(world: World) -> None:
    world.stores.control.write("restore_epoch", "2026-03-01")


WRONG = {
    _other_bucket: "not the bucket and database of before",
    _never_set_up: "never set up",
    _store_ahead: "the object store is 61 s ahead",
    _store_behind: "ahead of the object store",
    _restored: "restore-epoch",
}


@pytest.mark.parametrize("change", WRONG, ids=lambda change: change.__name__)
@pytest.mark.parametrize("when", ["plan", "apply"])
def test_wrong_world_is_refused(change: Callable[[World], None], when: str, world: World) -> None:
    fill(world, 2)
    planned = world.plan(TEMP)
    change(world)
    with pytest.raises(Refused, match=WRONG[change]):
        world.plan(TEMP) if when == "plan" else apply(planned.id, world.stores, approve=planned.plan_sha256)
    assert len(world.keys()) == 2


def test_clocks_a_minute_apart_are_well(world: World) -> None:
    world.objects.skew = MINUTE
    assert world.plan(TEMP).state == "planned"


def test_future_as_of_is_refused_and_the_refusal_is_recorded(world: World) -> None:
    with pytest.raises(Refused, match="future"):
        plan(catalog.get(TEMP), world.stores, NOW + MINUTE + SECOND, run_id="r")
    found = world.stores.runs.get("r")
    assert found and (found.state, "future" in found.message) == ("refused", True)
    with pytest.raises(Refused):
        apply("r", world.stores)
    assert plan(catalog.get(TEMP), world.stores, NOW + MINUTE, run_id="r").state == "planned"


def test_backfill_does_less_than_today(world: World) -> None:
    world.put("temp/a", 2 * DAY)
    assert plan(catalog.get(TEMP), world.stores, NOW - 2 * DAY).planned == Totals()


def test_shrunk_listing_is_refused(world: World) -> None:
    fill(world, 101, "uploads/j")
    world.job("j", "completed", DAY)
    world.run("cleanup_orphan_uploads")
    world.time += DAY
    world.objects.hidden.update(f"uploads/j/{number:05}.ts" for number in range(50))
    assert world.plan("cleanup_orphan_uploads").state == "planned"
    world.objects.hidden.add("uploads/j/00050.ts")
    with pytest.raises(Refused, match="50 considered, but the last run left 101"):
        world.plan("cleanup_orphan_uploads")


def test_backlog_is_not_failed(world: World) -> None:
    for number in range(20):
        world.job(f"job-{number}", "queued", 2 * DAY if number < 11 else HOUR)
    with pytest.raises(Refused, match="11 of 20 queued jobs look stuck"):
        world.plan("cleanup_stuck_jobs")
    world.job("job-0", "queued", HOUR)
    assert world.plan("cleanup_stuck_jobs").planned.count == 10


def test_files_are_given_up_only_with_a_fresh_proven_backup(world: World) -> None:
    world.job("j", "failed", 9 * DAY)
    assert world.plan("cleanup_failed_jobs").state == "planned"  # guard off: backups are made elsewhere
    world.stores.control.write("fresh_backup_guard", None)
    with pytest.raises(Refused, match="missing.*storage backup run"):
        world.plan("cleanup_failed_jobs")
    backup = Backup(
        id=BackupId("20260307T000000Z-00000000"),
        kind="database",
        state="complete",
        taken_at=NOW - 26 * HOUR,
        proven_at=NOW - 25 * HOUR,
    )
    world.stores.catalogue.save(backup)
    with pytest.raises(Refused, match="missing"):  # not proven
        world.plan("cleanup_failed_jobs")
    world.stores.catalogue.save(replace(backup, state="proven", kind="metadata"))
    with pytest.raises(Refused, match="missing"):  # of the metadata, not of the database
        world.plan("cleanup_failed_jobs")
    world.stores.catalogue.save(replace(backup, state="proven", taken_at=NOW - 26 * HOUR - SECOND))
    with pytest.raises(Refused, match="26 h"):
        world.plan("cleanup_failed_jobs")
    world.stores.catalogue.save(replace(backup, state="proven", taken_at=NOW + 2 * MINUTE))
    with pytest.raises(Refused, match="26 h"):  # in the future: a wrong clock, or a forged row
        world.plan("cleanup_failed_jobs")
    world.stores.catalogue.save(replace(backup, state="proven", proven_at=None))
    with pytest.raises(Refused, match="missing"):  # a certificate found in the bucket: not proven here
        world.plan("cleanup_failed_jobs")
    world.stores.catalogue.save(replace(backup, state="proven"))
    assert world.plan("cleanup_failed_jobs").state == "planned"


class Rogue:
    """Faulty policy that deletes every object under ``prefix``."""

    def __init__(self, prefix: str) -> None:
        self.prefix = Prefix(prefix)

    def select(self, stores: Stores, as_of: datetime) -> Iterable[ObjectInfo]:
        return stores.objects.scan(self.prefix)

    def plan(self, items: Iterable[ObjectInfo], as_of: datetime) -> Iterator[Action | Keep]:
        for info in items:
            yield DeleteObject(
                key=info.key, size=info.size, etag=info.etag, last_modified=info.last_modified, reason="rogue"
            )


@pytest.mark.parametrize("prefix", ["backups/", "models/", "audit/", "plans/"])
def test_protected_prefix_is_refused(prefix: str, world: World) -> None:
    world.put(f"{prefix}x", 9 * DAY)
    rogue = replace(catalog.get("reap"), name="rogue", policy=lambda: Rogue(prefix), verbs=(DeleteObject,))
    with pytest.raises(Refused, match=f"{prefix}x is protected"):
        plan(rogue, world.stores, NOW, run_id="r")
    with pytest.raises(Refused):
        engine.apply(rogue, "r", world.stores, approve="", by="ann")
    assert world.keys() == [f"{prefix}x"]


@pytest.mark.parametrize("prefix", ["backups2/", "model/", "x/plans/"])
def test_near_misses_of_a_protected_prefix_are_not(prefix: str, world: World) -> None:
    world.put(f"{prefix}x", 9 * DAY)
    rogue = replace(catalog.get("reap"), name="rogue", policy=lambda: Rogue(prefix), verbs=(DeleteObject,))
    assert plan(rogue, world.stores, NOW).state == "planned"


def test_fraction_is_of_all_jobs(world: World) -> None:
    for number in range(51):
        world.job(f"job-{number}", "failed" if number < 11 else "completed", 6 * DAY)
    assert "11 of 51 (22%) planned, 20% allowed" in world.plan("cleanup_failed_jobs").message
    world.job("job-10", "completed", 6 * DAY)
    assert world.plan("cleanup_failed_jobs").state == "planned"


def test_history_is_a_limit(world: World) -> None:
    for _ in range(3):
        world.put("temp/a", 2 * DAY)
        assert world.run(TEMP).state == "verified"
        world.time += MINUTE
    fill(world, 200)
    assert world.plan(TEMP).state == "planned"
    world.put("temp/one-more", 2 * DAY)
    assert "more than 10 times the usual 1" in world.plan(TEMP).message


@pytest.mark.parametrize("skew", [-2 * MINUTE, 2 * MINUTE])
def test_file_system_of_another_time_is_refused(skew: timedelta, world: World) -> None:
    world.files.add("old.ts", changed=NOW - 9 * DAY)
    world.files._now = lambda: NOW + skew
    with pytest.raises(Refused, match="temp folder's clock"):
        world.plan("cleanup_temp_files")
    assert world.tombstones() == []
