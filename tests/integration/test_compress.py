"""Compressing on real stores and a real database: what it costs, what stays, who wins, what is typed."""

from __future__ import annotations

import hashlib
import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from storage import commands, connect
from storage.clock import utcnow
from storage.cold import codecs, reading, rewrite
from storage.cold_errors import CompressorErred
from storage.cold_model import CODECS, CodecName, coding_of
from storage.engine.actions import CompressObject, Work
from storage.model import JobId, ObjectKey, Outcome
from storage.ports import Stores
from storage.stores.s3_rewriter import S3Rewriter
from tests.conftest import Place
from tests.integration.person import Person, rows

JOB = "job-1"
KEY = ObjectKey(f"processed/{JOB}/transcription/transcript.json")
TEXT = b"".join(b'{"start": %d, "text": "%x and so on"}\n' % (n, n * n) for n in range(60_000))
SMALL = TEXT[:100_000]
NOISE = random.Random(5).randbytes(3 << 20)
ROUNDS = 20
pytestmark = pytest.mark.server


@pytest.fixture
def stores(place: Place, add_job: Callable[..., None]) -> Iterator[Stores]:
    """The place, probed, with one completed job."""
    add_job(JOB, "completed", utcnow() - timedelta(days=200))
    commands.probe_now(place.settings)
    with connect.stores(place.settings) as opened:
        yield opened


def put(place: Place, data: bytes, key: str = KEY, **words: Any) -> str:
    told = place.boto.put_object(Bucket=place.settings.bucket, Key=key, Body=data, **words)
    return str(told["ETag"]).strip('"')


def action(stores: Stores, etag: str, data: bytes, codec: CodecName = "zstd") -> CompressObject:
    row = stores.jobs.get([JobId(JOB)])[JobId(JOB)]
    return CompressObject(
        key=KEY,
        size=len(data),
        etag=etag,
        last_modified=utcnow(),
        codec=codec,
        level=None,
        object_class="transcripts",
        owner=JOB,
        owner_updated_at=row.updated_at,
        reason="old",
    )


def apply(stores: Stores, *batch: CompressObject) -> list[Outcome]:
    return CompressObject.apply(batch, Work(stores, "run-1", "cold"))


def original(stores: Stores) -> bytes:
    return b"".join(reading.read(stores.rewriter, KEY))


@contextmanager
def asked(stores: Stores) -> Iterator[Counter[str]]:
    """The requests for KEY that go over the wire meanwhile, by method; and the bytes it is read by."""
    count = Counter[str]()
    boto, http = stores.objects.boto, stores.objects._minio._http  # type: ignore[attr-defined]
    send = http.urlopen

    def urlopen(method: str, url: str, **words: Any) -> Any:
        answer = send(method, url, **words)
        count[method] += KEY in url
        if method == "GET" and KEY in url:
            count["bytes read"] += int(answer.headers["content-length"])
        return answer

    def sent(request: Any, **_: Any) -> None:
        count[request.method] += 1

    def came(parsed: dict[str, Any], **_: Any) -> None:
        count["bytes read"] += int(parsed["ContentLength"])

    http.urlopen = urlopen
    boto.meta.events.register("before-send.s3", sent)
    boto.meta.events.register("after-call.s3.GetObject", came)
    try:
        yield count
    finally:
        http.urlopen = send
        boto.meta.events.unregister("before-send.s3", sent)
        boto.meta.events.unregister("after-call.s3.GetObject", came)


# --- what is asked for --------------------------------------------------------------------------------
def test_a_small_object_costs_three_requests(place: Place, stores: Stores) -> None:
    one = action(stores, put(place, SMALL), SMALL)
    with asked(stores) as count:
        assert apply(stores, one) == [Outcome("done", bytes=len(SMALL))]
    for_tags = 0 if stores.control.capabilities().counts_tags else 1  # where no answer tells of them
    assert count == {"GET": 1 + for_tags, "PUT": 1, "HEAD": 1, "bytes read": len(SMALL)}
    assert for_tags == (place.kind == "ministack")
    assert original(stores) == SMALL
    assert one.holds(stores)


def test_media_are_read_by_three_samples_only(place: Place, stores: Stores) -> None:
    one = action(stores, put(place, NOISE), NOISE)
    with asked(stores) as count:
        assert apply(stores, one)[0].status == "skipped"
    assert count == {"GET": 2, "bytes read": 2 * (64 << 10)}
    memory = stores.cold.recall([KEY])[KEY]
    assert (memory.coding, memory.skipped) == ("skipped", "its samples do not compress")


