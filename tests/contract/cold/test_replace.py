"""An object replaced by another form of itself: the fake and every store, to the letter."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

import pytest

from storage.cold.ports import Rewriter
from storage.cold.s3.replace import S3Rewriter
from storage.core.errors import ObjectMissing, PreconditionFailed
from storage.core.model import Attributes, DeleteTarget, ObjectKey
from storage.testing import MemoryRewriter

KEY = ObjectKey("processed/job-1/transcription/a b+é~.json")
ATTRIBUTES = Attributes(
    "application/json",
    "",
    {"made-by": "whisper 3, large", "language": "de"},
    {
        "cache-control": "max-age=3600, private",
        "content-disposition": 'attachment; filename="a b.json"',
        "content-language": "de-DE",
        "expires": "Thu, 01 Jan 2032 00:00:00 GMT",
    },
)
TAGS = {"team": "media + more", "cost center": "a=b/c:1@x_y"}
Make = Callable[..., str]


@pytest.fixture
def rewriter(object_store: Any, store_kind: str) -> Rewriter:
    if store_kind == "fake":
        return MemoryRewriter(object_store)
    return S3Rewriter(object_store, conditional=lambda: True, part_size=5 << 20)


@pytest.fixture
def make(object_store: Any, store_kind: str, put: Callable[[str, bytes], None]) -> Make:
    """Store an object as another program would, with all it may carry; its etag."""

    def fake(data: bytes, tags: dict[str, str]) -> str:
        info = object_store.put(KEY, data, attributes=ATTRIBUTES)
        object_store.amend(KEY, tags=tags)
        return str(info.etag)

    def real(data: bytes, tags: dict[str, str]) -> str:
        told = object_store.boto.put_object(
            Bucket=object_store.bucket,
            Key=KEY,
            Body=data,
            ContentType=ATTRIBUTES.content_type,
            Metadata=dict(ATTRIBUTES.metadata),
            CacheControl=ATTRIBUTES.headers["cache-control"],
            ContentDisposition=ATTRIBUTES.headers["content-disposition"],
            ContentLanguage=ATTRIBUTES.headers["content-language"],
            Expires=ATTRIBUTES.headers["expires"],
            Tagging=urlencode(tags),
        )
        return str(told["ETag"]).strip('"')

    return lambda data=b"original", tags=TAGS: (fake if store_kind == "fake" else real)(data, tags)


def test_details_say_all_that_an_object_carries(rewriter: Rewriter, make: Make) -> None:
    etag = make(b"0123456789")
    found = rewriter.details(KEY)
    assert (found.info.key, found.info.size, found.info.etag) == (KEY, 10, etag)
    assert found.info.storage_class == "STANDARD"
    assert found.attributes == ATTRIBUTES
    assert found.tag_count in (2, None)
    assert (found.restore, found.barred) == ("", "")
    assert rewriter.tags(KEY) == TAGS


def test_details_of_nothing(rewriter: Rewriter) -> None:
    for ask in (
        lambda: rewriter.details(KEY),
        lambda: rewriter.peek(KEY, 0, 10),
        lambda: rewriter.peek(KEY, 0, 10, "0" * 32),
        lambda: rewriter.open(KEY).__enter__(),
        lambda: rewriter.tags(KEY),
    ):
        with pytest.raises(ObjectMissing):
            ask()


@pytest.mark.parametrize(
    ("start", "length", "expected"),
    [(0, 4, b"0123"), (3, 4, b"3456"), (8, 4, b"89"), (0, 100, b"0123456789"), (10, 5, b""), (99, 1, b"")],
)
def test_a_peek_is_cut_at_the_end(
    start: int, length: int, expected: bytes, rewriter: Rewriter, make: Make
) -> None:
    etag = make(b"0123456789")
    found, data = rewriter.peek(KEY, start, length, etag)
    assert data == expected
    assert (found.info.size, found.info.etag, found.attributes) == (10, etag, ATTRIBUTES)


def test_a_peek_at_nothing_but_a_name(rewriter: Rewriter, make: Make) -> None:
    etag = make(b"")
    found, data = rewriter.peek(KEY, 0, 65536, etag)
    assert (found.info.size, data) == (0, b"")


def test_another_object_is_not_read(rewriter: Rewriter, make: Make) -> None:
    etag = make(b"first")
    make(b"second")
    for start in (0, 1000):
        with pytest.raises(PreconditionFailed):
            rewriter.peek(KEY, start, 10, etag)
    with pytest.raises(PreconditionFailed), rewriter.open(KEY, etag):
        pass


@pytest.mark.parametrize("size", [0, 5, 300_000])
def test_open_streams_the_raw_bytes(size: int, rewriter: Rewriter, make: Make) -> None:
    data = bytes(range(256)) * (size // 256 + 1)
    etag = make(data[:size])
    with rewriter.open(KEY, etag) as stream:
        first = stream.read(100)
        rest = b""
        while chunk := stream.read(1 << 20):
            rest += chunk
    assert first + rest == data[:size]


@pytest.mark.parametrize("size", [0, 9, 12 << 20])
def test_replacing_keeps_what_it_is_given(size: int, rewriter: Rewriter, make: Make) -> None:
    """Also in parts: 12 MiB are three of them."""
    make()
    seen = rewriter.details(KEY)
    form = ATTRIBUTES.but(content_encoding="zstd", metadata={**ATTRIBUTES.metadata, "storage-codec": "zstd"})
    body = hashlib.sha256(b"seed").digest() * (size // 32 + 1)
    with rewriter.replace(seen, form, TAGS, size) as sink:
        for at in range(0, size, 1 << 20):
            sink.write(body[at : min(size, at + (1 << 20))])
    now = rewriter.details(KEY)
    assert (now.attributes, now.info.size) == (form, size)
    assert now.info.etag != seen.info.etag
    assert rewriter.tags(KEY) == TAGS
    with rewriter.open(KEY) as stream:
        found = b""
        while chunk := stream.read(1 << 20):
            found += chunk
    assert found == body[:size]


def test_replacing_with_nothing_takes_everything_away(
    rewriter: Rewriter, make: Make, store_kind: str
) -> None:
    make()
    with rewriter.replace(rewriter.details(KEY), Attributes("text/plain"), {}) as sink:
        sink.write(b"bare")
    now = rewriter.details(KEY)
    assert now.attributes == Attributes("text/plain")
    if store_kind != "ministack":  # which leaves the tags of the object before
        assert now.tag_count in (0, None)
        assert rewriter.tags(KEY) == {}


@pytest.mark.parametrize("size", [9, 12 << 20])
def test_an_object_written_meanwhile_stays(size: int, rewriter: Rewriter, make: Make) -> None:
    make(b"first")
    seen = rewriter.details(KEY)
    with pytest.raises(PreconditionFailed), rewriter.replace(seen, ATTRIBUTES, {}, size) as sink:
        sink.write(bytes(size))
        make(b"second")
    with rewriter.open(KEY) as stream:
        assert stream.read(100) == b"second"


@pytest.mark.parametrize("size", [9, 12 << 20])
def test_an_object_deleted_meanwhile_stays_deleted(
    size: int, rewriter: Rewriter, make: Make, object_store: Any
) -> None:
    etag = make(b"first")
    seen = rewriter.details(KEY)
    with (
        pytest.raises((ObjectMissing, PreconditionFailed)),
        rewriter.replace(seen, ATTRIBUTES, {}, size) as sink,
    ):
        sink.write(bytes(size))
        object_store.delete([DeleteTarget(KEY, etag)])
    with pytest.raises(ObjectMissing):
        rewriter.details(KEY)


@pytest.mark.parametrize("size", [9, 12 << 20])
def test_nothing_changes_when_the_block_raises(size: int, rewriter: Rewriter, make: Make) -> None:
    make(b"first")
    seen = rewriter.details(KEY)
    with pytest.raises(ZeroDivisionError), rewriter.replace(seen, Attributes(), {}, size) as sink:
        sink.write(bytes(size))
        raise ZeroDivisionError
    now = rewriter.details(KEY)
    assert replace(now.info, last_modified=seen.info.last_modified) == seen.info
    assert now.attributes == ATTRIBUTES


@pytest.mark.parametrize("store_kind", ["ministack", "minio"], indirect=True)
def test_a_store_that_may_ignore_conditions_is_looked_at_first(object_store: Any, make: Make) -> None:
    make(b"first")
    careful = S3Rewriter(object_store, conditional=lambda: False)
    seen = careful.details(KEY)
    send = object_store.send

    def unconditional(method: str, key: str, **words: Any) -> Any:
        if method == "PUT":
            words["headers"].pop("If-Match")
        return send(method, key, **words)

    object_store.send = unconditional
    with pytest.raises(PreconditionFailed), careful.replace(seen, ATTRIBUTES, {}) as sink:
        sink.write(b"third")
        make(b"second")
    with careful.open(KEY) as stream:
        assert stream.read(100) == b"second"


@pytest.mark.parametrize("store_kind", ["ministack", "minio"], indirect=True)
def test_tags_are_not_counted_where_the_store_may_not_count_them(object_store: Any, make: Make) -> None:
    make(tags={})
    sure, unsure = S3Rewriter(object_store, counts_tags=lambda: True), S3Rewriter(object_store)
    assert (sure.details(KEY).tag_count, unsure.details(KEY).tag_count) == (0, None)


def test_versions_are_seen(rewriter: Rewriter) -> None:
    assert rewriter.versioned() is False
