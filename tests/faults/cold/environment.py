"""Environment of the cold-data fault campaign: one job's objects as written, and their invariants."""

from __future__ import annotations

import hashlib
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from minio import Minio
from minio.commonconfig import CopySource

from devstack.objectstore import ObjectStore
from devstack.postgres import Postgres
from storage import connect
from storage.cli.installation import probe_now
from storage.cold import decompressing_reader
from storage.cold.model import ColdRecord, Details, compression_of, without_compression
from storage.core.attributes import Attributes
from storage.core.clock import utcnow
from storage.core.errors import StorageError
from storage.core.model import ObjectKey
from storage.core.tiers import TIER_TAG
from storage.installation import Installation
from storage.lifecycle.document import read as rules_of
from storage.lifecycle.s3 import S3Lifecycle
from tests.faults.cleanup.environment import Environment, environment
from tests.faults.cleanup.scenarios import UPLOADS
from tests.faults.cold.things import JOB, Thing
from tests.faults.servers import Place, make_place, servers
from tests.support import remote_tier

RULES = "all smallest=0"
TARGET = {"minio": remote_tier.TIER, "ministack": "GLACIER_IR"}  # storage class of the tier cold
ARRIVES = 15.0  # seconds within which tagged objects must have moved to a remote tier
_CLEAR = " ".join(
    f"DELETE FROM {name};"
    for name in (
        "maintenance.batches", "maintenance.runs", "maintenance.tombstones", "maintenance.claims",
        "maintenance.uploads", "maintenance.cold_objects", "maintenance.savings", "maintenance.accesses",
        "maintenance.cold_pins", "maintenance.lifecycle_versions", "jobs",
        "maintenance.control WHERE name NOT IN ('identity', 'history_from', 'fresh_backup_guard')",
    )
)  # fmt: skip
_MEMORIES = "key, etag, size, coding, skipped, tier, tier_state, asked_at"
_STEADY = (
    f"SELECT {_MEMORIES} FROM maintenance.cold_objects ORDER BY key",
    "SELECT id, key, kind, etag FROM maintenance.savings ORDER BY id",
    "SELECT upload_id FROM maintenance.uploads ORDER BY upload_id",
    "SELECT number, state, sha256 FROM maintenance.lifecycle_versions ORDER BY number",
    "SELECT id, status, updated_at FROM jobs ORDER BY id",
)
#: An operator's own lifecycle rules, which must not be changed by the product.
OPERATORS = (
    {
        "ID": "ops logs",
        "Status": "Enabled",
        "Filter": {"And": {"Prefix": "logs/", "Tags": [{"Key": "team", "Value": "a & b"}]}},
        "Expiration": {"Days": 400},
    },
    {"ID": "ops old", "Status": "Disabled", "Filter": {"Prefix": "old/"}, "Expiration": {"Days": 9}},
)


