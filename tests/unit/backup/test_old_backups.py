"""Catalogue against bucket: rows without folders, folders without rows, objects missing from a listing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from storage.backup.actions import PruneBackup
from storage.backup.model import Backup, folder
from storage.backup.policy import BackupInventory, OldBackups, Rule
from storage.core.errors import Refused
from storage.engine.actions import Keep
from tests.support.backups_in_memory import NOW, backup
from tests.support.in_memory import DAY, HOUR, World

ONLY_AGES = Rule(weekly=0, monthly=0, yearly=0)


def inventory(backups: Sequence[Backup], *manifests: Backup, **sizes: int) -> BackupInventory:
    there = {str(folder(one.kind, one.id)): 100 for one in backups}
    whole = frozenset(str(folder(one.kind, one.id)) for one in manifests)
    strange = {name.replace("__", "/"): size for name, size in sizes.items()}
    return BackupInventory(backups=backups, sizes=there | strange, manifests=whole, now=NOW)


def decided(seen: BackupInventory) -> dict[str, PruneBackup | Keep]:
    found = list(OldBackups(rule=ONLY_AGES).plan([seen], NOW))
    assert len({one.key for one in found}) == len(found), "each thing once"
    return {one.key: one for one in found}  # type: ignore[misc]


def test_a_counted_backup_without_its_manifest_stays_and_does_not_count() -> None:
    """Its pruning has not begun: pruning first sets the row to expired."""
    fresh = [backup(n * HOUR, number=n) for n in range(3)]
    lost, old = backup(90 * DAY), backup(80 * DAY)
    answer = decided(inventory([*fresh, lost, old], *fresh, old))
    kept = answer[folder("database", lost.id)]
    assert isinstance(kept, Keep)
    assert "its manifest is not in the bucket" in kept.reason
    with pytest.raises(Refused):
        decided(inventory([*fresh, old], old))


def test_what_is_left_of_a_failed_backup_stays_when_somebody_took_its_manifest() -> None:
    """A stolen key could do that. The parts may be all that is left, so an operator must look at it."""
    fresh = [backup(n * HOUR, number=n) for n in range(3)]
    robbed, emptied = backup(90 * DAY, "failed"), backup(91 * DAY, "failed")
    seen = inventory([*fresh, robbed, emptied], *fresh)
    del seen.sizes[folder("database", emptied.id)]  # type: ignore[attr-defined]
    answer = decided(seen)
    assert isinstance(answer[folder("database", robbed.id)], Keep)
    assert isinstance(answer[folder("database", emptied.id)], PruneBackup)


def test_a_backup_killed_between_its_manifest_and_its_row_is_kept_as_whole() -> None:
    fresh = [backup(n * HOUR, number=n) for n in range(3)]
    killed, bare = backup(3 * DAY, "failed", bare=True), backup(4 * DAY, "failed", bare=True)
    answer = decided(inventory([*fresh, killed, bare], *fresh, killed))
    assert isinstance(answer[folder("database", killed.id)], Keep)
    pruned = answer[folder("database", bare.id)]
    assert isinstance(pruned, PruneBackup)
    assert (pruned.state, pruned.minimum, pruned.size) == ("failed", 0, 100)


def test_what_the_catalogue_does_not_know_is_reported_and_stays() -> None:
    fresh, unknown, empty = backup(HOUR), backup(90 * DAY, number=1), backup(90 * DAY, number=2)
    seen = inventory([fresh], fresh, unknown, database__readme=7, **{"database__database.bak__": 8})
    targets = {str(folder("database", one.id)): 9 for one in (unknown, empty)}
    answer = decided(replace(seen, sizes={**seen.sizes, **targets}))
    assert all(isinstance(one, Keep) for one in answer.values())
    assert (
        answer["database/readme"].reason == answer["database/database.bak/"].reason == "not a backup's folder"
    )
    assert answer[folder("database", unknown.id)].reason.startswith("unknown to the catalogue: see")
    assert "without a manifest" in answer[folder("database", empty.id)].reason


def test_what_is_expired_goes_on_until_its_folder_is_empty() -> None:
    fresh = [backup(n * HOUR, number=n) for n in range(3)]
    half, done = backup(90 * DAY, "expired"), backup(91 * DAY, "expired")
    seen = inventory([*fresh, half, done], *fresh)
    del seen.sizes[folder("database", done.id)]  # type: ignore[attr-defined]
    answer = decided(seen)
    assert isinstance(answer[folder("database", half.id)], PruneBackup)
    assert folder("database", done.id) not in answer


def test_select_sees_rows_folders_uploads_and_asks_for_what_a_listing_hides(world: World) -> None:
    rows = [backup(HOUR), backup(2 * DAY, "complete"), backup(3 * DAY, "failed", bare=True)]
    backup_bucket = world.stores.backup_bucket
    for one in rows:
        world.stores.catalogue.save(one)
    place = [str(folder("database", one.id)) for one in rows]
    for key in (place[0] + "manifest.json", place[0] + "dump.zst", place[1] + "manifest.json", "other/x"):
        backup_bucket.put(key, b"12345")  # type: ignore[attr-defined]
    backup_bucket.hidden.add(place[1] + "manifest.json")  # type: ignore[attr-defined]
    for key in (place[2] + "dump.zst", "elsewhere/dump.zst"):
        world.stores.backup_uploads.record(key, f"upload of {key}")  # type: ignore[arg-type]
    [seen] = OldBackups().select(world.stores, world.time)
    assert seen.sizes == {place[0]: 10, place[2]: 0}
    assert seen.manifests == {place[0], place[1]}
    assert seen.now == world.time
