"""Replacing an object with another form of itself: exact behaviour of the fake and of every store."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

import pytest

from storage.cold.ports import ObjectReplacer
from storage.cold.s3.replace import S3ObjectReplacer
from storage.core.attributes import Attributes
from storage.core.deletion import DeleteTarget
from storage.core.errors import ObjectMissing, PreconditionFailed
from storage.core.model import ObjectKey
from storage.testing import MemoryObjectReplacer
from tests.contract.conftest import REAL, VERSIONED

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
def replacer(object_store: Any, store_kind: str) -> ObjectReplacer:
    if store_kind == "fake":
        return MemoryObjectReplacer(object_store)
    return S3ObjectReplacer(object_store, conditional=lambda: True, part_size=5 << 20)


@pytest.fixture
def make(object_store: Any, store_kind: str, put: Callable[[str, bytes], None]) -> Make:
    """Store an object with every attribute it can carry, as another client would; return its etag."""

    def fake(data: bytes, tags: dict[str, str]) -> str:
        info = object_store.put(KEY, data, attributes=ATTRIBUTES)
        object_store.amend(KEY, tags=tags)
        return str(info.etag)

    def real(data: bytes, tags: dict[str, str]) -> str:
        answer = object_store.boto.put_object(
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
        return str(answer["ETag"]).strip('"')

    return lambda data=b"original", tags=TAGS: (fake if store_kind == "fake" else real)(data, tags)


def test_details_say_all_that_an_object_carries(replacer: ObjectReplacer, make: Make) -> None:
    etag = make(b"0123456789")
    found = replacer.details(KEY)
    assert (found.info.key, found.info.size, found.info.etag) == (KEY, 10, etag)
    assert found.info.storage_class == "STANDARD"
    assert found.attributes == ATTRIBUTES
    assert found.tag_count in (2, None)
    assert (found.restore, found.blocked) == ("", "")
    assert replacer.tags(KEY) == TAGS


def test_details_of_nothing(replacer: ObjectReplacer) -> None:
    for ask in (
        lambda: replacer.details(KEY),
        lambda: replacer.read_range(KEY, 0, 10),
        lambda: replacer.read_range(KEY, 0, 10, "0" * 32),
        lambda: replacer.open(KEY).__enter__(),
        lambda: replacer.tags(KEY),
    ):
        with pytest.raises(ObjectMissing):
            ask()


@pytest.mark.parametrize(
    ("start", "length", "expected"),
    [(0, 4, b"0123"), (3, 4, b"3456"), (8, 4, b"89"), (0, 100, b"0123456789"), (10, 5, b""), (99, 1, b"")],
)
def test_a_range_read_is_cut_at_the_end(
    start: int, length: int, expected: bytes, replacer: ObjectReplacer, make: Make
) -> None:
    etag = make(b"0123456789")
    found, data = replacer.read_range(KEY, start, length, etag)
    assert data == expected
    assert (found.info.size, found.info.etag, found.attributes) == (10, etag, ATTRIBUTES)


def test_a_range_read_at_nothing_but_a_name(replacer: ObjectReplacer, make: Make) -> None:
    etag = make(b"")
    found, data = replacer.read_range(KEY, 0, 65536, etag)
    assert (found.info.size, data) == (0, b"")


def test_another_object_is_not_read(replacer: ObjectReplacer, make: Make) -> None:
    etag = make(b"first")
    make(b"second")
    for start in (0, 1000):
        with pytest.raises(PreconditionFailed):
            replacer.read_range(KEY, start, 10, etag)
    with pytest.raises(PreconditionFailed), replacer.open(KEY, etag):
        pass


@pytest.mark.parametrize("size", [0, 5, 300_000])
def test_open_streams_the_raw_bytes(size: int, replacer: ObjectReplacer, make: Make) -> None:
    data = bytes(range(256)) * (size // 256 + 1)
    etag = make(data[:size])
    with replacer.open(KEY, etag) as stream:
        first = stream.read(100)
        rest = b""
        while chunk := stream.read(1 << 20):
            rest += chunk
    assert first + rest == data[:size]


@pytest.mark.parametrize("size", [0, 9, 12 << 20])
def test_replacing_keeps_what_it_is_given(size: int, replacer: ObjectReplacer, make: Make) -> None:
    """Also as a multipart upload: 12 MiB are three parts."""
    make()
    seen = replacer.details(KEY)
    form = ATTRIBUTES.with_encoding(
        content_encoding="zstd", metadata={**ATTRIBUTES.metadata, "storage-codec": "zstd"}
    )
    body = hashlib.sha256(b"seed").digest() * (size // 32 + 1)
    with replacer.replace(seen, form, TAGS, size) as sink:
        for at in range(0, size, 1 << 20):
            sink.write(body[at : min(size, at + (1 << 20))])
    now = replacer.details(KEY)
    assert (now.attributes, now.info.size) == (form, size)
    assert now.info.etag != seen.info.etag
    assert replacer.tags(KEY) == TAGS
    with replacer.open(KEY) as stream:
        found = b""
        while chunk := stream.read(1 << 20):
            found += chunk
    assert found == body[:size]


def test_replacing_with_nothing_takes_everything_away(
    replacer: ObjectReplacer, make: Make, store_kind: str
) -> None:
    make()
    with replacer.replace(replacer.details(KEY), Attributes("text/plain"), {}) as sink:
        sink.write(b"bare")
    now = replacer.details(KEY)
    assert now.attributes == Attributes("text/plain")
    if store_kind != "ministack":  # ministack keeps the previous object's tags
        assert now.tag_count in (0, None)
        assert replacer.tags(KEY) == {}


@pytest.mark.parametrize("size", [9, 12 << 20])
def test_an_object_written_meanwhile_stays(size: int, replacer: ObjectReplacer, make: Make) -> None:
    make(b"first")
    seen = replacer.details(KEY)
    with pytest.raises(PreconditionFailed), replacer.replace(seen, ATTRIBUTES, {}, size) as sink:
        sink.write(bytes(size))
        make(b"second")
    with replacer.open(KEY) as stream:
        assert stream.read(100) == b"second"


@pytest.mark.parametrize("size", [9, 12 << 20])
def test_an_object_deleted_meanwhile_stays_deleted(
    size: int, replacer: ObjectReplacer, make: Make, object_store: Any
) -> None:
    etag = make(b"first")
    seen = replacer.details(KEY)
    with (
        pytest.raises((ObjectMissing, PreconditionFailed)),
        replacer.replace(seen, ATTRIBUTES, {}, size) as sink,
    ):
        sink.write(bytes(size))
        object_store.delete([DeleteTarget(KEY, etag)])
    with pytest.raises(ObjectMissing):
        replacer.details(KEY)


@pytest.mark.parametrize("size", [9, 12 << 20])
def test_nothing_changes_when_the_block_raises(size: int, replacer: ObjectReplacer, make: Make) -> None:
    make(b"first")
    seen = replacer.details(KEY)
    with pytest.raises(ZeroDivisionError), replacer.replace(seen, Attributes(), {}, size) as sink:
        sink.write(bytes(size))
        raise ZeroDivisionError
    now = replacer.details(KEY)
    assert replace(now.info, last_modified=seen.info.last_modified) == seen.info
    assert now.attributes == ATTRIBUTES


@pytest.mark.parametrize("store_kind", REAL, indirect=True)
def test_a_store_that_may_ignore_conditions_is_looked_at_first(object_store: Any, make: Make) -> None:
    make(b"first")
    careful = S3ObjectReplacer(object_store, conditional=lambda: False)
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


@pytest.mark.parametrize("store_kind", REAL, indirect=True)
def test_tags_are_not_counted_where_the_store_may_not_count_them(object_store: Any, make: Make) -> None:
    make(tags={})
    sure, unsure = S3ObjectReplacer(object_store, counts_tags=lambda: True), S3ObjectReplacer(object_store)
    assert (sure.details(KEY).tag_count, unsure.details(KEY).tag_count) == (0, None)


def test_versions_are_seen(replacer: ObjectReplacer, store_kind: str) -> None:
    assert replacer.versioned() is (store_kind in VERSIONED)
