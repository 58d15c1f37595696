"""Backups for the tests: rows of the catalogue, and an in-memory installation with backups in its bucket."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from storage.backup.model import MANIFEST, Backup, BackupId, BackupKind, BackupState, folder
from storage.testing import MemoryObjects
from tests.support.in_memory import DAY, HOUR, World

NOW = datetime(2026, 3, 8, 3, 30, tzinfo=UTC)
HASH = "0" * 64


def backup(
    age: timedelta,
    state: BackupState = "proven",
    kind: BackupKind = "database",
    *,
    number: int = 0,
    pinned: str = "",
    bare: bool = False,
    at: datetime | None = None,
) -> Backup:
    taken = at or NOW - age
    id = BackupId(f"{taken.astimezone(UTC):%Y%m%dT%H%M%SZ}-{number:08x}")
    sha256 = "" if bare or state == "running" else HASH
    return Backup(
        id=id,
        kind=kind,
        state=state,
        taken_at=taken,
        manifest_sha256=sha256,
        pinned=pinned,
        proven_at=taken if state == "proven" else None,
    )


class BackupInventory:
    """In-memory installation whose backup bucket and catalogue hold the backups a test adds."""

    def __init__(self, world: World) -> None:
        self.world, self.stores = world, world.stores
        assert isinstance(world.stores.backup_bucket, MemoryObjects)
        self.backup_bucket = world.stores.backup_bucket
        for number in range(4):
            self.add(number * DAY + HOUR, number=number)

    def add(
        self, age: timedelta, state: BackupState = "proven", *, number: int = 9, parts: int = 2
    ) -> Backup:
        """Add a backup of ten bytes a part and five of manifest; a failed one has no manifest."""
        bare = state == "failed"
        row = backup(age, state, number=number, bare=bare, at=self.world.time - age)
        self.stores.catalogue.save(row)
        for part in range(parts):
            self.backup_bucket.put(f"{folder(row.kind, row.id)}part-{part:04}.zst", b"0123456789")
        if not bare:
            self.backup_bucket.put(folder(row.kind, row.id) + MANIFEST, b"12345")
        return row

    def upload(self, row: Backup, *, journalled: bool = True) -> str:
        key = folder(row.kind, row.id) + "dump.zst"
        upload_id = self.backup_bucket.start_upload(key)
        if journalled:
            self.stores.backup_uploads.record(key, upload_id)  # type: ignore[arg-type]
        return upload_id

    def state(self, row: Backup) -> BackupState:
        found = self.stores.catalogue.get(row.id)
        assert found
        return found.state

    def keys(self, row: Backup) -> list[str]:
        place = folder(row.kind, row.id)
        return [info.key.removeprefix(place) for info in self.backup_bucket.scan(place)]

    def whole(self, row: Backup) -> bool:
        return self.keys(row) == [MANIFEST, "part-0000.zst", "part-0001.zst"]


def to_delete(inventory: BackupInventory) -> Backup:
    """Add an old backup that the rule expires, with an upload in its folder, and a newer one that is kept."""
    old = inventory.add(400 * DAY)
    inventory.upload(old)
    inventory.add(399 * DAY, number=8)
    return old
