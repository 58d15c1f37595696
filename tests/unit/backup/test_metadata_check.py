"""Proof of a metadata backup, in memory: forgeries are found, later changes of the bucket are reported."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from typing import Any

import pytest

from storage.backup import manifest as manifests
from storage.backup import metadata_check
from storage.backup.context import BackupContext
from storage.backup.encryption import seal
from storage.backup.errors import BackupDamaged, NotProven
from storage.backup.metadata import backup_minio_metadata
from storage.backup.model import Backup
from storage.backup.prove import prove
from storage.core.errors import Refused, StorageError
from storage.core.model import ObjectInfo, ObjectKey
from storage.testing import MemoryObjects
from tests.support.in_memory import DAY, NOW, World
from tests.support.metadata_backup import Lines, context_of, fill, lose, part_lines, read


@pytest.fixture
def context(world: World) -> BackupContext:
    return context_of(world)


def forge(
    context: BackupContext, backup: Backup, name: str, edit: Callable[[Lines], Any], **changes: Any
) -> None:
    """Edit a part's lines and recompute every hash, as an attacker with full write access could."""
    manifest = read(context, backup)
    lines = part_lines(context, manifest.part(name))
    edit(lines)
    sink = io.BytesIO()
    seal(io.BytesIO(b"".join(json.dumps(line).encode() + b"\n" for line in lines)), sink)
    backup_bucket, data = context.stores.backup_bucket, sink.getvalue()
    assert isinstance(backup_bucket, MemoryObjects)
    parts = tuple(
        replace(part, size=len(data), sha256=sha256(data).hexdigest()) if part.name == name else part
        for part in manifest.parts
    )
    forged = manifests.encode(replace(manifest, parts=parts, facts=replace(manifest.metadata, **changes)))
    backup_bucket.put(manifest.part(name).key, data)
    backup_bucket.put(manifest.key, forged)
    context.stores.catalogue.save(replace(backup, manifest_sha256=sha256(forged).hexdigest()))


def body(text: bytes) -> str:
    return base64.b64encode(text).decode()


FORGERIES: dict[str, tuple[str, Callable[[Lines], Any], type[StorageError], str]] = {
    "etag": ("objects-00001", lambda x: x[5].update(etag="0" * 32), NotProven, "was not written since"),
    "dropped": ("objects-00001", lambda x: x.pop(), BackupDamaged, "objects is 39, by its manifest 40"),
    "twice": ("objects-00001", lambda x: x.insert(1, x[0]), BackupDamaged, "out of order"),
    "swapped": ("objects-00001", lambda x: x.insert(0, x.pop()), BackupDamaged, "out of order"),
    "resized": ("objects-00001", lambda x: x[3].update(size=9), BackupDamaged, "by its parts bytes is"),
    "renamed-last": ("objects-00001", lambda x: x[-1].update(key="q"), BackupDamaged, "last_key is 'q'"),
    "no-number": ("objects-00001", lambda x: x[2].update(size="4"), BackupDamaged, "line 3 of its part"),
    "no-etag": ("objects-00001", lambda x: x[2].update(etag=4), BackupDamaged, "line 3 of its part"),
    "no-key": ("objects-00001", lambda x: x[0].update(key=""), BackupDamaged, "line 1 of its part"),
    "no-object": ("objects-00001", lambda x: x[1].clear(), BackupDamaged, "line 2 of its part"),
    "body": ("documents-00001", lambda x: x[4].update(body=body(b'{"job": 5}')), NotProven, "MD5 of"),
    "short-body": ("documents-00001", lambda x: x[4].update(body=""), BackupDamaged, "0 bytes, not 10"),
    "no-base64": ("documents-00001", lambda x: x[4].update(body="%"), BackupDamaged, "line 5 of its part"),
    "documents-swapped": ("documents-00001", lambda x: x.insert(0, x.pop()), BackupDamaged, "out of order"),
    "no-document": ("documents-00001", lambda x: x.pop(), BackupDamaged, "documents is 9"),
}  # fmt: skip


@pytest.mark.parametrize("name", FORGERIES)
def test_a_forged_part_is_found(world: World, context: BackupContext, name: str) -> None:
    fill(world, jobs=10)
    part, edit, error, words = FORGERIES[name]
    backup = backup_minio_metadata(context)
    forge(context, backup, part, edit)
    with pytest.raises(error, match=words):
        prove(context, backup.id)
    assert context.stores.catalogue.get(backup.id).state == "failed"  # type: ignore[union-attr]


FALSE_FACTS = {
    "objects": 41, "bytes": 0, "documents": 11, "first_key": "a", "last_key": "z",
    "by_prefix": {"a/": (40, 1)},
}  # fmt: skip


@pytest.mark.parametrize("name", FALSE_FACTS)
def test_a_forged_fact_is_found(world: World, context: BackupContext, name: str) -> None:
    fill(world, jobs=10)
    backup = backup_minio_metadata(context)
    forge(context, backup, "objects-00001", lambda lines: None, **{name: FALSE_FACTS[name]})
    with pytest.raises(BackupDamaged, match=f"by its parts {name} is"):
        prove(context, backup.id)


def test_the_sample_tells_what_changed_since(world: World, context: BackupContext) -> None:
    fill(world, jobs=10)
    backup = backup_minio_metadata(context)
    world.objects.put("processed/job-0003/metadata.json", b"new")
    lose(world, "processed/job-0004/metadata.json")
    certificate = prove(context, backup.id).certificate
    assert certificate["sample"] == {"objects": 40, "equal": 38, "written_since": 1, "gone": 1}
    assert (certificate["objects"], certificate["documents"]) == (40, 10)


@pytest.mark.parametrize(("before", "left", "proven"), [
    (40, 20, True), (40, 19, False), (20, 9, False), (19, 0, True),
])  # fmt: skip
def test_a_bucket_that_lost_most_of_it_proves_nothing(
    world: World, context: BackupContext, before: int, left: int, proven: bool
) -> None:
    for number in range(before):
        world.put(f"uploads/{number:02}", DAY)
    for number in range(60):
        world.put(f"temp/{number:02}", DAY)
    backup = backup_minio_metadata(context)
    there = world.keys()
    lost = [key for key in there if key.startswith("temp/") or key >= f"uploads/{left:02}"]
    lose(world, *lost)
    if proven:
        assert prove(context, backup.id).certificate["sample"]["gone"] == len(lost)
        return
    with pytest.raises(Refused, match=f"{before - left} of {before} sampled objects outside temp/"):
        prove(context, backup.id)
    row = context.stores.catalogue.get(backup.id)
    assert row
    assert row.state == "complete", "it is whole, and perhaps all there is"


def test_a_sample_is_a_hundred_of_many_from_everywhere(world: World, context: BackupContext) -> None:
    for number in range(5000):
        world.put(f"uploads/{number:04}", DAY)
    backup = backup_minio_metadata(context)
    world.count_from_here()
    assert prove(context, backup.id).certificate["sample"]["equal"] == 100
    assert world.objects.requests == {"head": 100}


def test_every_object_may_be_drawn() -> None:
    """Over a hundred samples of two thousand objects the drawn positions average to the middle."""
    every = [ObjectInfo(ObjectKey(f"{number}"), number, NOW, "") for number in range(2000)]
    drawn: list[ObjectInfo] = []
    for _ in range(100):
        one: list[ObjectInfo] = []
        assert list(metadata_check._drawing(iter(every), one)) == every
        assert len(set(one)) == 100
        drawn += one
    assert 970 < sum(info.size for info in drawn) / len(drawn) < 1030
