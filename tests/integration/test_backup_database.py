"""A backup of the database, taken and proven on real servers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest

from storage import connect
from storage.backups.database import backup_database
from storage.backups.prove import prove
from storage.backups.site import Site
from storage.errors import BackupDamaged
from tests.conftest import Place

NOW = datetime(2026, 3, 8, tzinfo=UTC)


@pytest.fixture
def site(place: Place) -> Iterator[Site]:
    with connect.stores(place.settings) as stores:
        yield Site(stores=stores, settings=place.settings)


def test_a_backup_is_taken_and_proven(site: Site, add_job: Callable[..., None]) -> None:
    for number in range(50):
        add_job(f"job-{number}", "completed", NOW)
    taken = backup_database(site)
    assert taken.state == "complete"
    assert taken.items >= 50
    proven = prove(site, taken.id)
    assert proven.state == "proven"
    assert ["public.jobs", 50] in [row[:2] for row in proven.certificate["tables"]]
    assert all(row[2] == row[3] for row in proven.certificate["tables"])
    assert site.stores.catalogue.newest_proven("database") == proven


def test_a_flipped_bit_is_found(site: Site, place: Place, add_job: Callable[..., None]) -> None:
    add_job("job-1", "completed", NOW)
    taken = backup_database(site)
    bucket, key = place.settings.backup_bucket, f"database/{taken.id}/dump.zst"
    data = bytearray(place.boto.get_object(Bucket=bucket, Key=key)["Body"].read())
    data[len(data) // 2] ^= 1
    place.boto.put_object(Bucket=bucket, Key=key, Body=bytes(data))
    with pytest.raises(BackupDamaged, match="dump is not what was written"):
        prove(site, taken.id)
    assert site.stores.catalogue.get(taken.id).state == "failed"  # type: ignore[union-attr]
