"""Streaming codecs whose memory use does not grow with the object.

Packers compress an object piece by piece. :func:`unpacked` decompresses untrusted bytes, so its pieces are
small however far a few bytes expand; :func:`unpacker` decompresses the output of a packer of this process
while it is produced. All output is a plain zstd or lz4 frame or a gzip member with a checksum, and
deterministic for the same bytes.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, BinaryIO, Protocol, cast

import zstandard
from lz4.frame import BLOCKSIZE_MAX1MB, LZ4FrameCompressor, LZ4FrameDecompressor
from zlib_ng import zlib_ng

from storage.core.tiers import CodecName

PIECE = 256 << 10  # bytes returned at once
SMALL, LONG = 1 << 20, 64 << 20  # zstd: higher level below the first, long-distance matching from the second
#: Parameters that let level 6 reach the size of level 9 in two thirds of its time.
FINER: Mapping[str, int] = {
    "strategy": zstandard.STRATEGY_LAZY,
    "search_log": 5,
    "min_match": 5,
    "hash_log": 17,
    "chain_log": 17,
}
#: Bits of the window: RFC 9659 lets a client refuse more than 23 under Content-Encoding, and browsers do.
WINDOW = 23
WIDEST = 27  # bits of the largest window accepted for reading: the default limit of zstd
_GZIP = 16 + zlib.MAX_WBITS


class Undecodable(ValueError):
    """Error of bytes that are not a complete stream of the codec."""


@contextmanager
def _faults(codec: CodecName) -> Iterator[None]:
    """Translate the libraries' errors into Undecodable."""
    try:
        yield
    except (zlib.error, zstandard.ZstdError, RuntimeError, EOFError) as error:
        raise Undecodable(f"{codec}: {error}") from error


class Packer(Protocol):
    """Compressor of one object."""

    def feed(self, data: bytes) -> bytes: ...

    def finish(self) -> bytes:
        """Return the remaining bytes and the end of the stream. Raises Undecodable if the size was wrong."""
        ...


class Unpacker(Protocol):
    """Decompressor for the output of a packer of this process."""

    @property
    def ended(self) -> bool:
        """Return True if the stream reached its end."""
        ...

    def feed(self, data: bytes) -> Iterator[bytes]: ...


def packer(codec: CodecName, level: int | None, size: int) -> Packer:
    """Create a packer for an object of ``size`` bytes; ``level`` None chooses by the size."""
    return _PACKERS[codec](level, size)


def unpacker(codec: CodecName) -> Unpacker:
    return _UNPACKERS[codec]()


