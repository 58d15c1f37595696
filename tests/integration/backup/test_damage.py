"""Tampered backups: every altered copy is recognised, and the error names the damaged object."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pyrage
import pytest

from storage.backup import manifest as manifests
from storage.backup.context import BackupContext
from storage.backup.database import backup_database
from storage.backup.errors import BackupDamaged, NoSuchBackup
from storage.backup.model import BackupId, Manifest
from storage.backup.prove import prove
from storage.backup.rebuild import of_bucket
from storage.installation import open_installation
from storage.stores.s3 import bucket as s3
from tests.conftest import Place
from tests.support.backup_databases import NOON, Bucket, fill, opened, sealed_to, verified

Alteration = tuple[str, dict[str, bytes | None], str]  # name, objects to write, pattern of the error
PART = 5 << 20  # bytes; the smallest part size that S3 accepts
MANIFEST_WORDS = "manifest|There is no backup"


@pytest.fixture
def bucket(place: Place) -> Bucket:
    return Bucket(place)


@pytest.fixture
def context(place: Place) -> Iterator[BackupContext]:
    with opened(place.settings) as context:
        yield context


def flips(data: bytes, count: int) -> Iterator[tuple[str, bytes]]:
    """Yield copies of the bytes with one bit flipped, at positions spread from the first to the last."""
    for number in range(count):
        place, bit = number * (len(data) - 1) // (count - 1), number % 8
        turned = bytearray(data)
        turned[place] ^= 1 << bit
        yield f"bit {bit} of byte {place}", bytes(turned)


def cuts(data: bytes, boundaries: tuple[int, ...]) -> Iterator[tuple[str, bytes]]:
    for length in sorted({0, 1, 4, len(data) // 2, len(data) - 4, len(data) - 1, *boundaries}):
        if 0 <= length < len(data):
            yield f"cut to {length}", data[:length]
    yield "one byte longer", data + b"\0"
    yield "twice", data * 2


def damaged(
    bucket: Bucket, id: BackupId, count: int, boundaries: tuple[int, ...] = ()
) -> Iterator[Alteration]:
    """Yield each object of a backup with flipped bits, truncated, longer, zeroed and missing."""
    for key in bucket.keys:
        if not key.startswith(f"database/{id}/") or "certificate" in key:
            continue
        data, name = bucket.get(key), key.rpartition("/")[2].partition(".")[0]
        word = MANIFEST_WORDS if name == "manifest" else name
        for what, altered in (*flips(data, count), *cuts(data, boundaries)):
            yield f"{key}: {what}", {key: altered}, word
        yield f"{key}: zeroes", {key: bytes(len(data))}, word
        yield f"{key}: gone", {key: None}, word


def exchanged(bucket: Bucket, id: BackupId, other: BackupId) -> Iterator[Alteration]:
    """Yield backups with objects swapped with each other or replaced by those of another backup."""
    mine, theirs = f"database/{id}/", f"database/{other}/"
    names = [key.removeprefix(mine) for key in bucket.keys if key.startswith(mine)]
    dump, roles = (next(n for n in names if n.startswith(word)) for word in ("dump", "globals"))
    swapped = {mine + dump: bucket.get(mine + roles), mine + roles: bucket.get(mine + dump)}
    yield "parts swapped", dict(swapped), "dump"
    for name, word in ((dump, "dump"), (roles, "globals"), ("manifest.json", MANIFEST_WORDS)):
        yield f"{name} of another backup", {mine + name: bucket.get(theirs + name)}, word
    whole = {mine + name: bucket.get(theirs + name) for name in (dump, roles, "manifest.json")}
    yield "all of another backup", dict(whole), MANIFEST_WORDS


def edited(bucket: Bucket, manifest: Manifest) -> Iterator[Alteration]:
    """Yield the manifest with each value changed, once with its old inner hash and once with a new one."""
    written = json.loads(bucket.get(manifest.key))
    for path, value in leaves(written):
        values = changed(written, path, other(value))
        yield f"manifest: {path}", {manifest.key: canonical(values)}, MANIFEST_WORDS
        if path != ["sha256"]:
            del values["sha256"]
            values["sha256"] = manifests._digest(values)
            yield f"manifest: {path}, hash made anew", {manifest.key: canonical(values)}, MANIFEST_WORDS
    yield "manifest: laid out anew", {manifest.key: json.dumps(written, indent=1).encode()}, MANIFEST_WORDS


def leaves(value: Any, path: list[Any] | None = None) -> Iterator[tuple[list[Any], Any]]:
    """Yield every leaf value of a document with its path; of a list only the first two items."""
    path = path or []
    if isinstance(value, dict):
        for name in value:
            yield from leaves(value[name], [*path, name])
    elif isinstance(value, list):
        for number, one in enumerate(value[:2]):
            yield from leaves(one, [*path, number])
    else:
        yield path, value


def other(value: Any) -> Any:
    if isinstance(value, int):
        return value + 1
    return value + "0" if isinstance(value, str) else "0"


def changed(document: Any, path: list[Any], value: Any) -> Any:
    copy = json.loads(json.dumps(document))
    holder = copy
    for step in path[:-1]:
        holder = holder[step]
    holder[path[-1]] = value
    return copy


def canonical(values: Any) -> bytes:
    return json.dumps(values, sort_keys=True, separators=(",", ":")).encode()


def undetected(
    context: BackupContext, bucket: Bucket, id: BackupId, alterations: Iterator[Alteration]
) -> tuple[int, list[str]]:
    """Return the number of alterations tried, and those that verify does not find or does not name."""
    tried, missed = 0, []
    for name, changes, word in alterations:
        tried += 1
        with bucket.changed(changes):
            try:
                verified(context, id)
                missed.append(name)
            except (BackupDamaged, NoSuchBackup) as error:
                if not re.search(word, str(error)):
                    missed.append(f"{name}: {error}")
    return tried, missed


@pytest.mark.parametrize("place", ["ministack"], indirect=True)
@pytest.mark.parametrize("encrypted", [False, True], ids=["plain", "encrypted"])
def test_every_altered_backup_is_found(
    context: BackupContext, bucket: Bucket, add_job: Callable[..., None], encrypted: bool
) -> None:
    add_job("job-é", "completed", NOON)
    if encrypted:
        context = sealed_to(context, pyrage.x25519.Identity.generate())
    taken, second = backup_database(context).id, backup_database(context).id
    manifest, _ = manifests.read(taken, context.stores.backup_bucket)
    alterations = [*damaged(bucket, taken, 40), *exchanged(bucket, taken, second), *edited(bucket, manifest)]
    tried, missed = undetected(context, bucket, taken, iter(alterations))
    assert missed == []
    assert tried >= 200
    verified(context, taken)


@pytest.mark.parametrize("place", ["minio"], indirect=True)
def test_every_altered_large_backup_is_found(
    context: BackupContext, bucket: Bucket, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A dump uploaded in several parts: cut, bit-flipped and exchanged at the parts' boundaries."""
    monkeypatch.setattr(s3, "PART", PART)
    fill(database_url, "noise", 4)
    taken = backup_database(context).id
    key = f"database/{taken}/dump.zst"
    data = bucket.get(key)
    assert len(data) > 2 * PART
    boundaries = tuple(at + by for at in (PART, 2 * PART) for by in (-1, 0, 1))
    pieces = [data[at : at + PART] for at in range(0, len(data), PART)]
    alterations = [(key, {key: altered}, "dump") for _, altered in flips(data, 12)]
    alterations += [(f"{key}: {name}", {key: altered}, "dump") for name, altered in cuts(data, boundaries)]
    exchanged = pieces[1], pieces[0], *pieces[2:]
    for name, parts in (("exchanged", exchanged), ("repeated", (pieces[0], *pieces)), ("lost", pieces[1:])):
        alterations.append((f"{key}: part {name}", {key: b"".join(parts)}, "dump"))
    tried, missed = undetected(context, bucket, taken, iter(alterations))
    assert missed == []
    assert tried >= 25
    verified(context, taken)


