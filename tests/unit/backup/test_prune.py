"""Pruning a backup: row, manifest, parts, uploads, in this order; kills at any point; concurrent changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from storage.backup.actions import PruneBackup
from storage.backup.model import MANIFEST, Backup, folder
from storage.core.deletion import DeleteTarget, Failure, ObjectLock
from storage.core.errors import ActionsFailed, InvalidName, Refused, VerificationFailed
from storage.core.model import Run, Totals
from storage.engine.actions import Work, decode, encode
from tests.support.backups_in_memory import BackupInventory, to_delete
from tests.support.in_memory import DAY, NOW, Killed, World
from tests.support.runs import VERBS, apply

JOB = "cleanup_old_backups"
RECORDED = ("catalogue.move", "runs.finish_batch")


@pytest.fixture
def inventory(world: World) -> BackupInventory:
    return BackupInventory(world)


def why(inventory: BackupInventory, run: Run) -> list[str]:
    return [detail for _, detail, _ in inventory.stores.runs.details(run.id)]


@pytest.mark.parametrize("versioned", [False, True])
def test_a_backup_goes_wholly_and_the_others_remain(inventory: BackupInventory, versioned: bool) -> None:
    inventory.backup_bucket.versioned = versioned
    old = inventory.add(400 * DAY)
    place = folder("database", old.id)
    inventory.backup_bucket.put(place + MANIFEST, b"again")
    inventory.backup_bucket.put(place + "certificate-1.json", b"{}")
    inventory.upload(old)
    inventory.upload(old, journalled=False)
    before = len(inventory.backup_bucket._versions)
    newer = inventory.add(399 * DAY, number=8)  # the newest of its week, month and year
    elsewhere = inventory.upload(newer)
    done = inventory.world.run(JOB)
    assert (done.state, done.planned.count, done.done) == ("verified", 1, Totals(1, 27))
    assert inventory.state(old) == "expired"
    assert inventory.keys(old) == []
    assert not any(key.startswith(place) for key in inventory.backup_bucket._versions), "no version is left"
    assert len(inventory.backup_bucket._versions) == before - 4 + 3
    assert [one.upload_id for one in inventory.backup_bucket.uploads()] == [elsewhere]
    assert [one.upload_id for one in inventory.stores.backup_uploads.open()] == [elsewhere]
    assert inventory.whole(newer)
    assert inventory.state(newer) == "proven"
    assert inventory.world.plan(JOB).planned.count == 0


def test_row_then_manifest_then_parts_then_uploads(inventory: BackupInventory) -> None:
    """At every request a manifest still has its data, and a row that counts still has its manifest."""
    old = to_delete(inventory)
    seen: list[str] = []

    def look(name: str) -> None:
        if name in ("delete", "abort", "catalogue.move"):
            seen.append(name)
            sound(inventory, old)

    inventory.backup_bucket.traffic.before = inventory.world.database.traffic.before = look
    inventory.world.run(JOB)
    assert seen == ["catalogue.move", "delete", "delete", "abort"]


def sound(inventory: BackupInventory, row: Backup) -> None:
    place = folder(row.kind, row.id)
    names = {key.removeprefix(place) for key in inventory.backup_bucket._versions if key.startswith(place)}
    parts = {"part-0000.zst", "part-0001.zst"}
    assert MANIFEST not in names or parts <= names, "a manifest without its data"
    assert inventory.state(row) != "proven" or names == {MANIFEST, *parts}, (
        "a proven backup that is not there"
    )


@pytest.mark.parametrize("again", ["the same run", "a later run"])
@pytest.mark.parametrize("point", range(13))
def test_killed_at_any_request_and_run_again(inventory: BackupInventory, point: int, again: str) -> None:
    old, left = to_delete(inventory), point

    def strike(name: str) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise Killed

    planned = inventory.world.plan(JOB)
    inventory.backup_bucket.traffic.before = strike
    inventory.world.database.traffic.before = lambda name: strike(name) if name in RECORDED else None
    injected = False
    try:
        apply(planned.id, inventory.stores)
    except Killed:
        injected = True
    inventory.backup_bucket.traffic.before = inventory.world.database.traffic.before = lambda name: None
    assert injected is (point < 12), "the points cover the whole run"
    sound(inventory, old)
    if again == "the same run":
        assert apply(planned.id, inventory.stores).state == "verified"
    else:
        assert inventory.world.run(JOB).state == "verified"
    assert (inventory.state(old), inventory.keys(old)) == ("expired", [])
    assert list(inventory.backup_bucket.uploads()) == []
    assert inventory.world.plan(JOB).planned.count == 0
    assert inventory.stores.catalogue.newest_proven("database", inventory.stores.clock())


def test_pinned_meanwhile_it_stays(inventory: BackupInventory) -> None:
    old = to_delete(inventory)
    planned = inventory.world.plan(JOB)
    inventory.stores.catalogue.pin(old.id, "for the auditors")
    done = apply(planned.id, inventory.stores)
    assert why(inventory, done) == ["pinned since the plan: for the auditors"]
    assert inventory.whole(old)
    assert inventory.state(old) == "proven"


def test_pinned_between_the_look_and_the_turn_it_stays(inventory: BackupInventory) -> None:
    old = to_delete(inventory)
    planned = inventory.world.plan(JOB)

    def pin(name: str) -> None:
        if name == "catalogue.move":
            inventory.stores.catalogue.pin(old.id, "in the last moment")

    inventory.world.database.traffic.before = pin
    done = apply(planned.id, inventory.stores)
    assert why(inventory, done) == ["pinned since the plan: in the last moment"]
    assert inventory.whole(old)
    assert inventory.state(old) == "proven"


def fail_newest(inventory: BackupInventory, count: int) -> None:
    for row in inventory.stores.catalogue.all("database")[:count]:
        inventory.stores.catalogue.move(row.id, ["proven"], "failed", "damaged")


def test_with_every_newer_one_failed_meanwhile_it_stays(inventory: BackupInventory) -> None:
    old = to_delete(inventory)
    older = [
        inventory.add((500 + n) * DAY, number=7) for n in range(4)
    ]  # more than the minimum, but all older
    planned = inventory.world.plan(JOB)
    fail_newest(inventory, 5)
    assert inventory.stores.catalogue.newest_proven("database", inventory.stores.clock()) == old
    done = apply(planned.id, inventory.stores)
    assert "no newer backup is proven" in why(inventory, done)
    assert inventory.whole(old)
    assert sum(map(inventory.whole, older)) == 4 - done.done.count


def test_with_too_few_proven_ones_left_it_stays(inventory: BackupInventory) -> None:
    old = to_delete(inventory)
    planned = inventory.world.plan(JOB)
    fail_newest(inventory, 3)
    done = apply(planned.id, inventory.stores)
    assert why(inventory, done) == ["only 2 others are proven, 3 must remain"]
    assert inventory.whole(old)


def test_with_the_manifest_of_the_newest_gone_it_stays(inventory: BackupInventory) -> None:
    old = to_delete(inventory)
    planned = inventory.world.plan(JOB)
    newest = inventory.stores.catalogue.newest_proven("database", inventory.stores.clock())
    assert newest
    del inventory.backup_bucket._versions[folder("database", newest.id) + MANIFEST]
    inventory.backup_bucket._sorted = None
    done = apply(planned.id, inventory.stores)
    assert "lost its manifest" in why(inventory, done)[0]
    assert inventory.whole(old)


def test_what_was_proven_after_the_plan_stays(inventory: BackupInventory) -> None:
    late = inventory.add(90 * DAY, "complete")
    planned = inventory.world.plan(JOB)
    assert planned.planned.count == 1
    inventory.stores.catalogue.move(late.id, ["complete"], "proven")
    assert why(inventory, apply(planned.id, inventory.stores)) == ["has moved on since the plan (now proven)"]
    assert inventory.whole(late)


def test_during_a_proof_it_stays(inventory: BackupInventory) -> None:
    old = to_delete(inventory)
    planned = inventory.world.plan(JOB)
    with inventory.stores.runs.lock("prove"):
        done = apply(planned.id, inventory.stores)
    assert why(inventory, done) == ["a backup is being proven; a later run prunes this one"]
    assert inventory.whole(old)
    assert inventory.world.run(JOB).done.count == 1


def test_the_remains_of_a_failed_backup_go_with_few_proven_ones_left(inventory: BackupInventory) -> None:
    remains = inventory.add(3 * DAY, "failed", number=5)
    begun = inventory.upload(remains)
    for row in inventory.stores.catalogue.all("database")[1:3]:
        inventory.stores.catalogue.move(row.id, ["proven"], "failed", "damaged")
    done = inventory.world.run(JOB)
    assert done.done == Totals(1, 20)
    assert inventory.state(remains) == "expired"
    assert begun not in {one.upload_id for one in inventory.backup_bucket.uploads()}


def test_a_backup_of_thousands_of_parts_goes_by_the_thousand(inventory: BackupInventory) -> None:
    old = inventory.add(400 * DAY, parts=2_500)
    inventory.add(399 * DAY, number=8)
    inventory.backup_bucket.requests.clear()
    assert inventory.world.run(JOB).done == Totals(1, 25_005)
    assert inventory.keys(old) == []
    assert inventory.backup_bucket.requests["delete"] == 1 + 3


def test_a_delete_that_is_refused_fails_the_run_and_goes_on_later(inventory: BackupInventory) -> None:
    old = to_delete(inventory)
    locked = folder("database", old.id) + MANIFEST
    inventory.backup_bucket.failing[locked] = "AccessDenied"
    with pytest.raises(ActionsFailed, match="AccessDenied: injected"):
        inventory.world.run(JOB)
    assert inventory.keys(old) == [MANIFEST, "part-0000.zst", "part-0001.zst"], (
        "no part goes before the manifest"
    )
    assert inventory.state(old) == "expired"
    inventory.backup_bucket.failing.clear()
    assert inventory.world.run(JOB).done == Totals(1, 25)
    assert inventory.keys(old) == []


@pytest.mark.parametrize("name", [MANIFEST, "part-0001.zst"])
def test_a_file_that_a_busy_store_keeps_is_asked_for_again(name: str, inventory: BackupInventory) -> None:
    old = to_delete(inventory)
    bucket, key = inventory.backup_bucket, folder("database", old.id) + name

    def busy(request: str) -> None:
        if request == "delete":
            bucket.failing = {} if key in bucket.failing else {key: "SlowDown"}

    bucket.traffic.before = busy
    assert inventory.world.run(JOB).done == Totals(1, 25)
    assert inventory.keys(old) == []


@pytest.mark.parametrize("name", [MANIFEST, "part-0001.zst"])
def test_a_locked_backup_is_kept_with_its_date(
    name: str, inventory: BackupInventory, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = to_delete(inventory)
    bucket, lock = inventory.backup_bucket, ObjectLock("object lock (COMPLIANCE)", NOW + 30 * DAY)
    key, usual = folder("database", old.id) + name, bucket.delete

    def delete(targets: Sequence[DeleteTarget]) -> list[Failure]:
        usual([target for target in targets if target.key != key])
        return [Failure(key, "AccessDenied", "", lock=lock) for target in targets if target.key == key]

    monkeypatch.setattr(bucket, "delete", delete)
    for _ in range(2):
        done = inventory.world.run(JOB)
        assert why(inventory, done) == [f"{lock}; a later run prunes the rest"]
    monkeypatch.undo()
    assert inventory.world.run(JOB).done.count == 1
    assert inventory.keys(old) == []


def test_a_store_that_lies_is_found_out(inventory: BackupInventory) -> None:
    to_delete(inventory)
    inventory.backup_bucket.lying = True
    inventory.backup_bucket._uploads.clear()
    with pytest.raises(VerificationFailed, match="prune"):
        inventory.world.run(JOB)


def test_without_a_fresh_proven_backup_the_run_is_refused(inventory: BackupInventory) -> None:
    old = to_delete(inventory)
    inventory.world.time += 2 * DAY
    with pytest.raises(Refused, match="Refused by retention: the newest proven database backup is 49 h old"):
        inventory.world.run(JOB)
    assert inventory.whole(old)


def test_a_plan_can_name_nothing_but_a_backup_s_own_folder(inventory: BackupInventory) -> None:
    """The folder is built from a kind and an id, whatever a plan's line says, and the row decides."""
    action = PruneBackup(
        id="20260101T030000Z-0a1b2c3d", kind="database", state="proven", size=1, minimum=3, reason="old"
    )
    assert decode(encode(action), VERBS) == action
    assert action.key == "database/20260101T030000Z-0a1b2c3d/"
    [outcome] = PruneBackup.apply([action], Work(inventory.stores, "run", JOB))
    assert (outcome.status, outcome.detail) == ("skipped", "no longer in the catalogue")
    old = to_delete(inventory)
    other = replace(action, id=old.id, kind="metadata")
    assert PruneBackup.apply([other], Work(inventory.stores, "run", JOB))[0].status == "skipped"
    line = encode(action).replace("20260101T030000Z-0a1b2c3d", "../videos")
    with pytest.raises(InvalidName):
        PruneBackup.apply([decode(line, VERBS)], Work(inventory.stores, "run", JOB))  # type: ignore[list-item]
