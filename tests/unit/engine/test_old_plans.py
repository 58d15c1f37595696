"""Old plans, swapped buckets and folders, and guards that refuse however often they are tried."""

from __future__ import annotations

import pytest

from storage import catalog
from storage.core.deletion import DeleteTarget, Failure
from storage.core.errors import Refused, StoreRefused, TempFolderUnsafe
from storage.core.model import ObjectKey
from storage.engine.sweep import HISTORY, plan
from storage.engine.undo import undo
from storage.stores.s3.bucket import _chunks
from storage.stores.s3.transport import pool
from tests.support.in_memory import DAY, HOUR, MINUTE, NOW, World
from tests.support.runs import apply

ORPHANS, FAILED = "cleanup_orphan_uploads", "cleanup_failed_jobs"


def test_the_notice_counts_from_the_condemning(world: World) -> None:
    """A plan approved, or repeated, days later still leaves a full day in which it can be undone."""
    world.job("j", "failed", 30 * DAY)
    world.put("processed/j/a.mp4", 30 * DAY)
    waiting = world.plan(FAILED)
    world.time += 3 * DAY
    apply(waiting.id, world.stores)
    world.run("reap")
    assert world.keys() == ["processed/j/a.mp4"]
    world.time += DAY - MINUTE
    world.run("reap")
    assert world.keys() == ["processed/j/a.mp4"]
    world.time += MINUTE
    world.run("reap")
    assert world.keys() == []


def test_a_guard_does_not_wear_out(world: World) -> None:
    """However often a plan was made and refused, it is refused the next time too."""
    for number in range(200):
        world.put(f"uploads/j{number}/in.mp4", HOUR)
        world.job(f"j{number}", "completed", HOUR)
    world.run(ORPHANS)
    everything = world.keys()
    world.objects.hidden.update(key for key in everything if not key.startswith("uploads/j10"))
    for _ in range(HISTORY + 2):
        world.time += MINUTE
        with pytest.raises(Refused, match="shrunk"):
            world.plan(ORPHANS)


def test_an_absent_temp_folder_is_no_reaped_file(world: World) -> None:
    """While the volume is not mounted the run fails; once it is back the file can be reaped or undone."""
    world.files.add("old.ts", changed=NOW - 2 * DAY)
    run = world.run("cleanup_temp_files")
    world.time += 2 * HOUR
    world.files.unsafe = "it has no marker file"
    with pytest.raises(TempFolderUnsafe):
        world.run("reap")
    assert [tombstone.state for tombstone in world.tombstones()] == ["condemned"]
    world.files.unsafe = ""
    assert [outcome.status for _, outcome in undo(run.id, world.stores)] == ["done"]
    assert world.files.look("old.ts") is not None


def test_tombstones_of_another_bucket_wait(world: World) -> None:
    """After a move to another bucket no job is marked cleaned up for its objects in the old bucket."""
    world.job("j", "failed", 30 * DAY)
    world.put("processed/j/a.mp4", 30 * DAY)
    world.run(FAILED)
    for id, tombstone in list(world.database.tombstones.items()):
        place = tombstone.place.replace(str(world.objects.bucket), "the-old-bucket")
        world.database.tombstones[id] = type(tombstone)(**{**_values(tombstone), "place": place})
    world.time += 2 * DAY
    assert world.run("reap").considered.count == 0
    assert {tombstone.state for tombstone in world.tombstones()} == {"condemned"}


def test_batches_are_of_one_plan(world: World) -> None:
    """Batches finished under a plan do not count as done for the plan that replaced it."""
    world.put("temp/a.ts", 2 * DAY)
    first = plan(catalog.get("cleanup_temp_objects"), world.stores, NOW, run_id="r")
    world.stores.runs.finish_batch("r", 0, (), (), first=0)
    world.put("temp/b.ts", 2 * DAY)
    second = plan(catalog.get("cleanup_temp_objects"), world.stores, NOW, run_id="r")
    assert first.plan_sha256 != second.plan_sha256
    assert apply("r", world.stores).done.count == 2
    assert world.keys() == []


def test_a_delete_is_never_sent_again_blindly() -> None:
    """A bulk delete resent after a lost answer could delete an object written since."""
    retries = pool().connection_pool_kw["retries"]
    assert not retries.is_retry("POST", 503)
    assert retries.is_retry("GET", 503)


def test_versions_are_counted_as_entries() -> None:
    three = [DeleteTarget(ObjectKey(f"k{i}"), "e", ("v3", "v2", "v1")) for i in range(700)]
    many = [DeleteTarget(ObjectKey("many"), "e", tuple(str(i) for i in range(2500)))]
    chunks = list(_chunks([*three, *many]))
    sizes = [sum(max(1, len(target.versions)) for target in chunk) for chunk in chunks]
    assert max(sizes) <= 1000
    assert sum(sizes) == 700 * 3 + 2500


def test_an_error_for_a_key_that_was_not_sent_stops_the_run(world: World) -> None:
    """The key that the error concerns is unknown, so no action may be recorded as done."""
    world.put("temp/a.ts", 2 * DAY)
    world.objects.delete = lambda targets: [Failure("", "InternalError", "?")]  # type: ignore[method-assign]
    with pytest.raises(StoreRefused, match="not sent"):
        world.run("cleanup_temp_objects")


def test_a_limit_that_is_asked_for_holds_for_reap_too(world: World) -> None:
    for id in ("j", "k"):
        world.job(id, "failed", 30 * DAY)
    world.run(FAILED)
    world.time += 2 * DAY
    assert world.plan("reap", max_objects=1).state == "waiting"
    assert world.plan("reap").state == "planned"


def _values(tombstone: object) -> dict[str, object]:
    return {name: getattr(tombstone, name) for name in tombstone.__dataclass_fields__}  # type: ignore[attr-defined]
