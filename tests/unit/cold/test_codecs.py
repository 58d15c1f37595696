"""Streaming codecs: round trips in pieces of any size, and detection of invalid streams."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator

import lz4.frame
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.cold import codecs
from storage.core.cold_settings import LEVELS
from storage.core.tiers import CODECS, CodecName

TEXT = b"".join(b'{"start": %d.%03d, "text": "and then"}\n' % (n, n % 997) for n in range(40_000))
CONTENT = {
    "nothing": b"",
    "a byte": b"x",
    "text": TEXT,
    "zeros": bytes(3 << 20),
    "noise": os.urandom(700_000),
}


def packed(codec: CodecName, data: bytes, level: int | None = None, step: int = 100_000) -> bytes:
    packer = codecs.packer(codec, level, len(data))
    pieces = [packer.feed(data[at : at + step]) for at in range(0, len(data), step)]
    return b"".join([*pieces, packer.finish()])


def unpacked(codec: CodecName, data: bytes, step: int = 1 << 20) -> bytes:
    return b"".join(codecs.unpacked(codec, (data[at : at + step] for at in range(0, len(data), step))))


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("name", CONTENT)
def test_what_goes_in_comes_out(codec: CodecName, name: str) -> None:
    data = CONTENT[name]
    form = packed(codec, data)
    assert unpacked(codec, form) == data
    assert unpacked(codec, form, step=997) == data
    undo = codecs.unpacker(codec)
    assert b"".join(undo.feed(form)) == data and undo.ended


@settings(max_examples=150, deadline=None, database=None, derandomize=True)
@given(st.sampled_from(CODECS), st.binary(max_size=3000), st.integers(1, 700), st.integers(1, 700))
def test_pieces_do_not_matter(codec: CodecName, data: bytes, into: int, out: int) -> None:
    assert unpacked(codec, packed(codec, data, step=into), step=out) == data


@pytest.mark.parametrize("codec", CODECS)
def test_every_level_is_taken(codec: CodecName) -> None:
    low, high = LEVELS[codec]
    for level in (low, high):
        assert unpacked(codec, packed(codec, TEXT, level)) == TEXT


@pytest.mark.parametrize("codec", CODECS)
def test_the_libraries_read_it_and_it_is_the_same_twice(codec: CodecName) -> None:
    form = packed(codec, TEXT)
    assert packed(codec, TEXT) == form
    others = {
        "zstd": lambda: zstandard.ZstdDecompressor().decompress(form),
        "gzip": lambda: gzip.decompress(form),
        "lz4": lambda: lz4.frame.decompress(form),
    }
    assert others[codec]() == TEXT


def test_gzip_holds_no_time_and_no_name() -> None:
    flags, mtime = packed("gzip", TEXT)[3], packed("gzip", TEXT)[4:8]
    assert (flags, mtime) == (0, bytes(4))


def test_zstd_works_harder_where_it_is_small_and_writes_a_checksum() -> None:
    small, large = TEXT[: 1 << 19], TEXT[: 1 << 20]
    assert len(packed("zstd", small)) < len(packed("zstd", small, 3))
    assert packed("zstd", large) == packed("zstd", large, 3) != packed("zstd", large, 9)
    assert zstandard.get_frame_parameters(packed("zstd", small)).has_checksum


@pytest.mark.parametrize(
    ("level", "size"), [(None, 200 << 20), (19, 200 << 20), (3, 64 << 20), (19, 9 << 20)]
)
def test_the_window_is_one_that_browsers_take(level: int | None, size: int) -> None:
    """RFC 9659: at most 8 MiB."""
    head = codecs.packer("zstd", level, size).feed(os.urandom(1 << 20))
    assert zstandard.get_frame_parameters(head).window_size <= 8 << 20


def test_far_repetitions_of_large_text_are_found() -> None:
    """Two equal blocks of noise, six MiB apart: only a search that reaches so far stores the noise once."""
    noise = os.urandom(6 << 20)
    packer = codecs.packer("zstd", None, 64 << 20)
    rest = bytes((64 << 20) - 2 * len(noise))
    size = sum(len(packer.feed(one)) for one in (noise, noise, rest)) + len(packer.finish())
    assert size < 1.1 * len(noise)


@pytest.mark.parametrize("codec", ["zstd", "lz4"])
@pytest.mark.parametrize("answer", [len(TEXT) - 1, len(TEXT) + 1])
def test_another_size_than_was_said_is_noticed(codec: CodecName, answer: int) -> None:
    packer = codecs.packer(codec, None, answer)
    with pytest.raises(codecs.Undecodable):
        _ = packer.feed(TEXT) + packer.finish()


@pytest.mark.parametrize("codec", ["gzip", "lz4"])
@pytest.mark.parametrize("cut", [1, 4, 9, 5000])
def test_a_cut_stream_is_noticed(codec: CodecName, cut: int) -> None:
    with pytest.raises(codecs.Undecodable):
        unpacked(codec, packed(codec, TEXT)[:-cut])


@pytest.mark.parametrize("cut", [1, 4, 9, 5000])
def test_a_cut_zstd_does_not_come_out_whole(cut: int) -> None:
    undo, form = codecs.unpacker("zstd"), packed("zstd", TEXT)[:-cut]
    assert len(b"".join(undo.feed(form))) <= len(TEXT) and not undo.ended


def test_a_cut_zstd_gives_fewer_bytes() -> None:
    assert len(unpacked("zstd", packed("zstd", TEXT)[:-5000])) < len(TEXT)


@pytest.mark.parametrize("codec", CODECS)
def test_what_is_none_of_it_is_reported(codec: CodecName) -> None:
    form = bytearray(packed(codec, TEXT))
    form[len(form) // 2] ^= 0x55
    for wrong in (b"plain text, as it was", bytes(100), bytes(form)):
        with pytest.raises(codecs.Undecodable):
            unpacked(codec, wrong)


@pytest.mark.parametrize("codec", ["gzip", "lz4"])
def test_bytes_behind_the_end_are_reported(codec: CodecName) -> None:
    for step in (100, 1 << 20):
        with pytest.raises(codecs.Undecodable):
            unpacked(codec, packed(codec, TEXT) + b"more of it", step=step)


@pytest.mark.parametrize("codec", CODECS)
def test_a_bomb_is_unpacked_in_small_pieces_and_no_further_than_asked(codec: CodecName) -> None:
    """A quarter of a gigabyte of zeros in one chunk: three pieces need the memory of three pieces."""
    packer = codecs.packer(codec, None, 256 << 20)
    bomb = b"".join([*(packer.feed(bytes(1 << 24)) for _ in range(16)), packer.finish()])
    pieces: Iterator[bytes] = codecs.unpacked(codec, [bomb])
    tracemalloc.start()
    assert all(0 < len(next(pieces)) <= codecs.PIECE for _ in range(3))
    assert tracemalloc.get_traced_memory()[1] < 24 << 20
    tracemalloc.stop()


def test_a_wide_window_is_refused() -> None:
    """This window asks for two gigabytes of memory."""
    words = zstandard.ZstdCompressionParameters.from_level(1, window_log=31, enable_ldm=True)
    stream = zstandard.ZstdCompressor(compression_params=words).compressobj()
    form = stream.compress(TEXT) + stream.flush()
    with pytest.raises(codecs.Undecodable, match="memory"):
        unpacked("zstd", form)


MEMORY = """
import resource, sys
from storage.cold import codecs
codec, mebibytes = sys.argv[1], int(sys.argv[2])
packer, undo, total = codecs.packer(codec, None, mebibytes << 20), codecs.unpacker(codec), 0
chunk = b"".join(b"%d line of text\\n" % line for line in range(70_000))[: 1 << 20]
for number in range(mebibytes):
    for piece in undo.feed(packer.feed(chunk)):
        total += len(piece)
total += sum(len(piece) for piece in undo.feed(packer.finish()))
assert total == mebibytes << 20 and undo.ended
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.parametrize("codec", CODECS)
def test_memory_does_not_grow_with_the_object(codec: CodecName) -> None:
    def peak(mebibytes: int) -> int:
        argv = [sys.executable, "-c", MEMORY, codec, str(mebibytes)]
        done = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=120)
        return int(done.stdout)

    assert peak(160) - peak(66) < 16 << 10  # KiB
