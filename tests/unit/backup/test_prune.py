"""Giving up a backup: row, manifest, parts, uploads, in this order; killed at any point; beside others."""

from __future__ import annotations

from dataclasses import replace

import pytest

from storage.backup.actions import PruneBackup
from storage.backup.model import MANIFEST, Backup, folder
from storage.core.errors import ActionsFailed, InvalidName, Refused, VerificationFailed
from storage.core.model import Run, Totals
from storage.engine.actions import Work, decode, encode
from tests.support.backups_in_memory import Shelf, doomed
from tests.support.in_memory import DAY, Killed, World
from tests.support.runs import VERBS, apply

JOB = "cleanup_old_backups"
RECORDED = ("catalogue.move", "runs.finish_batch")


@pytest.fixture
def shelf(world: World) -> Shelf:
    return Shelf(world)


def why(shelf: Shelf, run: Run) -> list[str]:
    return [detail for _, detail, _ in shelf.stores.runs.details(run.id)]


@pytest.mark.parametrize("versioned", [False, True])
def test_a_backup_goes_wholly_and_the_others_stay(shelf: Shelf, versioned: bool) -> None:
    shelf.vault.versioned = versioned
    old = shelf.add(400 * DAY)
    place = folder("database", old.id)
    shelf.vault.put(place + MANIFEST, b"again")
    shelf.vault.put(place + "certificate-1.json", b"{}")
    shelf.upload(old)
    shelf.upload(old, journalled=False)
    before = len(shelf.vault._versions)
    newer = shelf.add(399 * DAY, number=8)  # the newest of its week, month and year
    elsewhere = shelf.upload(newer)
    done = shelf.world.run(JOB)
    assert (done.state, done.planned.count, done.done) == ("verified", 1, Totals(1, 27))
    assert shelf.state(old) == "expired"
    assert shelf.keys(old) == []
    assert not any(key.startswith(place) for key in shelf.vault._versions), "no version is left"
    assert len(shelf.vault._versions) == before - 4 + 3
    assert [one.upload_id for one in shelf.vault.uploads()] == [elsewhere]
    assert [one.upload_id for one in shelf.stores.vault_uploads.open()] == [elsewhere]
    assert shelf.whole(newer)
    assert shelf.state(newer) == "proven"
    assert shelf.world.plan(JOB).planned.count == 0


def test_row_then_manifest_then_parts_then_uploads(shelf: Shelf) -> None:
    """At every request: a manifest has its data, and a row that counts has its manifest."""
    old = doomed(shelf)
    seen: list[str] = []

    def look(name: str) -> None:
        if name in ("delete", "abort", "catalogue.move"):
            seen.append(name)
            sound(shelf, old)

    shelf.vault.traffic.before = shelf.world.database.traffic.before = look
    shelf.world.run(JOB)
    assert seen == ["catalogue.move", "delete", "delete", "abort"]


def sound(shelf: Shelf, row: Backup) -> None:
    place = folder(row.kind, row.id)
    names = {key.removeprefix(place) for key in shelf.vault._versions if key.startswith(place)}
    parts = {"part-0000.zst", "part-0001.zst"}
    assert MANIFEST not in names or parts <= names, "a manifest without its data"
    assert shelf.state(row) != "proven" or names == {MANIFEST, *parts}, "a proven backup that is not there"


@pytest.mark.parametrize("again", ["the same run", "a later run"])
@pytest.mark.parametrize("point", range(13))
def test_killed_at_any_request_and_run_again(shelf: Shelf, point: int, again: str) -> None:
    old, left = doomed(shelf), point

    def strike(name: str) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise Killed

    planned = shelf.world.plan(JOB)
    shelf.vault.traffic.before = strike
    shelf.world.database.traffic.before = lambda name: strike(name) if name in RECORDED else None
    struck = False
    try:
        apply(planned.id, shelf.stores)
    except Killed:
        struck = True
    shelf.vault.traffic.before = shelf.world.database.traffic.before = lambda name: None
    assert struck is (point < 12), "the points cover the whole run"
    sound(shelf, old)
    if again == "the same run":
        assert apply(planned.id, shelf.stores).state == "verified"
    else:
        assert shelf.world.run(JOB).state == "verified"
    assert (shelf.state(old), shelf.keys(old)) == ("expired", [])
    assert list(shelf.vault.uploads()) == []
    assert shelf.world.plan(JOB).planned.count == 0
    assert shelf.stores.catalogue.newest_proven("database")


def test_pinned_meanwhile_it_stays(shelf: Shelf) -> None:
    old = doomed(shelf)
    planned = shelf.world.plan(JOB)
    shelf.stores.catalogue.pin(old.id, "for the auditors")
    done = apply(planned.id, shelf.stores)
    assert why(shelf, done) == ["pinned since the plan: for the auditors"]
    assert shelf.whole(old)
    assert shelf.state(old) == "proven"


def test_pinned_between_the_look_and_the_turn_it_stays(shelf: Shelf) -> None:
    old = doomed(shelf)
    planned = shelf.world.plan(JOB)

    def pin(name: str) -> None:
        if name == "catalogue.move":
            shelf.stores.catalogue.pin(old.id, "in the last moment")

    shelf.world.database.traffic.before = pin
    done = apply(planned.id, shelf.stores)
    assert why(shelf, done) == ["pinned since the plan: in the last moment"]
    assert shelf.whole(old)
    assert shelf.state(old) == "proven"


def fail_newest(shelf: Shelf, count: int) -> None:
    for row in shelf.stores.catalogue.all("database")[:count]:
        shelf.stores.catalogue.move(row.id, ["proven"], "failed", "damaged")


