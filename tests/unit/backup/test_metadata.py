"""The metadata backup, in memory: requests, parts, facts, and the comparison with the previous backup."""

from __future__ import annotations

from typing import Any

import pytest

from storage.backup import metadata
from storage.backup.context import BackupContext
from storage.backup.documents import documents
from storage.backup.errors import ListingDeviates
from storage.backup.metadata import MOST, backup_minio_metadata
from storage.backup.prove import prove
from storage.core.attributes import Attributes, Document
from storage.core.errors import ListingBroken
from storage.core.model import ObjectInfo, ObjectKey, Prefix
from storage.testing import MemoryObjects, memory_stores
from tests.support.in_memory import DAY, NOW, World
from tests.support.metadata_backup import SETTINGS, context_of, facts, fill, lose, part_lines, read


@pytest.fixture
def context(world: World) -> BackupContext:
    return context_of(world)


def test_requests_are_the_pages_the_documents_and_a_constant(world: World, context: BackupContext) -> None:
    fill(world, jobs=60, segments=50)
    world.count_from_here()
    assert backup_minio_metadata(context).items == 3060
    asked = world.objects.requests
    assert (asked["list"], asked["get"], asked["head"]) == (4, 60, 0)
    assert asked.total() <= 4 + 60 + 4


def test_details_cost_two_requests_an_object(world: World, context: BackupContext) -> None:
    world.objects.put("a", b"x", attributes=Attributes("video/mp2t", "", {"codec": "h264"}))
    backup = backup_minio_metadata(context, details=True)
    [line] = part_lines(context, read(context, backup).part("objects-00001"))
    assert (line["content_type"], line["metadata"], line["tags"]) == ("video/mp2t", {"codec": "h264"}, {})
    assert (world.objects.requests["head"], world.objects.requests["tags"]) == (1, 1)
    assert prove(context, backup.id).state == "proven"


def test_the_facts_are_those_of_the_bucket(world: World, context: BackupContext) -> None:
    fill(world, jobs=2, segments=1)
    world.put("temp/x", DAY, b"12345")
    world.put("loose", DAY, b"1")
    found = facts(context, backup_minio_metadata(context))
    assert found.by_prefix == {"": (1, 1), "processed/": (4, 28), "temp/": (1, 5)}
    assert (found.objects, found.bytes, found.lasting, found.documents) == (6, 34, 5, 2)
    assert (found.first_key, found.last_key, found.taken_at) == ("loose", "temp/x", NOW)


def test_parts_end_at_so_many_lines(
    world: World, context: BackupContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metadata, "LINES", 10)
    monkeypatch.setattr(metadata, "DOCUMENTS", 2)
    fill(world, jobs=5, segments=7)
    for number in range(5):
        world.put(f"processed/small-{number}/metadata.json", DAY)
    world.put("uploads/a", DAY)
    backup = backup_minio_metadata(context)
    manifest = read(context, backup)
    inventory = [part_lines(context, part) for part in manifest.parts if part.name.startswith("objects-")]
    keys = [line["key"] for lines in inventory for line in lines]
    assert keys == sorted(world.keys())
    assert max(map(len, inventory)) == 10
    held = [part_lines(context, part) for part in manifest.parts if part.name.startswith("documents-")]
    assert max(map(len, held)) == 2
    met = [one.key for one in documents(manifest, context.stores.backup_bucket, ())]
    assert met == [key for key in keys if key.endswith("metadata.json")]
    assert prove(context, backup.id).state == "proven"


def test_a_bucket_with_nothing_in_it(context: BackupContext) -> None:
    backup = backup_minio_metadata(context)
    assert [part.name for part in read(context, backup).parts] == ["configuration"]
    assert prove(context, backup.id).certificate["sample"]["objects"] == 0


def test_only_the_jobs_own_documents_are_met(world: World, context: BackupContext) -> None:
    for key in (
        "metadata.json",
        "temp/j/metadata.json",
        "processed/j/metadata.json.bak",
        "processed/j/my-metadata.json",
    ):
        world.put(key, DAY)
    for key in ("processed/j/metadata.json", "processed/j/hls/metadata.json", "processed/metadata.json"):
        world.put(key, DAY)
    assert facts(context, backup_minio_metadata(context)).documents == 3


def test_completed_jobs_without_a_document_are_reported(world: World, context: BackupContext) -> None:
    fill(world, jobs=3)
    world.put("processed/nested/hls/metadata.json", DAY)
    for id in ("job-0000", "job-0001", "lost", "nested"):
        world.job(id, "completed", DAY)
    world.job("job-0002", "failed", DAY)
    assert facts(context, backup_minio_metadata(context)).missing_documents == 2


class Changing(MemoryObjects):
    """Store in which objects vanish or grow after they were listed and before they are fetched."""

    def document(self, key: ObjectKey, most: int) -> Document | None:
        if "gone" in key:
            self._versions.pop(key, None)
        if "grown" in key:
            self._write(key, bytes(MOST + 1), NOW)
        return super().document(key, most)


