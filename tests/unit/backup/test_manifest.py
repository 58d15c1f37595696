"""Manifests: canonical encoding, an embedded hash, and the refusal of any altered manifest."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.backup import manifest as manifests
from storage.backup.errors import BackupDamaged, NoSuchBackup
from storage.backup.model import (
    BackupId,
    DatabaseFacts,
    Manifest,
    MetadataFacts,
    Part,
    SequenceFact,
    TableFact,
    folder,
)
from storage.core.errors import PreconditionFailed, StorageError
from storage.core.model import ObjectKey
from storage.testing import MemoryObjects

NOON = datetime(2026, 3, 8, 12, 0, 0, 1, tzinfo=UTC)
ID, OTHER = BackupId("20260308T120000Z-0a1b2c3d"), BackupId("20260308T120000Z-0a1b2c3e")
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
counts = st.integers(0, 1 << 70)


def parts(kind: str = "database") -> tuple[Part, ...]:
    key = ObjectKey(f"{folder(kind, ID)}dump.zst")  # type: ignore[arg-type]
    return (Part("dump", key, 5, "ab" * 32),)


def of_database(**values: Any) -> Manifest:
    facts = DatabaseFacts(
        database='pipe"lin\u00e9\n',
        version="15.18",
        system_identifier="7",
        lsn="0/1",
        taken_at=NOON,
        bytes=9,
        locale=("UTF8", "C", "C"),
        extensions=("hstore",),
        tables=(TableFact('public."таблица"', 3, "-17"),),
        sequences=(SequenceFact("public.s", -4, -1),),
    )
    return Manifest(
        **{"id": ID, "kind": "database", "parts": parts(), "facts": facts, "tools": {"pg_dump": "15.18"}}
        | values
    )


def of_metadata() -> Manifest:
    facts = MetadataFacts(
        bucket="videos",
        identity="x",
        taken_at=NOON,
        ended_at=NOON + timedelta(hours=1),
        store_time=NOON,
        objects=2,
        by_prefix={"processed/": (2, 10)},
    )
    return Manifest(id=ID, kind="metadata", parts=parts("metadata"), facts=facts, recipients=("age1x",))


@pytest.mark.parametrize("manifest", [of_database(), of_metadata()], ids=["database", "metadata"])
def test_there_and_back(manifest: Manifest) -> None:
    data = manifests.encode(manifest)
    assert manifests.decode(data) == manifest
    assert manifests.encode(manifests.decode(data)) == data


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.builds(TableFact, texts, counts, texts), max_size=4),
    st.lists(st.builds(SequenceFact, texts, st.integers(), st.integers()), max_size=4),
    texts,
    st.datetimes(timezones=st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=30))])),
)
def test_whatever_names_and_numbers(
    tables: list[TableFact], sequences: list[SequenceFact], name: str, at: datetime
) -> None:
    facts = replace(
        of_database().database, tables=tuple(tables), sequences=tuple(sequences), database=name, taken_at=at
    )
    manifest = of_database(facts=facts)
    assert manifests.decode(manifests.encode(manifest)) == manifest


def test_every_turned_bit_shows() -> None:
    data = manifests.encode(of_database())
    for place in range(len(data)):
        for bit in range(8):
            turned = bytearray(data)
            turned[place] ^= 1 << bit
            with pytest.raises(BackupDamaged):
                manifests.decode(bytes(turned))


def test_every_cut_shows() -> None:
    data = manifests.encode(of_database())
    for length in range(len(data)):
        with pytest.raises(BackupDamaged):
            manifests.decode(data[:length])


@pytest.mark.parametrize(
    "data",
    [b"", b"null", b"[]", b"1", b'"x"', b"{}", b"\xff", b"[" * 100_000, b'{"sha256":"x"}', b"NaN"],
    ids=lambda data: repr(data[:12]),
)
def test_what_is_no_manifest(data: bytes) -> None:
    with pytest.raises(BackupDamaged):
        manifests.decode(data)


def rehashed(change: Callable[[dict[str, Any]], object]) -> bytes:
    """Return the manifest edited by an attacker who knows how its embedded hash is computed."""
    values = json.loads(manifests.encode(of_database()))
    del values["sha256"]
    change(values)
    return manifests.canonical(values | {"sha256": manifests._digest(values)})


@pytest.mark.parametrize(
    "change",
    [
        lambda v: v.update(format=2),
        lambda v: v.update(id="../../etc"),
        lambda v: v.update(id=7),
        lambda v: v.update(kind="metadata"),
        lambda v: v.update(kind="other"),
        lambda v: v.update(extra=1) or v["parts"][0].update(extra=1),
        lambda v: v["parts"][0].update(key=""),
        lambda v: v["parts"][0].update(key=f"database/{OTHER}/dump.zst"),
        lambda v: v["parts"][0].update(key="processed/job-1/360p.mp4"),
        lambda v: v["parts"][0].update(size="many"),
        lambda v: v["parts"][0].pop("sha256"),
        lambda v: v["facts"].update(taken_at="noon"),
        lambda v: v["facts"].update(tables=[{"name": "x", "rows": None, "hash": "0"}]),
        lambda v: v["facts"].update(large_objects=[]),
        lambda v: v.pop("previous"),
        lambda v: v.update(facts=None),
        lambda v: v.update(parts=None),
    ],
)
def test_a_forged_one_that_makes_no_sense_is_damaged_and_no_crash(
    change: Callable[[dict[str, Any]], object],
) -> None:
    with pytest.raises(BackupDamaged, match="manifest"):
        manifests.decode(rehashed(change))


def test_written_once_and_read_back() -> None:
    backup_bucket = MemoryObjects(lambda: NOON)
    manifest = of_database()
    sha256 = manifests.write(manifest, backup_bucket)
    assert manifests.read(ID, backup_bucket) == (manifest, sha256)
    with pytest.raises(PreconditionFailed):
        manifests.write(replace(manifest, previous="x"), backup_bucket)
    with pytest.raises(NoSuchBackup):
        manifests.read(OTHER, backup_bucket)


def test_one_at_the_place_of_another_is_damaged() -> None:
    backup_bucket = MemoryObjects(lambda: NOON)
    backup_bucket.put(f"database/{OTHER}/manifest.json", manifests.encode(of_database()))
    backup_bucket.put(f"metadata/{ID}/manifest.json", manifests.encode(of_database()))
    for id in (OTHER, ID):
        with pytest.raises(BackupDamaged, match="is that of database"):
            manifests.read(id, backup_bucket)


def test_scan_tells_what_is_ours_and_what_is_broken() -> None:
    backup_bucket = MemoryObjects(lambda: NOON)
    manifests.write(of_database(), backup_bucket)
    backup_bucket.put(f"database/{OTHER}/manifest.json", b"{}")
    for key in (
        "database/readme/manifest.json",
        f"database/{ID}/manifest.json.bak",
        f"database/{ID}/more/manifest.json",
        "database/manifest.json",
        f"database/{ID}",
    ):
        backup_bucket.put(key, b"x")
    found = {id: answer for id, answer, _ in manifests.scan(backup_bucket, "database")}
    assert found[ID] == of_database()
    assert isinstance(found[OTHER], StorageError)
    assert len(found) == 2
    assert list(manifests.scan(backup_bucket, "metadata")) == []
