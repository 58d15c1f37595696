"""Old backups go for good on real servers, also from a bucket that keeps versions, and nothing else does."""

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


class Vault:
    """The backup bucket, written to as backups write to it."""

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
        """A dump that was killed on its way; the journal knows of it."""
        key = ObjectKey(folder(row.kind, row.id) + "dump.zst")
        where = {"Bucket": self.bucket, "Key": key}
        upload_id = str(self.boto.create_multipart_upload(**where)["UploadId"])
        self.stores.vault_uploads.record(key, upload_id)
        self.boto.upload_part(**where, UploadId=upload_id, PartNumber=1, Body=b"x")
        return upload_id

    def versions(self) -> dict[str, int]:
        """Every key of the bucket, and how many versions and delete markers it has."""
        found: dict[str, int] = {}
        for page in self.boto.get_paginator("list_object_versions").paginate(Bucket=self.bucket):
            for one in (*page.get("Versions", ()), *page.get("DeleteMarkers", ())):
                found[one["Key"]] = found.get(one["Key"], 0) + 1
        return found


@pytest.fixture
def vault(place: Place, stores: Installation) -> Vault:
    return Vault(place, stores)


def keep_versions(boto: Any, bucket: str) -> None:
    boto.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})


def fill(vault: Vault) -> tuple[list[Backup], list[Backup]]:
    """(what stays, what goes): of two in one week the newer is the proven one of its week, month and year."""
    stays = [vault.add(vault.now - n * DAY) for n in range(5)] + [vault.add(WEDNESDAY)]
    goes = [
        vault.add(WEDNESDAY - DAY),
        vault.add(vault.now - 100 * DAY, "complete"),
        vault.add(vault.now - 3 * DAY - timedelta(hours=1), "failed", bare=True),
    ]
    return stays, goes


@pytest.mark.parametrize("versioned", [False, True], ids=["plain", "versioned"])
def test_old_backups_go_for_good_and_nothing_else_does(
    vault: Vault, stores: Installation, place: Place, versioned: bool
) -> None:
    if versioned:
        keep_versions(place.boto, vault.bucket)
    stays, goes = fill(vault)
    vault.put(folder("database", goes[0].id) + MANIFEST, b"again")
    upload_id = vault.upload(goes[2])
    strange = [
        "database/readme.txt",
        "database/old.bak/dump",
        "elsewhere/dump",
        "database/20200101T000000Z-00000001/x",
    ]
    for key in strange:
        vault.put(key, b"not ours")
    before = vault.versions()
    done = run(JOB, stores, stores.clock())
    assert (done.state, done.planned.count, done.done.count, done.done.bytes) == (
        "verified",
        3,
        3,
        35 + 35 + 30,
    )
    gone = tuple(folder("database", one.id) for one in goes)
    assert vault.versions() == {key: n for key, n in before.items() if not key.startswith(gone)}
    assert set(strange) <= vault.versions().keys()
    rows = {one.id: one.state for one in stores.catalogue.all()}
    assert rows == {one.id: "proven" for one in stays} | {one.id: "expired" for one in goes}
    key = ObjectKey(gone[2] + "dump.zst")
    assert stores.vault.parts(key, upload_id) is None
    assert list(stores.vault_uploads.open()) == []
    told = {one.key: one for _, one in explain([JOB], stores, stores.clock(), "database")}
    assert told["database/readme.txt"].reason == "no folder of a backup"
    assert not {one for one in told if one.startswith(gone)}


def test_a_later_run_finishes_what_was_killed_half_way(vault: Vault, stores: Installation) -> None:
    """As a kill leaves it: the row expired, the manifest gone, parts and an upload still there."""
    _, goes = fill(vault)
    first = goes[0]
    stores.catalogue.move(first.id, ["proven"], "expired", "old")
    vault.boto.delete_object(Bucket=vault.bucket, Key=folder("database", first.id) + MANIFEST)
    upload_id = vault.upload(first)
    assert run(JOB, stores, stores.clock()).done.count == 3
    assert not {key for key in vault.versions() if key.startswith(folder("database", first.id))}
    assert stores.vault.parts(ObjectKey(folder("database", first.id) + "dump.zst"), upload_id) is None
    assert plan(JOB, stores, stores.clock()).planned.count == 0


def test_pinned_after_the_plan_it_stays(vault: Vault, stores: Installation) -> None:
    _, goes = fill(vault)
    planned = plan(JOB, stores, stores.clock())
    stores.catalogue.pin(goes[0].id, "for the auditors")
    before = vault.versions()
    done = apply(planned.id, stores)
    assert stores.runs.details(done.id) == [("skipped", "pinned since the plan: for the auditors", 1)]
    mine = folder("database", goes[0].id)
    after = vault.versions()
    assert {k: n for k, n in after.items() if k.startswith(mine)} == {
        k: n for k, n in before.items() if k.startswith(mine)
    }


def test_without_a_fresh_proven_one_nothing_goes(vault: Vault, stores: Installation) -> None:
    for days in (2, 60, 61, 62, 63):
        vault.add(vault.now - days * DAY)
    before = vault.versions()
    with pytest.raises(Refused, match="newest proven database backup is 48 h old"):
        run(JOB, stores, stores.clock())
    assert vault.versions() == before
