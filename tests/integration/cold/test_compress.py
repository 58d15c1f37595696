"""Compression on real stores and a real database: its requests, what is preserved, races with writers."""

from __future__ import annotations

import hashlib
import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from storage.cold import codecs
from storage.cold import compress as rewrite
from storage.cold.errors import CompressorErred
from storage.cold.s3.replace import S3ObjectReplacer
from storage.core.clock import utcnow
from storage.core.model import Outcome
from storage.core.tiers import CODECS, CodecName
from storage.installation import Installation, open_installation
from tests.conftest import Place
from tests.support.transcript import JOB, KEY, SMALL, TEXT, action, apply, original, put

NOISE = random.Random(5).randbytes(3 << 20)
ROUNDS = 20
pytestmark = pytest.mark.server


@contextmanager
def asked(stores: Installation) -> Iterator[Counter[str]]:
    """Count the HTTP requests for KEY within the block by method, and the bytes that they read."""
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


# --- requests -----------------------------------------------------------------------------------------
def test_a_small_object_costs_three_requests(place: Place, stores: Installation) -> None:
    one = action(stores, put(place, SMALL), SMALL)
    with asked(stores) as count:
        assert apply(stores, one) == [Outcome("done", bytes=len(SMALL))]
    for_tags = 0 if stores.control.capabilities().counts_tags else 1  # where no response counts them
    assert count == {"GET": 1 + for_tags, "PUT": 1, "HEAD": 1, "bytes read": len(SMALL)}
    assert for_tags == (place.kind == "ministack")
    assert original(stores) == SMALL
    assert one.holds(stores)


def test_media_are_read_by_three_samples_only(place: Place, stores: Installation) -> None:
    one = action(stores, put(place, NOISE), NOISE)
    with asked(stores) as count:
        assert apply(stores, one)[0].status == "skipped"
    assert count == {"GET": 2, "bytes read": 2 * (64 << 10)}
    record = stores.cold.get_records([KEY])[KEY]
    assert (record.compression, record.skipped) == ("skipped", "its samples do not compress")


# --- attributes and the ledger ------------------------------------------------------------------------
@pytest.mark.parametrize("codec", CODECS)
def test_everything_it_carries_stays_and_the_ledger_is_what_listings_show(
    place: Place, stores: Installation, codec: CodecName
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
    assert stores.replacer.tags(KEY) == {"team": "media", "cost": "a/b"}
    assert original(stores) == TEXT
    [line] = stores.cold.savings("class")
    left = sum(info.size for info in stores.objects.inventory())
    assert (line.group, line.saved) == ("transcripts", total - left)


def test_a_version_left_behind_is_counted(place: Place, add_job: Callable[..., None]) -> None:
    place.boto.put_bucket_versioning(
        Bucket=place.settings.bucket, VersioningConfiguration={"Status": "Enabled"}
    )
    add_job(JOB, "completed", utcnow() - timedelta(days=200))
    with open_installation(place.settings) as stores:
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
    with open_installation(held) as stores:
        etag = stores.replacer.details(KEY).info.etag
        made = rewrite.compress(stores.replacer, KEY, len(SMALL), etag, "zstd")
    assert (made.status, made.why) == ("skipped", "it is under legal hold")
    place.boto.put_object_legal_hold(Bucket=bucket, Key=KEY, LegalHold={"Status": "OFF"})
    with open_installation(held) as stores:
        assert rewrite.compress(stores.replacer, KEY, len(SMALL), etag, "zstd").status == "done"


def test_a_large_form_goes_in_parts_and_nothing_is_left_of_it(place: Place, stores: Installation) -> None:
    """Parts of 5 MiB, the smallest that stores accept, represent those of 16 MiB."""
    data = b"".join(random.Random(n).randbytes(600) + bytes(424) for n in range(20 << 10))
    etag = put(place, data)
    replacer = S3ObjectReplacer(
        stores.objects, conditional=lambda: True, uploads=stores.uploads, part_size=5 << 20
    )  # type: ignore[arg-type]
    made = rewrite.compress(replacer, KEY, len(data), etag, "zstd")
    assert made.status == "done" and made.after and "-" in made.after.info.etag
    assert original(stores) == data
    put(place, data)
    with pytest.raises(CompressorErred), pytest.MonkeyPatch.context() as patch:
        patch.setattr(codecs, "unpacker", lambda codec: _Blind())
        rewrite.compress(replacer, KEY, len(data), etag, "zstd")
    assert list(stores.objects.uploads()) == [] and list(stores.uploads.open()) == []
    assert original(stores) == data


class _Blind:
    """A decompressor that returns no data."""

    ended = True

    def feed(self, data: bytes) -> Iterator[bytes]:
        return iter(())


# --- concurrent clients -------------------------------------------------------------------------------
def test_an_upload_beside_it_always_wins(place: Place, stores: Installation) -> None:
    """In either order, the uploaded object is the one that is read in the end."""
    won = Counter[str]()
    for number in range(ROUNDS):
        etag, new = put(place, TEXT), b"%d " % number + SMALL
        writer = threading.Timer(random.Random(number).uniform(0, 0.05), put, (place, new))
        writer.start()
        won[rewrite.compress(stores.replacer, KEY, len(TEXT), etag, "zstd").status] += 1
        writer.join()
        assert original(stores) == new
    assert won["done"] + won["overtaken"] == ROUNDS


def test_two_nights_at_once_compress_it_once(place: Place, stores: Installation) -> None:
    for _ in range(ROUNDS):
        etag, found = put(place, TEXT), []
        twins = [
            threading.Thread(
                target=lambda codec, etag, found: found.append(
                    rewrite.compress(stores.replacer, KEY, len(TEXT), etag, codec)
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


def test_a_download_under_way_is_whole(place: Place, stores: Installation) -> None:
    etag = put(place, TEXT)
    with stores.replacer.open(KEY) as stream:
        first = stream.read(1000)
        assert rewrite.compress(stores.replacer, KEY, len(TEXT), etag, "zstd").status == "done"
        rest = b""
        while chunk := stream.read(1 << 20):
            rest += chunk
    assert first + rest == TEXT