def test_with_every_newer_one_failed_meanwhile_it_stays(shelf: Shelf) -> None:
    old = doomed(shelf)
    older = [shelf.add((500 + n) * DAY, number=7) for n in range(4)]  # more than the minimum, but all older
    planned = shelf.world.plan(JOB)
    fail_newest(shelf, 5)
    assert shelf.stores.catalogue.newest_proven("database") == old
    done = apply(planned.id, shelf.stores)
    assert "no newer backup is proven" in why(shelf, done)
    assert shelf.whole(old)
    assert sum(map(shelf.whole, older)) == 4 - done.done.count


def test_with_too_few_proven_ones_left_it_stays(shelf: Shelf) -> None:
    old = doomed(shelf)
    planned = shelf.world.plan(JOB)
    fail_newest(shelf, 3)
    done = apply(planned.id, shelf.stores)
    assert why(shelf, done) == ["only 2 others are proven, 3 must stay"]
    assert shelf.whole(old)


def test_with_the_manifest_of_the_newest_gone_it_stays(shelf: Shelf) -> None:
    old = doomed(shelf)
    planned = shelf.world.plan(JOB)
    newest = shelf.stores.catalogue.newest_proven("database")
    assert newest
    del shelf.vault._versions[folder("database", newest.id) + MANIFEST]
    shelf.vault._sorted = None
    done = apply(planned.id, shelf.stores)
    assert "lost its manifest" in why(shelf, done)[0]
    assert shelf.whole(old)


def test_what_was_proven_after_the_plan_stays(shelf: Shelf) -> None:
    late = shelf.add(90 * DAY, "complete")
    planned = shelf.world.plan(JOB)
    assert planned.planned.count == 1
    shelf.stores.catalogue.move(late.id, ["complete"], "proven")
    assert why(shelf, apply(planned.id, shelf.stores)) == ["has moved on since the plan (now proven)"]
    assert shelf.whole(late)


def test_during_a_proof_it_stays(shelf: Shelf) -> None:
    old = doomed(shelf)
    planned = shelf.world.plan(JOB)
    with shelf.stores.runs.lock("prove"):
        done = apply(planned.id, shelf.stores)
    assert why(shelf, done) == ["a backup is being proven; it goes with a later run"]
    assert shelf.whole(old)
    assert shelf.world.run(JOB).done.count == 1


def test_the_remains_of_a_failed_backup_go_with_few_proven_ones_left(shelf: Shelf) -> None:
    remains = shelf.add(3 * DAY, "failed", number=5)
    begun = shelf.upload(remains)
    for row in shelf.stores.catalogue.all("database")[1:3]:
        shelf.stores.catalogue.move(row.id, ["proven"], "failed", "damaged")
    done = shelf.world.run(JOB)
    assert done.done == Totals(1, 20)
    assert shelf.state(remains) == "expired"
    assert begun not in {one.upload_id for one in shelf.vault.uploads()}


def test_a_backup_of_thousands_of_parts_goes_by_the_thousand(shelf: Shelf) -> None:
    old = shelf.add(400 * DAY, parts=2_500)
    shelf.add(399 * DAY, number=8)
    shelf.vault.requests.clear()
    assert shelf.world.run(JOB).done == Totals(1, 25_005)
    assert shelf.keys(old) == []
    assert shelf.vault.requests["delete"] == 1 + 3


def test_a_delete_that_is_refused_fails_the_run_and_goes_on_later(shelf: Shelf) -> None:
    old = doomed(shelf)
    locked = folder("database", old.id) + MANIFEST
    shelf.vault.failing[locked] = "AccessDenied"
    with pytest.raises(ActionsFailed, match="AccessDenied: injected"):
        shelf.world.run(JOB)
    assert shelf.keys(old) == [MANIFEST, "part-0000.zst", "part-0001.zst"], "no part goes before the manifest"
    assert shelf.state(old) == "expired"
    shelf.vault.failing.clear()
    assert shelf.world.run(JOB).done == Totals(1, 25)
    assert shelf.keys(old) == []


def test_a_store_that_lies_is_found_out(shelf: Shelf) -> None:
    doomed(shelf)
    shelf.vault.lying = True
    shelf.vault._uploads.clear()
    with pytest.raises(VerificationFailed, match="prune"):
        shelf.world.run(JOB)


def test_without_a_fresh_proven_backup_the_run_is_refused(shelf: Shelf) -> None:
    old = doomed(shelf)
    shelf.world.time += 2 * DAY
    with pytest.raises(Refused, match="Refused by retention: the newest proven database backup is 49 h old"):
        shelf.world.run(JOB)
    assert shelf.whole(old)


def test_a_plan_can_name_nothing_but_a_backup_s_own_folder(shelf: Shelf) -> None:
    """Whatever a plan's line says, the folder is made of a kind and an id, and the row decides."""
    action = PruneBackup(
        id="20260101T030000Z-0a1b2c3d", kind="database", state="proven", size=1, minimum=3, reason="old"
    )
    assert decode(encode(action), VERBS) == action
    assert action.key == "database/20260101T030000Z-0a1b2c3d/"
    [outcome] = PruneBackup.apply([action], Work(shelf.stores, "run", JOB))
    assert (outcome.status, outcome.detail) == ("skipped", "no longer in the catalogue")
    old = doomed(shelf)
    other = replace(action, id=old.id, kind="metadata")
    assert PruneBackup.apply([other], Work(shelf.stores, "run", JOB))[0].status == "skipped"
    line = encode(action).replace("20260101T030000Z-0a1b2c3d", "../videos")
    with pytest.raises(InvalidName):
        PruneBackup.apply([decode(line, VERBS)], Work(shelf.stores, "run", JOB))  # type: ignore[list-item]
