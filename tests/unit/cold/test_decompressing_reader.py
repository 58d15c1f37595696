"""Reading original bytes and ranges of every stored form, and objects with false metadata."""

from __future__ import annotations

import gzip
import hashlib
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import cache

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.cold import codecs, decompressing_reader
from storage.cold import compress as rewrite
from storage.cold.errors import ContentDamaged
from storage.cold.model import Compression
from storage.core.attributes import Attributes
from storage.core.errors import ObjectMissing, PreconditionFailed, UsageError
from storage.core.model import ObjectKey
from storage.core.tiers import CODECS, CodecName
from tests.support.object_in_memory import KEY, SMALL, TEXT, Place, before

#: Stored forms: None for an object that is not compressed, or the name of its codec.
FORMS = (None, *CODECS)


def stored(place: Place, data: bytes, form: CodecName | None) -> None:
    etag = place.put(data)
    if form:
        assert place.compress(data, etag, form).status == "done"
    place.objects.requests.clear()


def read(place: Place, start: int = 0, length: int | None = None) -> bytes:
    return b"".join(decompressing_reader.read(place.replacer, KEY, start, length))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("start", "length"),
    [
        (0, None),
        (0, 0),
        (0, 1),
        (5, 1000),
        (len(TEXT) - 1, 1),
        (len(TEXT) - 1, 99),
        (len(TEXT), 1),
        (len(TEXT) + 99, None),
        (codecs.PIECE - 1, 2),
        (codecs.PIECE, codecs.PIECE),
        (1_000_000, None),
    ],
)
def test_every_range_of_every_form(
    place: Place, form: CodecName | None, start: int, length: int | None
) -> None:
    stored(place, TEXT, form)
    stop = len(TEXT) if length is None else start + length
    assert read(place, start, length) == TEXT[start:stop]


@settings(max_examples=60, deadline=None, database=None, derandomize=True)
@given(st.sampled_from(FORMS), st.integers(0, len(TEXT) + 10), st.integers(0, len(TEXT) + 10))
def test_any_range(form: CodecName | None, start: int, length: int) -> None:
    place = Place()
    stored(place, TEXT, form)
    assert read(place, start, length) == TEXT[start : start + length]


