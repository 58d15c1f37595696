"""Pruning on real servers: old backups are deleted for good, also from a versioned bucket; others stay."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from storage import catalog
from storage.backup.model import MANIFEST, Backup, BackupId, BackupState, folder
from storage.core.errors import Refused
from storage.core.model import ObjectKey
from storage.engine.sweep import explain, plan, run
from storage.installation import Installation, open_installation
from tests.conftest import Place
from tests.support.runs import apply

JOB = catalog.get("cleanup_old_backups")
DAY = timedelta(days=1)
WEDNESDAY = datetime(2023, 6, 14, 3, tzinfo=UTC)


@pytest.fixture
def stores(place: Place) -> Iterator[Installation]:
    with open_installation(place.settings) as opened:
        yield opened


class BackupBucket:
    """The backup bucket, with writes in the form of a backup's."""

    def __init__(self, place: Place, stores: Installation) -> None:
        self.boto, self.bucket, self.stores = place.boto, place.settings.backup_bucket, stores
        self.now: datetime = stores.clock()

    def put(self, key: str, data: bytes) -> None:
        self.boto.put_object(Bucket=self.bucket, Key=key, Body=data)

    def add(self, taken: datetime, state: BackupState = "proven", *, bare: bool = False) -> Backup:
        id = BackupId(f"{taken:%Y%m%dT%H%M%SZ}-0a1b2c3d")
        sha256 = "" if bare else "0" * 64
        row = Backup(id=id, kind="database", state=state, taken_at=taken, manifest_sha256=sha256)
        self.stores.catalogue.save(row)
        place = folder("database", id)
        for name in ("dump.zst", "globals.zst", "certificate-1.json"):
            self.put(place + name, b"0123456789")
        if not bare:
            self.put(place + MANIFEST, b"12345")
        return row

    def upload(self, row: Backup) -> str:
        """Leave the open upload of a dump that was killed, recorded in the journal; return its id."""
        key = ObjectKey(folder(row.kind, row.id) + "dump.zst")
        where = {"Bucket": self.bucket, "Key": key}
        upload_id = str(self.boto.create_multipart_upload(**where)["UploadId"])
        self.stores.backup_uploads.record(key, upload_id)
        self.boto.upload_part(**where, UploadId=upload_id, PartNumber=1, Body=b"x")
        return upload_id

    def versions(self) -> dict[str, int]:
        """Return every key of the bucket with its number of versions and delete markers."""
        found: dict[str, int] = {}
        for page in self.boto.get_paginator("list_object_versions").paginate(Bucket=self.bucket):
            for one in (*page.get("Versions", ()), *page.get("DeleteMarkers", ())):
                found[one["Key"]] = found.get(one["Key"], 0) + 1
        return found


@pytest.fixture
def backup_bucket(place: Place, stores: Installation) -> BackupBucket:
    return BackupBucket(place, stores)


def keep_versions(boto: Any, bucket: str) -> None:
    boto.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})


def fill(backup_bucket: BackupBucket) -> tuple[list[Backup], list[Backup]]:
    """Add backups; return (kept, pruned). Of two in a week the newer counts for the week, month and year."""
    stays = [backup_bucket.add(backup_bucket.now - n * DAY) for n in range(5)] + [
        backup_bucket.add(WEDNESDAY)
    ]
    goes = [
        backup_bucket.add(WEDNESDAY - DAY),
        backup_bucket.add(backup_bucket.now - 100 * DAY, "complete"),
        backup_bucket.add(backup_bucket.now - 3 * DAY - timedelta(hours=1), "failed", bare=True),
    ]
    return stays, goes


@pytest.mark.parametrize("versioned", [False, True], ids=["plain", "versioned"])
def test_old_backups_go_for_good_and_nothing_else_does(
    backup_bucket: BackupBucket, stores: Installation, place: Place, versioned: bool
) -> None:
    if versioned:
        keep_versions(place.boto, backup_bucket.bucket)
    stays, goes = fill(backup_bucket)
    backup_bucket.put(folder("database", goes[0].id) + MANIFEST, b"again")
    upload_id = backup_bucket.upload(goes[2])
    strange = [
        "database/readme.txt",
        "database/old.bak/dump",
        "elsewhere/dump",
        "database/20200101T000000Z-00000001/x",
    ]
    for key in strange:
        backup_bucket.put(key, b"not ours")
    before = backup_bucket.versions()
    done = run(JOB, stores, stores.clock())
    assert (done.state, done.planned.count, done.done.count, done.done.bytes) == (
        "verified",
        3,
        3,
        35 + 35 + 30,
    )
    gone = tuple(folder("database", one.id) for one in goes)
    assert backup_bucket.versions() == {key: n for key, n in before.items() if not key.startswith(gone)}
    assert set(strange) <= backup_bucket.versions().keys()
    rows = {one.id: one.state for one in stores.catalogue.all()}
    assert rows == {one.id: "proven" for one in stays} | {one.id: "expired" for one in goes}
    key = ObjectKey(gone[2] + "dump.zst")
    assert stores.backup_bucket.parts(key, upload_id) is None
    assert list(stores.backup_uploads.open()) == []
    answer = {one.key: one for _, one in explain([JOB], stores, stores.clock(), "database")}
    assert answer["database/readme.txt"].reason == "not a backup's folder"
    assert not {one for one in answer if one.startswith(gone)}


def test_a_later_run_finishes_what_was_killed_half_way(
    backup_bucket: BackupBucket, stores: Installation
) -> None:
    """The state after a kill: the row expired, the manifest gone, parts and an upload still there."""
    _, goes = fill(backup_bucket)
    first = goes[0]
    stores.catalogue.move(first.id, ["proven"], "expired", "old")
    backup_bucket.boto.delete_object(Bucket=backup_bucket.bucket, Key=folder("database", first.id) + MANIFEST)
    upload_id = backup_bucket.upload(first)
    assert run(JOB, stores, stores.clock()).done.count == 3
    assert not {key for key in backup_bucket.versions() if key.startswith(folder("database", first.id))}
    assert stores.backup_bucket.parts(ObjectKey(folder("database", first.id) + "dump.zst"), upload_id) is None
    assert plan(JOB, stores, stores.clock()).planned.count == 0


def test_pinned_after_the_plan_it_stays(backup_bucket: BackupBucket, stores: Installation) -> None:
    _, goes = fill(backup_bucket)
    planned = plan(JOB, stores, stores.clock())
    stores.catalogue.pin(goes[0].id, "for the auditors")
    before = backup_bucket.versions()
    done = apply(planned.id, stores)
    assert stores.runs.details(done.id) == [("skipped", "pinned since the plan: for the auditors", 1)]
    mine = folder("database", goes[0].id)
    after = backup_bucket.versions()
    assert {k: n for k, n in after.items() if k.startswith(mine)} == {
        k: n for k, n in before.items() if k.startswith(mine)
    }


def test_without_a_fresh_proven_one_nothing_goes(backup_bucket: BackupBucket, stores: Installation) -> None:
    for days in (2, 60, 61, 62, 63):
        backup_bucket.add(backup_bucket.now - days * DAY)
    before = backup_bucket.versions()
    with pytest.raises(Refused, match="newest proven database backup is 48 h old"):
        run(JOB, stores, stores.clock())
    assert backup_bucket.versions() == before