# --- what stays, and what is entered ------------------------------------------------------------------
@pytest.mark.parametrize("codec", CODECS)
def test_everything_it_carries_stays_and_the_ledger_is_what_listings_show(
    place: Place, stores: Stores, codec: CodecName
) -> None:
    words = {
        "ContentType": "application/json",
        "CacheControl": "max-age=60",
        "ContentDisposition": "attachment",
        "ContentLanguage": "de",
        "Metadata": {"made-by": "whisper"},
        "Tagging": "team=media&cost=a%2Fb",
    }
    etag = put(place, TEXT, **words)
    was = place.boto.head_object(Bucket=place.settings.bucket, Key=KEY)
    total = sum(info.size for info in stores.objects.inventory())
    assert apply(stores, action(stores, etag, TEXT, codec))[0].status == "done"
    now = place.boto.head_object(Bucket=place.settings.bucket, Key=KEY)
    for name in ("ContentType", "CacheControl", "ContentDisposition", "ContentLanguage"):
        assert now[name] == was[name]
    assert now["Metadata"].items() >= was["Metadata"].items()
    assert now["ContentEncoding"] == codec
    assert now["Metadata"]["storage-original-sha256"] == hashlib.sha256(TEXT).hexdigest()
    assert stores.rewriter.tags(KEY) == {"team": "media", "cost": "a/b"}
    assert original(stores) == TEXT
    [line] = stores.cold.savings("class")
    left = sum(info.size for info in stores.objects.inventory())
    assert (line.group, line.saved) == ("transcripts", total - left)


def test_a_version_left_behind_is_counted(place: Place, add_job: Callable[..., None]) -> None:
    place.boto.put_bucket_versioning(
        Bucket=place.settings.bucket, VersioningConfiguration={"Status": "Enabled"}
    )
    add_job(JOB, "completed", utcnow() - timedelta(days=200))
    with connect.stores(place.settings) as stores:
        apply(stores, action(stores, put(place, TEXT), TEXT))
        [line] = stores.cold.savings("class")
    pages = place.boto.get_paginator("list_object_versions").paginate(
        Bucket=place.settings.bucket, Prefix=KEY
    )
    sizes = [version["Size"] for page in pages for version in page["Versions"]]
    assert len(sizes) == 2 and line.saved == len(TEXT) - sum(sizes) < 0


def test_what_is_under_legal_hold_stays(place: Place) -> None:
    bucket = f"{place.settings.bucket}-held"
    place.boto.create_bucket(Bucket=bucket, ObjectLockEnabledForBucket=True)
    held = replace(place.settings, bucket=bucket)
    place.boto.put_object(Bucket=bucket, Key=KEY, Body=SMALL)
    place.boto.put_object_legal_hold(Bucket=bucket, Key=KEY, LegalHold={"Status": "ON"})
    with connect.stores(held) as stores:
        etag = stores.rewriter.details(KEY).info.etag
        made = rewrite.compress(stores.rewriter, KEY, len(SMALL), etag, "zstd")
    assert (made.status, made.why) == ("skipped", "it is under legal hold")
    place.boto.put_object_legal_hold(Bucket=bucket, Key=KEY, LegalHold={"Status": "OFF"})
    with connect.stores(held) as stores:
        assert rewrite.compress(stores.rewriter, KEY, len(SMALL), etag, "zstd").status == "done"


def test_a_large_form_goes_in_parts_and_nothing_is_left_of_it(place: Place, stores: Stores) -> None:
    """Parts of 5 MiB, the least that stores take, stand for those of 16 MiB."""
    data = b"".join(random.Random(n).randbytes(600) + bytes(424) for n in range(20 << 10))
    etag = put(place, data)
    rewriter = S3Rewriter(stores.objects, conditional=lambda: True, uploads=stores.uploads, part_size=5 << 20)  # type: ignore[arg-type]
    made = rewrite.compress(rewriter, KEY, len(data), etag, "zstd")
    assert made.status == "done" and made.after and "-" in made.after.info.etag
    assert original(stores) == data
    put(place, data)
    with pytest.raises(CompressorErred), pytest.MonkeyPatch.context() as patch:
        patch.setattr(codecs, "unpacker", lambda codec: _Blind())
        rewrite.compress(rewriter, KEY, len(data), etag, "zstd")
    assert list(stores.objects.uploads()) == [] and list(stores.uploads.open()) == []
    assert original(stores) == data


