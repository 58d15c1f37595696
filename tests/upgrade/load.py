"""Loading a fixture's database, objects and temp folder unchanged onto servers of today."""

from __future__ import annotations

import json
import secrets
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from devstack.objectstore import ObjectStore
from devstack.postgres import Postgres
from tests.conftest import Place, buckets, empty
from tests.support import backup_databases
from tests.upgrade import database, product, stored
from tests.upgrade.make_fixture import DATABASE, FACTS, KEY, OBJECTS, TEMP

FIXTURES = Path(__file__).parent / "fixtures"


@dataclass(frozen=True)
class Loaded:
    """An installation of an earlier version, on servers of today."""

    place: Place
    facts: dict[str, Any]

    @property
    def runs(self) -> dict[str, dict[str, Any]]:
        """Return the runs that the facts name."""
        return dict(self.facts["runs"])

    def sql(self, statement: str) -> list[tuple[Any, ...]]:
        """Return the rows of a statement on the live database."""
        return database.execute(self.place.settings.database_url, statement)


def facts_of(folder: Path) -> dict[str, Any]:
    """Return the fixture's facts; assert that it was made in the past."""
    facts: dict[str, Any] = json.loads((folder / FACTS).read_text())
    made = datetime.fromisoformat(facts["made_at"])
    assert made < datetime.now(UTC), f"the clock of this machine is before {made}, when the fixture was made"
    return facts


@contextmanager
def loaded(folder: Path, store: ObjectStore, server: Postgres, scratch: Path) -> Iterator[Loaded]:
    """Load the fixture; delete its database and its buckets in the end."""
    facts = facts_of(folder)
    with backup_databases.database(server, f"upgrade_{secrets.token_hex(4)}") as url:
        settings = _settings(folder, facts, store, url, scratch)
        place = Place(settings, store.kind, product.client(settings))
        try:
            _objects(place, folder, facts)
            database.load(url, folder / DATABASE)
            with tarfile.open(folder / TEMP) as file:
                file.extractall(settings.temp_dir, filter="data")
            _move(place, facts)
            yield Loaded(place, facts)
        finally:
            for bucket in buckets(settings):
                empty(place.boto, bucket)


def _settings(
    folder: Path, facts: dict[str, Any], store: ObjectStore, url: str, scratch: Path
) -> product.Settings:
    """Return the installation's own settings, bucket names included, with today's servers."""
    temp = scratch / "temp"
    temp.mkdir()
    key_file = scratch / KEY
    key_file.write_bytes((folder / KEY).read_bytes())
    return product.Settings(
        endpoint_url=store.endpoint_url,
        access_key=store.access_key,
        secret_key=store.secret_key,
        region=store.region,
        database_url=url,
        temp_dir=str(temp),
        backup_identity_file=str(key_file),
        **facts["settings"],
    )


def _objects(place: Place, folder: Path, facts: dict[str, Any]) -> None:
    """Load objects with their dates, after the bucket's lifecycle rules, which move the tagged objects."""
    rules = {"Rules": facts["lifecycle"]}
    bucket = place.settings.bucket
    stored.load(
        place.boto,
        folder / OBJECTS,
        lambda: place.boto.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration=rules),
    )


def tier_class(facts: dict[str, Any]) -> str:
    """Return the storage class that an object in the cold tier shows."""
    return str(facts["settings"]["tiers"].removeprefix("cold="))


def _move(place: Place, facts: dict[str, Any]) -> None:
    """Rewrite the data that identifies the machine: an endpoint, a path, and inodes.

    The endpoint is the key of the probed capabilities, which are the same for every store of that kind.
    """
    url, root = place.settings.database_url, product.temp_root(place.settings)
    assert place.kind == facts["store"]
    database.execute(url, "UPDATE maintenance.capabilities SET endpoint = %s", [place.settings.endpoint_url])
    rows = database.execute(
        url, "SELECT id, key, held_at, seen FROM maintenance.tombstones WHERE kind = 'file'"
    )
    for id, key, held_at, seen in rows:
        there = [path for path in (Path(root, held_at), Path(root, key)) if path.exists()]
        mtime = seen.split(" ")[0]
        inode = there[0].stat().st_ino if there else 0
        assert not there or there[0].stat().st_mtime_ns == int(mtime)
        database.execute(
            url,
            "UPDATE maintenance.tombstones SET place = %s, seen = %s WHERE id = %s",
            [root, f"{mtime} {inode}", id],
        )


def introduce(on: Loaded) -> None:
    """Record the new database's identity, as every server gives another; the bucket still has its marker.

    Without this the guard refuses, as it should for an unknown database.
    """
    [(known,)] = on.sql("SELECT value FROM maintenance.control WHERE name = 'identity'")
    found = product.identity(on.place.settings)
    assert known.split(" ")[0] == found.split(" ")[0]
    product.control(on.place.settings, "identity", found)
