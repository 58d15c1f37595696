"""`storage get` and `storage decompress` on the command line."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from storage.cold.model import compression_of
from storage.core.clock import utcnow
from storage.installation import Installation
from tests.conftest import Place
from tests.support.command_line import Person, rows
from tests.support.transcript import JOB, KEY, SMALL, TEXT, action, apply, original, put

pytestmark = pytest.mark.server


def test_get_and_decompress(place: Place, stores: Installation, storage: Person, tmp_path: Path) -> None:
    etag = put(place, TEXT)
    apply(stores, action(stores, etag, TEXT))
    file = tmp_path / "out.json"
    answer = storage("get", KEY, "-o", str(file), "--json")
    assert answer.code == 0, answer.err
    assert answer.document == {"key": KEY, "file": str(file), "bytes": len(TEXT)}
    assert file.read_bytes() == TEXT
    assert storage("get", KEY, "-o", str(file), "--range", "100-199").code == 0
    assert file.read_bytes() == TEXT[100:200]
    assert stores.cold.accessed([KEY])[KEY] > utcnow() - timedelta(minutes=1)
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["out.json"]

    shown = storage("decompress", "--job", JOB)
    assert shown.code == 0 and "Nothing was changed" in shown.out
    assert compression_of(KEY, stores.replacer.details(KEY).attributes)
    done = storage("decompress", KEY, "--apply", "--json")
    assert done.code == 0, done.err
    assert [one["status"] for one in done.document["outcomes"]] == ["done"]
    assert stores.replacer.details(KEY).info.etag == etag
    assert [row[0] for row in rows(place, "SELECT kind FROM maintenance.savings ORDER BY id")] == [
        "compress",
        "decompress",
    ]
    [line] = stores.cold.savings("class")
    assert line.saved == 0
    assert "None of these objects is compressed" in storage("decompress", KEY, "--apply").out


def test_what_is_typed_wrong(place: Place, stores: Installation, storage: Person, tmp_path: Path) -> None:
    put(place, SMALL)
    wrong = {
        ("get", KEY, "--range", "5-1"): (2, "0-499"),
        ("get", KEY, "--range", "all"): (2, "0-499"),
        ("get", KEY, "--json"): (2, "-o FILE"),
        ("get", KEY, "-o", str(tmp_path)): (2, "folder"),
        ("get", KEY, "-o", str(tmp_path / "no" / "such")): (2, "mkdir -p"),
        ("get", "", "-o", "x"): (2, "empty"),
        ("get", "processed/none", "-o", str(tmp_path / "x")): (1, "no object"),
        ("decompress",): (2, "--job"),
        ("decompress", KEY, "--job", JOB): (2, "--job"),
        ("decompress", "--job", "../x"): (2, "job id"),
        ("decompress", "processed/none", "--apply"): (1, "no object"),
    }
    for argv, (code, words) in wrong.items():
        answer = storage(*argv)
        assert (answer.code, words in answer.err + answer.out) == (code, True), (argv, answer)
    assert list(tmp_path.iterdir()) == [tmp_path / "temp"]
    assert original(stores) == SMALL


def test_damage_is_reported_and_no_file_made(
    place: Place, stores: Installation, storage: Person, tmp_path: Path
) -> None:
    apply(stores, action(stores, put(place, TEXT), TEXT))
    reply = place.boto.get_object(Bucket=place.settings.bucket, Key=KEY)
    body = bytearray(reply["Body"].read())
    body[len(body) // 2] ^= 1
    put(place, bytes(body), Metadata=reply["Metadata"], ContentEncoding="zstd")
    answer = storage("get", KEY, "-o", str(tmp_path / "x"))
    assert answer.code == 1 and "ContentDamaged" in answer.err
    assert not (tmp_path / "x").exists()
    assert storage("decompress", KEY, "--apply").code == 1


def test_a_pause_stops_the_way_back(place: Place, stores: Installation, storage: Person) -> None:
    apply(stores, action(stores, put(place, TEXT), TEXT))
    assert storage("pause", "--reason", "a test").code == 0
    assert storage("decompress", KEY, "--apply").code == 5
    assert compression_of(KEY, stores.replacer.details(KEY).attributes)