def unpacked(codec: CodecName, chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the original bytes of ``chunks``, at most PIECE at once. Raises Undecodable for invalid bytes.

    Nothing is read ahead of the consumer: a caller may stop at any point. The caller must check by size and
    hash that the result is complete.
    """
    return _unpacked_zstd(chunks) if codec == "zstd" else _unpacked_by_feeding(codec, chunks)


def _unpacked_by_feeding(codec: CodecName, chunks: Iterable[bytes]) -> Iterator[bytes]:
    undo = unpacker(codec)
    for chunk in chunks:
        yield from undo.feed(chunk)
    if not undo.ended:
        raise Undecodable(f"the {codec} stream is incomplete: its end is missing")


def _unpacked_zstd(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Decompress by a reader, which alone limits its output: a few bytes of zstd may expand to gigabytes.

    A truncated frame just ends early.
    """
    source = cast(BinaryIO, _Chunks(chunks))
    reader = zstandard.ZstdDecompressor(max_window_size=1 << WIDEST).stream_reader(source, read_size=PIECE)
    while piece := _read(reader):
        yield piece


def _read(reader: zstandard.ZstdDecompressionReader) -> bytes:
    with _faults("zstd"):
        return reader.read(PIECE)


class _Chunks:
    """File-like view of chunks."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)

    def read(self, size: int = -1) -> bytes:
        return next(filter(None, self._chunks), b"")


# --- zstd -------------------------------------------------------------------------------------------
class _ZstdPacker:
    def __init__(self, level: int | None, size: int) -> None:
        chosen = (6 if size < SMALL else 3) if level is None else level
        finer = FINER if level is None and size < SMALL else {}
        long: dict[str, Any] = {"enable_ldm": True, "window_log": WINDOW} if size >= LONG else {}
        words = zstandard.ZstdCompressionParameters.from_level(
            chosen, source_size=size, write_checksum=True, **long, **finer
        )
        if words.window_log > WINDOW:  # the default of the highest levels
            words = zstandard.ZstdCompressionParameters.from_level(
                chosen, source_size=size, write_checksum=True, window_log=WINDOW
            )
        self._stream = zstandard.ZstdCompressor(compression_params=words).compressobj(size=size)

    def feed(self, data: bytes) -> bytes:
        with _faults("zstd"):
            return self._stream.compress(data)

    def finish(self) -> bytes:
        with _faults("zstd"):
            return self._stream.flush()


class _ZstdUnpacker:
    """Decompressor of zstd; a piece is as large as the packer's input for it."""

    def __init__(self) -> None:
        self._stream = zstandard.ZstdDecompressor(max_window_size=1 << WIDEST).decompressobj()

    @property
    def ended(self) -> bool:
        return self._stream.eof and not self._stream.unused_data

    def feed(self, data: bytes) -> Iterator[bytes]:
        with _faults("zstd"):
            piece = self._stream.decompress(data) if data else b""
        yield piece


# --- gzip -------------------------------------------------------------------------------------------
class _GzipPacker:
    """Compressor to one gzip member without name and time.

    zlib-ng level 5 reaches the size of zlib level 6 in a third of its time.
    """

    def __init__(self, level: int | None, size: int) -> None:
        self._stream = zlib_ng.compressobj(5 if level is None else level, wbits=_GZIP)

    def feed(self, data: bytes) -> bytes:
        return self._stream.compress(data)

    def finish(self) -> bytes:
        return self._stream.flush()


class _GzipUnpacker:
    def __init__(self) -> None:
        self._stream = zlib.decompressobj(wbits=_GZIP)

    @property
    def ended(self) -> bool:
        return self._stream.eof and not self._stream.unused_data

    def feed(self, data: bytes) -> Iterator[bytes]:
        while piece := self._some(data):
            yield piece
            data = self._stream.unconsumed_tail

    def _some(self, data: bytes) -> bytes:
        with _faults("gzip"):
            piece = self._stream.decompress(data, PIECE)
        if self._stream.unused_data:
            raise Undecodable("bytes follow the end of its stream")
        return piece


# --- lz4 --------------------------------------------------------------------------------------------
class _Lz4Packer:
    def __init__(self, level: int | None, size: int) -> None:
        self._stream = LZ4FrameCompressor(
            block_size=BLOCKSIZE_MAX1MB,
            block_linked=True,
            compression_level=level or 0,
            content_checksum=True,
        )
        self._begun: bytes = self._stream.begin(size)

    def feed(self, data: bytes) -> bytes:
        begun, self._begun = self._begun, b""
        with _faults("lz4"):
            return bytes(begun + self._stream.compress(data))

    def finish(self) -> bytes:
        with _faults("lz4"):
            return bytes(self._begun + self._stream.flush())


class _Lz4Unpacker:
    def __init__(self) -> None:
        self._stream = LZ4FrameDecompressor()

    @property
    def ended(self) -> bool:
        return self._stream.eof and not self._stream.unused_data

    def feed(self, data: bytes) -> Iterator[bytes]:
        piece = self._some(data) if data else b""
        while piece:
            yield piece
            done = self._stream.eof or self._stream.needs_input
            piece = b"" if done else self._some(b"")

    def _some(self, data: bytes) -> bytes:
        with _faults("lz4"):
            piece = self._stream.decompress(data, max_length=PIECE)
        if self._stream.unused_data:
            raise Undecodable("bytes follow the end of its frame")
        return bytes(piece)


_PACKERS: Mapping[CodecName, Callable[[int | None, int], Packer]] = {
    "zstd": _ZstdPacker,
    "gzip": _GzipPacker,
    "lz4": _Lz4Packer,
}
_UNPACKERS: Mapping[CodecName, Callable[[], Unpacker]] = {
    "zstd": _ZstdUnpacker,
    "gzip": _GzipUnpacker,
    "lz4": _Lz4Unpacker,
}