def test_a_document_too_large_or_gone_is_named(world: World) -> None:
    objects = Changing(world.now)
    for name, size in (("gone", 1), ("grown", 1), ("large", MOST + 1), ("largest", MOST)):
        objects.put(f"processed/{name}/metadata.json", bytes(size))
    context = BackupContext(stores=memory_stores(None, world.now, objects=objects), settings=SETTINGS)
    found = facts(context, backup_minio_metadata(context))
    assert (found.documents, found.left_out) == (1, 3)
    assert objects.requests["get"] == 3  # the listing showed that `large` is too large
    assert {key.split("/")[1]: why for key, why in found.left_out_why.items()} == {
        "gone": "gone since it was listed",
        "grown": "over 16 MiB",
        "large": "over 16 MiB",
    }


class Unordered(MemoryObjects):
    """Store that lists the same page repeatedly, as some do under load."""

    def scan(self, prefix: Prefix) -> Any:
        yield from [*super().scan(prefix)] * 2


def test_a_listing_out_of_order_is_no_backup(world: World) -> None:
    objects = Unordered(world.now)
    objects.put("a", b"")
    context = BackupContext(stores=memory_stores(None, world.now, objects=objects), settings=SETTINGS)
    with pytest.raises(ListingBroken, match="was listed after"):
        backup_minio_metadata(context)


@pytest.mark.parametrize(("before", "after", "refused"), [
    (100, 79, True), (100, 80, False), (100, 120, False), (100, 121, True), (99, 1, False), (100, 0, True),
])  # fmt: skip
def test_a_listing_far_from_the_last_one(
    world: World, context: BackupContext, before: int, after: int, refused: bool
) -> None:
    for number in range(before):
        world.put(f"uploads/{number}", DAY)
    first = backup_minio_metadata(context)
    world.time += DAY
    lose(world, *world.keys())
    for number in range(after):
        world.put(f"uploads/{number}", DAY)
    for number in range(200):
        world.put(f"temp/{number}", DAY)
    if not refused:
        assert backup_minio_metadata(context).state == "complete"
        return
    with pytest.raises(ListingDeviates, match=f"lists {after} .* has {before}"):
        backup_minio_metadata(context)
    failed = next(one for one in context.stores.catalogue.all() if one.id != first.id)
    assert failed.state == "failed"
    assert not any(
        info.key.endswith(f"{failed.id}/manifest.json") for info in context.stores.backup_bucket.inventory()
    )
    world.time += DAY
    assert backup_minio_metadata(context, accept=True).state == "complete"
    assert backup_minio_metadata(context).state == "complete"  # now compared with the accepted backup


def test_a_damaged_backup_is_no_measure(world: World, context: BackupContext) -> None:
    for number in range(100):
        world.put(f"uploads/{number}", DAY)
    backup_minio_metadata(context)
    world.time += DAY
    world.put("uploads/another", DAY)
    damaged = backup_minio_metadata(context)
    world.stores.backup_bucket.put(f"metadata/{damaged.id}/manifest.json", b"{}")  # type: ignore[attr-defined]
    lose(world, *world.keys())
    with pytest.raises(ListingDeviates, match="has 100"):
        backup_minio_metadata(context)


@pytest.mark.parametrize(("cost", "most"), [(0, 32), (16 << 20, 4)])
def test_no_more_is_fetched_ahead_than_is_allowed(cost: int, most: int) -> None:
    """At most 32 results, and at most 64 MiB of results, wait at a time."""
    begun = list[int]()
    results = metadata.ahead(lambda item: begun.append(item) or item, range(100), lambda item: cost)
    for taken, result in enumerate(results, 1):
        assert result == taken - 1
        assert len(begun) <= taken + most
    assert sorted(begun) == list(range(100))


def test_many_prefixes_are_counted_together(
    world: World, context: BackupContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metadata, "PREFIXES", 2)
    for key in ("a/1", "b/1", "c/1", "d/1", "temp/1", "z/1"):
        world.put(key, DAY, b"12")
    backup = backup_minio_metadata(context)
    counted = facts(context, backup).by_prefix
    assert counted == {"a/": (1, 2), "b/": (1, 2), "others": (3, 6), "temp/": (1, 2)}
    assert prove(context, backup.id).state == "proven"


def test_a_hundred_documents_left_out_are_named(world: World) -> None:
    objects = Changing(world.now)
    for number in range(150):
        objects.put(f"processed/gone-{number}/metadata.json", b"")
    context = BackupContext(stores=memory_stores(None, world.now, objects=objects), settings=SETTINGS)
    found = facts(context, backup_minio_metadata(context))
    assert (found.left_out, len(found.left_out_why)) == (150, 100)


def test_an_entry_carries_what_the_listing_reported(world: World, context: BackupContext) -> None:
    info: ObjectInfo = world.objects.put("a/b", b"data", NOW - DAY)
    [line] = part_lines(context, read(context, backup_minio_metadata(context)).part("objects-00001"))
    assert line == {
        "key": "a/b",
        "size": 4,
        "etag": info.etag,
        "class": "STANDARD",
        "last_modified": "2026-03-07T02:00:00+00:00",
    }