class _Blind:
    """Sees nothing come back."""

    ended = True

    def feed(self, data: bytes) -> Iterator[bytes]:
        return iter(())


# --- others at work -----------------------------------------------------------------------------------
def test_an_upload_beside_it_always_wins(place: Place, stores: Stores) -> None:
    """Whichever comes first: what is read in the end is the new one."""
    won = Counter[str]()
    for number in range(ROUNDS):
        etag, new = put(place, TEXT), b"%d " % number + SMALL
        writer = threading.Timer(random.Random(number).uniform(0, 0.05), put, (place, new))
        writer.start()
        won[rewrite.compress(stores.rewriter, KEY, len(TEXT), etag, "zstd").status] += 1
        writer.join()
        assert original(stores) == new
    assert won["done"] + won["overtaken"] == ROUNDS


def test_two_nights_at_once_compress_it_once(place: Place, stores: Stores) -> None:
    for _ in range(ROUNDS):
        etag, found = put(place, TEXT), []
        twins = [
            threading.Thread(
                target=lambda codec, etag, found: found.append(
                    rewrite.compress(stores.rewriter, KEY, len(TEXT), etag, codec)
                ),
                args=(codec, etag, found),
            )
            for codec in CODECS[:2]
        ]
        for twin in twins:
            twin.start()
        for twin in twins:
            twin.join()
        assert {one.status for one in found} <= {"done", "overtaken"} and len(found) == 2
        assert original(stores) == TEXT


def test_a_download_under_way_is_whole(place: Place, stores: Stores) -> None:
    etag = put(place, TEXT)
    with stores.rewriter.open(KEY) as stream:
        first = stream.read(1000)
        assert rewrite.compress(stores.rewriter, KEY, len(TEXT), etag, "zstd").status == "done"
        rest = b""
        while chunk := stream.read(1 << 20):
            rest += chunk
    assert first + rest == TEXT


# --- what a person types --------------------------------------------------------------------------------
def test_get_and_decompress(place: Place, stores: Stores, storage: Person, tmp_path: Path) -> None:
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
    assert coding_of(KEY, stores.rewriter.details(KEY).attributes)
    done = storage("decompress", KEY, "--apply", "--json")
    assert done.code == 0, done.err
    assert [one["status"] for one in done.document["outcomes"]] == ["done"]
    assert stores.rewriter.details(KEY).info.etag == etag
    assert [row[0] for row in rows(place, "SELECT kind FROM maintenance.savings ORDER BY id")] == [
        "compress",
        "decompress",
    ]
    [line] = stores.cold.savings("class")
    assert line.saved == 0
    assert "Nothing of it is compressed" in storage("decompress", KEY, "--apply").out


def test_what_is_typed_wrong(place: Place, stores: Stores, storage: Person, tmp_path: Path) -> None:
    put(place, SMALL)
    wrong = {
        ("get", KEY, "--range", "5-1"): (2, "0-499"),
        ("get", KEY, "--range", "all"): (2, "0-499"),
        ("get", KEY, "--json"): (2, "-o FILE"),
        ("get", KEY, "-o", str(tmp_path)): (2, "folder"),
        ("get", KEY, "-o", str(tmp_path / "no" / "such")): (1, "No such file"),
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


def test_damage_is_told_and_no_file_made(
    place: Place, stores: Stores, storage: Person, tmp_path: Path
) -> None:
    apply(stores, action(stores, put(place, TEXT), TEXT))
    told = place.boto.get_object(Bucket=place.settings.bucket, Key=KEY)
    body = bytearray(told["Body"].read())
    body[len(body) // 2] ^= 1
    put(place, bytes(body), Metadata=told["Metadata"], ContentEncoding="zstd")
    answer = storage("get", KEY, "-o", str(tmp_path / "x"))
    assert answer.code == 1 and "ContentDamaged" in answer.err
    assert not (tmp_path / "x").exists()
    assert storage("decompress", KEY, "--apply").code == 1


def test_a_pause_stops_the_way_back(place: Place, stores: Stores, storage: Person) -> None:
    apply(stores, action(stores, put(place, TEXT), TEXT))
    assert storage("pause", "--reason", "a test").code == 0
    assert storage("decompress", KEY, "--apply").code == 5
    assert coding_of(KEY, stores.rewriter.details(KEY).attributes)