def test_a_range_of_a_plain_object_is_asked_for_as_such(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored(place, TEXT, None)
    monkeypatch.setattr(decompressing_reader, "AT_ONCE", 1000)
    assert read(place, 100, 2500) == TEXT[100:2600]
    assert place.asked() == {"head": 1, "get": 3}


@pytest.mark.parametrize("codec", CODECS)
def test_a_range_at_the_beginning_is_not_read_to_the_end(place: Place, codec: CodecName) -> None:
    data = b"".join(b"%d: and so on, and so on\n" % random.Random(n).randrange(10**9) for n in range(100_000))
    stored(place, data, codec)
    form = place.stored()
    seen = place.replacer.details(KEY)
    read_at = 0
    with place.replacer.open(KEY) as stream:

        def chunks() -> object:
            nonlocal read_at
            while chunk := stream.read(10_000):
                read_at += len(chunk)
                yield chunk

        pieces = codecs.unpacked(codec, chunks())  # type: ignore[arg-type]
        assert b"".join(decompressing_reader._cut(pieces, 10, 500)) == data[10:500]
    assert read_at < len(form) / 2 and seen.info.size == len(form)


def test_nothing_below_nothing(place: Place) -> None:
    stored(place, SMALL, None)
    for start, length in ((-1, None), (0, -1)):
        with pytest.raises(UsageError):
            read(place, start, length)
    with pytest.raises(ObjectMissing):
        b"".join(decompressing_reader.read(place.replacer, ObjectKey("none")))


def test_what_another_program_encoded_comes_as_it_is_stored(place: Place) -> None:
    form = gzip.compress(TEXT)
    place.put(form, Attributes("text/plain", "gzip"))
    assert read(place) == form
    assert read(place, 2, 8) == form[2:10]


# --- concurrent changes -----------------------------------------------------------------------------
@pytest.mark.parametrize("form", CODECS)
@pytest.mark.parametrize("number", [1, 2, 3])
def test_an_object_compressed_while_it_is_read_is_read_on(
    place: Place, form: CodecName, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its ranges come from the plain object first, and then from the compressed object."""
    stored(place, TEXT, None)
    monkeypatch.setattr(decompressing_reader, "AT_ONCE", 100_000)
    etag = place.replacer.details(KEY).info.etag
    before(place, "get", number, lambda: rewrite.compress(place.replacer, KEY, len(TEXT), etag, form))
    assert read(place, 1, 300_000) == TEXT[1:300_001]


def test_an_object_decompressed_while_it_is_read_is_read_on(place: Place) -> None:
    stored(place, TEXT, "zstd")
    before(place, "get", 1, lambda: rewrite.decompress(place.replacer, KEY))
    assert read(place) == TEXT


def test_an_object_written_anew_is_not_read_on(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    stored(place, TEXT, None)
    monkeypatch.setattr(decompressing_reader, "AT_ONCE", 100_000)
    before(place, "get", 2, lambda: place.objects.put(KEY, TEXT + b"!"))
    pieces = decompressing_reader.read(place.replacer, KEY, 1, 300_000)
    assert next(pieces) == TEXT[1:100_001]
    with pytest.raises(PreconditionFailed):
        next(pieces)


def test_an_object_that_never_rests_is_given_up(place: Place) -> None:
    stored(place, SMALL, None)
    plain = place.replacer.details(KEY).info.etag
    turns = Counter[str]()

    def turn(name: str) -> None:
        turns[name] += 1
        if name == "get":
            place.objects.traffic.before = lambda name: None
            if rewrite.decompress(place.replacer, KEY).status != "done":
                rewrite.compress(place.replacer, KEY, len(SMALL), plain, "gzip")
            place.objects.traffic.before = turn

    place.objects.traffic.before = turn
    with pytest.raises(PreconditionFailed):
        read(place)
    assert turns["get"] == decompressing_reader.TRIES


# --- false metadata and damaged bytes ----------------------------------------------------------------
def lie(place: Place, form: bytes, compression: Compression) -> None:
    place.put(form, compression.written_into(Attributes("text/plain")))


def honest(data: bytes, codec: CodecName = "zstd") -> tuple[bytes, Compression]:
    packer = codecs.packer(codec, None, len(data))
    return packer.feed(data) + packer.finish(), Compression(
        codec, len(data), hashlib.sha256(data).hexdigest(), "e" * 32
    )


def with_(compression: Compression, **values: object) -> Compression:
    return replace(compression, **values)  # type: ignore[arg-type]


LIES: dict[str, Callable[[Compression], Compression]] = {
    "a byte less": lambda compression: with_(compression, size=compression.size - 1),
    "a byte more": lambda compression: with_(compression, size=compression.size + 1),
    "half of it": lambda compression: with_(compression, size=compression.size // 2),
    "nothing": lambda compression: with_(compression, size=0),
    "a terabyte": lambda compression: with_(compression, size=1 << 40),
    "another hash": lambda compression: with_(compression, sha256="0" * 64),
    "another codec": lambda compression: with_(
        compression, codec="gzip" if compression.codec != "gzip" else "lz4"
    ),
}


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("name", LIES)
def test_metadata_that_lies_is_found_out(place: Place, codec: CodecName, name: str) -> None:
    form, compression = honest(TEXT, codec)
    lie(place, form, LIES[name](compression))
    got = b""
    with pytest.raises(ContentDamaged):
        for piece in decompressing_reader.read(place.replacer, KEY):
            got += piece
    assert len(got) < len(TEXT), "the last bytes are held back until all was right"


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("at", [0, 3, 20, 5000, -6, -1])
def test_a_changed_byte_is_found_out(place: Place, codec: CodecName, at: int) -> None:
    form, compression = honest(TEXT, codec)
    changed = bytearray(form)
    changed[at] ^= 0xFF
    lie(place, bytes(changed), compression)
    with pytest.raises(ContentDamaged):
        read(place)


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("cut", [1, 5, 3000])
def test_a_cut_object_is_found_out(place: Place, codec: CodecName, cut: int) -> None:
    form, compression = honest(TEXT, codec)
    lie(place, form[:-cut], compression)
    if codec == "zstd" and cut == 1:  # a byte of its own checksum; the hash makes up for it
        assert read(place) == TEXT
        return
    with pytest.raises(ContentDamaged):
        read(place)


@cache
def bomb(codec: CodecName) -> bytes:
    packer = codecs.packer(codec, None, 500 << 20)
    return b"".join([*(packer.feed(bytes(50 << 20)) for _ in range(10)), packer.finish()])


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("size", [100, 10 << 20, 500 << 20], ids=["small", "less", "true"])
def test_a_bomb_is_never_unpacked_further_than_it_declares(
    place: Place, codec: CodecName, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The object is 500 MiB of zeros, whatever size it declares; as zstd it has a few KB."""
    form = bomb(codec)
    lie(place, form, Compression(codec, size, "0" * 64, "e" * 32))
    made = 0
    unpacked = codecs.unpacked

    def counted(*args: object) -> object:
        nonlocal made
        for piece in unpacked(*args):  # type: ignore[arg-type]
            made += len(piece)
            yield piece

    monkeypatch.setattr(codecs, "unpacked", counted)
    got = 0
    with pytest.raises(ContentDamaged):
        for piece in decompressing_reader.read(place.replacer, KEY):
            got += len(piece)
    assert got <= size
    assert made <= size + codecs.PIECE
    if size > decompressing_reader.MOST_RATIO * len(form):
        assert made == 0


@pytest.mark.parametrize("metadata", [{"storage-original-size": "-1"}, {"storage-codec": "rar"}])
def test_nonsense_is_reported(place: Place, metadata: dict[str, str]) -> None:
    form, compression = honest(TEXT)
    answer = compression.written_into(Attributes())
    place.put(form, answer.with_encoding(content_encoding="zstd", metadata={**answer.metadata, **metadata}))
    with pytest.raises(ContentDamaged):
        read(place)


def test_a_frame_that_wants_gigabytes_is_refused(place: Place) -> None:
    words = zstandard.ZstdCompressionParameters.from_level(1, window_log=31, enable_ldm=True)
    stream = zstandard.ZstdCompressor(compression_params=words).compressobj()
    form = stream.compress(TEXT) + stream.flush()
    lie(place, form, honest(TEXT)[1])
    with pytest.raises(ContentDamaged, match="memory"):
        read(place)
