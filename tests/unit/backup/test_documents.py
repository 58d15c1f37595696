"""Documents of a metadata backup, in memory: reading them, and putting those of a job back."""

from __future__ import annotations

from typing import Any

import pytest

from storage.backup import metadata
from storage.backup.context import BackupContext
from storage.backup.documents import documents, put_back
from storage.backup.metadata import MOST, backup_minio_metadata
from storage.backup.prove import prove
from storage.core.attributes import Attributes
from storage.core.deletion import DeleteTarget
from storage.core.errors import StoreRefused
from storage.core.model import JobId, ObjectInfo, ObjectKey, Prefix
from storage.testing import MemoryObjects, memory_stores
from tests.support.in_memory import DAY, World
from tests.support.metadata_backup import SETTINGS, context_of, fill, lose, read


@pytest.fixture
def context(world: World) -> BackupContext:
    return context_of(world)


HOSTILE = ("a\nb", 'it\'s "so"', "ünï ☃ 🎬", "..", ".", "a//b", "%2F&<>", "x" * 900)


def test_keys_remain_byte_for_byte(world: World, context: BackupContext) -> None:
    keys = [f"processed/{name}/metadata.json" for name in HOSTILE]
    for key in keys:
        world.put(key, DAY, key.encode())
    backup = backup_minio_metadata(context)
    assert prove(context, backup.id).state == "proven"
    manifest, backup_bucket = read(context, backup), context.stores.backup_bucket
    found = {one.key: one.body for one in documents(manifest, backup_bucket, ())}
    assert found == {key: key.encode() for key in keys}
    one = [one.key for one in documents(manifest, backup_bucket, (), Prefix("processed/a\nb/"))]
    assert one == ["processed/a\nb/metadata.json"]


def test_a_document_is_put_back_where_it_is_missing(world: World, context: BackupContext) -> None:
    attributes = Attributes("application/json", "zstd", {"sha256": "00ff"})
    key = "processed/job-1/metadata.json"
    world.objects.put(key, b"one", attributes=attributes)
    world.put("processed/job-10/metadata.json", DAY)
    backup = backup_minio_metadata(context)

    def again(overwrite: bool = False) -> list[str]:
        return [one.result for one in put_back(context, backup.id, JobId("job-1"), overwrite=overwrite)]

    assert again() == ["equal"]
    world.objects.put(key, b"two")
    assert again() == ["kept"]
    with world.objects.open(ObjectKey(key)) as file:
        assert file.read() == b"two"
    assert again(overwrite=True) == ["replaced"]
    lose(world, key)
    assert again() == ["created"]
    found = world.objects.document(ObjectKey(key), MOST)
    assert found and (found.body, found.attributes) == (b"one", attributes)
    assert put_back(context, backup.id, JobId("job-2")) == []


class Racing(MemoryObjects):
    """Store in which another client writes an object just after a HEAD did not find it."""

    def head(self, key: ObjectKey) -> ObjectInfo | None:
        found = super().head(key)
        if found is None:
            self.put(key, b"theirs")
        return found


class Strict(MemoryObjects):
    """Store that refuses a key with a `..` segment, as MinIO does."""

    def create(
        self, key: ObjectKey, data: bytes, attributes: Attributes | None = None, *, over: bool = False
    ) -> None:
        if "/../" in key:
            raise StoreRefused(key, "XMinioInvalidObjectName")
        super().create(key, data, attributes, over=over)


@pytest.mark.parametrize(("kind", "results"), [(Racing, ["kept"] * 2), (Strict, ["refused", "created"])])
def test_a_document_that_cannot_be_put_back(world: World, kind: Any, results: list[str]) -> None:
    objects: MemoryObjects = kind(world.now)
    for name in ("../b", "a"):
        objects.put(f"processed/job-1/{name}/metadata.json", b"ours")
    context = BackupContext(stores=memory_stores(None, world.now, objects=objects), settings=SETTINGS)
    backup = backup_minio_metadata(context)
    every = list(objects.inventory())
    objects.delete([DeleteTarget(info.key, info.etag) for info in every])
    assert [one.result for one in put_back(context, backup.id, JobId("job-1"))] == results


def test_parts_behind_a_job_are_not_fetched(
    world: World, context: BackupContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metadata, "DOCUMENTS", 1)
    fill(world, jobs=10)
    manifest, backup_bucket = read(context, backup_minio_metadata(context)), context.stores.backup_bucket
    assert isinstance(backup_bucket, MemoryObjects)
    backup_bucket.requests.clear()
    assert len(list(documents(manifest, backup_bucket, (), Prefix("processed/job-0002/")))) == 1
    assert backup_bucket.requests["get"] == 4