@pytest.mark.parametrize("place", ["ministack"], indirect=True)
def test_a_certificate_counts_for_its_own_manifest_only(context: BackupContext, bucket: Bucket) -> None:
    """Seen from the bucket alone, without a catalogue: no certificate, no proof."""
    first, second = (backup_database(context) for _ in range(2))
    prove(context, first.id)
    (key,) = [key for key in bucket.keys if "certificate" in key]
    answer = bucket.get(key)
    borrowed = key.replace(first.id, second.id)
    with bucket.changed({borrowed: answer}):
        assert {one.id: one.state for one in of_bucket(context.stores.backup_bucket)} == {
            first.id: "proven",
            second.id: "complete",
        }
    values = json.loads(answer)
    forged = json.dumps(values | {"manifest_sha256": second.manifest_sha256}).encode()
    for altered in (forged, answer[:-10], b"", b"[]", b"null", b"{}", bytes(len(answer)), None):
        with bucket.changed({key: altered}):
            assert "proven" not in {one.state for one in of_bucket(context.stores.backup_bucket)}
            verified(context, first.id)


@pytest.mark.parametrize("place", ["ministack"], indirect=True)
def test_two_backups_of_the_same_second_do_not_collide(place: Place) -> None:
    with open_installation(place.settings, clock=lambda: NOON) as stores:
        context = BackupContext(stores=stores, settings=place.settings)
        taken = [backup_database(context) for _ in range(3)]
        assert len({one.id for one in taken}) == 3
        assert {one.id[:16] for one in taken} == {f"{NOON:%Y%m%dT%H%M%SZ}"}
        for one in taken:
            verified(context, one.id)
        assert len(stores.catalogue.all("database")) == 3
        manifest, _ = manifests.read(taken[2].id, stores.backup_bucket)
        assert manifest.previous in {taken[0].manifest_sha256, taken[1].manifest_sha256}