@dataclass
class ColdEnvironment:
    """A bucket with objects of one completed job. Its stores are the product's own."""

    environment: Environment
    things: Mapping[ObjectKey, Thing] = field(default_factory=dict)
    was: dict[ObjectKey, tuple[Attributes, dict[str, str]]] = field(default_factory=dict)
    bytes: int = 0
    rules: tuple[bytes, ...] = ()

    @property
    def stores(self) -> Installation:
        return self.environment.stores

    @property
    def bucket(self) -> str:
        return self.environment.settings.bucket

    @property
    def target(self) -> str:
        return TARGET[self.environment.kind]

    @property
    def lifecycle(self) -> S3Lifecycle:
        return S3Lifecycle(connect.endpoint(self.environment.settings), self.stores.objects.bucket)

    # --- setup ---------------------------------------------------------------------------------
    def lay(self, things: Sequence[Thing]) -> None:
        """Reset the bucket to exactly these objects, whatever a trial left."""
        self.things = {one.key: one for one in things}
        self.environment.forget_last_run()
        self._rows()
        self._uploads_go()
        self.install()
        for key in self.listed().keys() - self.things.keys():
            self.environment.boto.delete_object(Bucket=self.bucket, Key=key)
        for one in things:
            self.environment.boto.put_object(Bucket=self.bucket, Key=one.key, Body=one.data, **one.carried)
        self.was = {key: self._carried(self.stores.replacer.details(key)) for key in self.things}
        self.bytes = sum(size for size, _ in self.listed().values())

    def install(self, *more: Mapping[str, Any], managed: bool = True) -> None:
        """Install the operator's lifecycle rules, and on MinIO the rule that moves tagged objects."""
        own = [remote_tier.rule()] if managed and self.environment.kind == "minio" else []
        remote_tier.install(self.environment.boto, self.bucket, *map(dict, OPERATORS), *own, *map(dict, more))
        self.rules = self.foreign()

    def _rows(self) -> None:
        then = utcnow() - timedelta(days=100)
        self.environment.sql(_CLEAR)
        self.environment.sql(
            "INSERT INTO jobs (id, status, updated_at, completed_at) VALUES (%s, 'completed', %s, %s)",
            JOB, then, then,
        )  # fmt: skip

    def _uploads_go(self) -> None:
        for key, id in self.uploads():
            self.environment.boto.abort_multipart_upload(Bucket=self.bucket, Key=key, UploadId=id)

    # --- inspection ----------------------------------------------------------------------------
    def listed(self) -> dict[str, tuple[int, str]]:
        """Return stored size and storage class by key, without the bucket's own marker."""
        answer = self.environment.boto.list_objects_v2(Bucket=self.bucket).get("Contents", ())
        return {
            one["Key"]: (one["Size"], one.get("StorageClass", "STANDARD"))
            for one in answer
            if not one["Key"].startswith(".")
        }

    def uploads(self) -> list[tuple[str, str]]:
        """Return key and id of each incomplete upload. Lists without a prefix: with one, MinIO lists none.

        MinIO answers from a cache, which keeps an upload that ended while it began: ended ones are left out.
        """
        answer = self.environment.boto.list_multipart_uploads(Bucket=self.bucket).get("Uploads", ())
        found = [(one["Key"], one["UploadId"]) for one in answer]
        return [one for one in found if self.stores.objects.parts(ObjectKey(one[0]), one[1]) is not None]

    def foreign(self) -> tuple[bytes, ...]:
        return tuple(sorted(piece.raw for piece in rules_of(self.lifecycle.get()).foreign))

    def details(self, key: ObjectKey) -> Details:
        return self.stores.replacer.details(key)

    def _carried(self, seen: Details) -> tuple[Attributes, dict[str, str]]:
        """Return the attributes and tags that the product did not add."""
        tags = self.stores.replacer.tags(seen.info.key)
        tags.pop(TIER_TAG, None)
        return without_compression(seen.attributes), tags

    def records(self) -> dict[str, ColdRecord]:
        return self.stores.cold.get_records(list(self.things))

    def ledger(self) -> Counter[tuple[str, str]]:
        """Return the number of ledger entries by key and kind."""
        return Counter(self.environment.sql("SELECT key, kind FROM maintenance.savings"))  # type: ignore[arg-type]

    def print(self) -> tuple[Any, ...]:
        """Return all state that an act with nothing left to do leaves unchanged."""
        objects = [(key, self.details(key), self.stores.replacer.tags(key)) for key in sorted(self.things)]
        return objects, self.listed(), [self.environment.sql(one) for one in _STEADY], self.lifecycle.get()

    # --- checks --------------------------------------------------------------------------------
    def always(self) -> Iterator[str]:
        """Yield violations of the invariants that hold at every instant."""
        found = self.listed()
        yield from (f"object lost: {key}" for key in self.things.keys() - found.keys())
        yield from (f"object out of nowhere: {key}" for key in found.keys() - self.things.keys())
        for key in self.things.keys() & found.keys():
            yield from self.wrong(key)
        if self.foreign() != self.rules:
            yield "lifecycle rules of others were touched"

    def wrong(self, key: ObjectKey) -> Iterator[str]:
        """Yield differences of an object from what its owner wrote."""
        try:
            data = b"".join(decompressing_reader.read(self.stores.replacer, key))
        except StorageError as error:
            yield f"{key} cannot be read: {error}"
            return
        if hashlib.sha256(data).digest() != hashlib.sha256(self.things[key].data).digest():
            yield f"{key} reads as other bytes: {len(data)} of them"
        carried = self._carried(self.details(key))
        if carried != self.was[key]:
            yield f"{key} bears {carried}, and its owner gave it {self.was[key]}"

    def books(self) -> Iterator[str]:
        """Yield ledger sums and cold records that do not match the stored objects."""
        (saved,) = self.environment.sql(
            "SELECT coalesce(sum(before_bytes - after_bytes), 0) FROM maintenance.savings"
            " WHERE kind IN ('compress', 'decompress')"
        )
        now = sum(size for size, _ in self.listed().values())
        if saved[0] != self.bytes - now:
            yield f"the ledger says {saved[0]} bytes were saved, two listings {self.bytes - now}"
        for key, record in self.records().items():
            yield from self._misremembered(ObjectKey(key), record)

    def _misremembered(self, key: ObjectKey, record: ColdRecord) -> Iterator[str]:
        seen = self.details(key)
        coded = compression_of(key, seen.attributes) is not None
        if (record.etag, record.size) != (seen.info.etag, seen.info.size):
            yield f"of {key} another form is remembered"
        if coded != (record.compression == "compressed"):
            yield f"{key} is remembered as {record.compression!r}"
        moved = seen.info.storage_class == self.target
        if (record.tier, record.tier_state) != (("cold", "held") if moved else ("hot", "")):
            yield f"{key} is in {seen.info.storage_class}, remembered as {record.tier} {record.tier_state}"

    def unfinished(self) -> Iterator[str]:
        """Yield uploads that the nightly job does not find and abort."""
        if self.uploads() or self.stores.uploads.open():
            UPLOADS(self.stores, "abort")
        yield from (f"an upload of {key} is left for ever" for key, _ in self.uploads())

    def until_moved(self, keys: Iterable[ObjectKey]) -> None:
        """Wait until the tagged objects are in the remote tier, by requests that are not watched as effects.

        MinIO's scanner visits a folder in every sixteenth of its cycles; a copy of the object onto itself
        makes it evaluate the rules at once.
        """
        client = connect.endpoint(self.environment.settings).minio()
        waiting, until = [key for key in keys if self._nudged(client, key)], time.monotonic() + ARRIVES
        while waiting and time.monotonic() < until:
            threading.Event().wait(0.01)  # time.sleep is shortened in a child with a fault
            waiting = [key for key in waiting if not self._moved(client, key)]

    def _nudged(self, client: Minio, key: ObjectKey) -> bool:
        """Trigger the move of an object that is tagged but not in the tier yet; false for any other."""
        tags = client.get_object_tags(bucket_name=self.bucket, object_name=key)
        if tags is None or TIER_TAG not in tags or self._moved(client, key):
            return False
        source = CopySource(bucket_name=self.bucket, object_name=key)
        client.copy_object(
            bucket_name=self.bucket, object_name=key, source=source, tags=tags, tagging_directive="REPLACE"
        )
        return True

    def _moved(self, client: Minio, key: ObjectKey) -> bool:
        seen = client.stat_object(bucket_name=self.bucket, object_name=key)
        return (seen.metadata or {}).get("x-amz-storage-class") == self.target


def make_cold_environment(store: ObjectStore, database: Postgres, home: Path, number: int = 0) -> Place:
    """Set up and probe a place with the settings of cold data. MinIO must know its remote tier already."""
    settings, kind = make_place(store, database, home, number)
    tiers = "cold=COLD" if kind == "minio" else "cold=GLACIER_IR"
    settings = replace(settings, cold_rules=RULES, tiers=tiers)
    probe_now(settings)
    return settings, kind


@contextmanager
def open_cold_environment(place: Place) -> Iterator[ColdEnvironment]:
    with environment(*place) as here:
        yield ColdEnvironment(here)


@contextmanager
def cellars(kind: str, count: int) -> Iterator[list[Place]]:
    """Start PostgreSQL and a store of that kind, MinIO with a remote tier; set up ``count`` places."""
    with servers(kind) as (store, database, home), ExitStack() as stack:
        if kind == "minio":
            stack.enter_context(remote_tier.second_minio(home / "cold", store))
        yield [make_cold_environment(store, database, home, number) for number in range(count)]
