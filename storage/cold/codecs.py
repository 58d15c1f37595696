"""The codecs as streams: bytes in, bytes out, in memory that does not grow with the object.

Packers take an object's bytes piece by piece. :func:`unpacked` undoes a codec on bytes that anybody may have
written, so its pieces are small however much a few bytes swell; :func:`unpacker` undoes what a packer of this
process has just made, while it is made. Everything made is a plain zstd or lz4 frame or a gzip member with a
checksum, and the same for the same bytes.
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

PIECE = 256 << 10  # bytes handed out at once
SMALL, LONG = 1 << 20, 64 << 20  # below the one zstd works harder, from the other on it looks far back
#: What brings level 6 to the size that level 9 reaches, in two thirds of its time.
FINER: Mapping[str, int] = {
    "strategy": zstandard.STRATEGY_LAZY,
    "search_log": 5,
    "min_match": 5,
    "hash_log": 17,
    "chain_log": 17,
}
#: Bits of the window: RFC 9659 lets a client refuse more than 23 under Content-Encoding, and browsers do.
WINDOW = 23
WIDEST = 27  # bits of a window that is still read: what zstd itself allows unasked
_GZIP = 16 + zlib.MAX_WBITS


class Undecodable(ValueError):
    """The bytes are no whole stream of the codec."""


@contextmanager
def _faults(codec: CodecName) -> Iterator[None]:
    """The libraries' errors become ours."""
    try:
        yield
    except (zlib.error, zstandard.ZstdError, RuntimeError, EOFError) as error:
        raise Undecodable(f"{codec}: {error}") from error


class Packer(Protocol):
    """Compresses one object."""

    def feed(self, data: bytes) -> bytes: ...

    def finish(self) -> bytes:
        """What is left, and the end of the stream. Raises Undecodable where the size was not as said."""
        ...


class Unpacker(Protocol):
    """Undoes what a packer of this process made."""

    @property
    def ended(self) -> bool:
        """Whether the stream came to its end."""
        ...

    def feed(self, data: bytes) -> Iterator[bytes]: ...


def packer(codec: CodecName, level: int | None, size: int) -> Packer:
    """One for an object of ``size`` bytes; ``level`` None chooses by the size."""
    return _PACKERS[codec](level, size)


def unpacker(codec: CodecName) -> Unpacker:
    return _UNPACKERS[codec]()


def unpacked(codec: CodecName, chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The original bytes of ``chunks``, at most PIECE at once. Raises Undecodable for what is none of it.

    Nothing is read ahead of what is asked for: a caller who has seen enough just stops. Whether it was all
    is for the caller to check, by size and hash.
    """
    return _unpacked_zstd(chunks) if codec == "zstd" else _unpacked_by_feeding(codec, chunks)


def _unpacked_by_feeding(codec: CodecName, chunks: Iterable[bytes]) -> Iterator[bytes]:
    undo = unpacker(codec)
    for chunk in chunks:
        yield from undo.feed(chunk)
    if not undo.ended:
        raise Undecodable(f"it is no whole {codec}: its end is missing")


def _unpacked_zstd(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """By a reader: a few bytes of zstd may stand for gigabytes, and only it makes no more than asked for.

    A frame that was cut off just ends early.
    """
    source = cast(BinaryIO, _Chunks(chunks))
    reader = zstandard.ZstdDecompressor(max_window_size=1 << WIDEST).stream_reader(source, read_size=PIECE)
    while piece := _read(reader):
        yield piece


def _read(reader: zstandard.ZstdDecompressionReader) -> bytes:
    with _faults("zstd"):
        return reader.read(PIECE)


class _Chunks:
    """Chunks as a file."""

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
        if words.window_log > WINDOW:  # of the highest levels by themselves
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
    """A piece is as large as what the packer took in for it."""

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
    """One member, with no name and no time. zlib-ng 5 reaches the size of zlib 6 in a third of its time."""

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
