"""Reader of an object's original bytes, whatever form they are stored in.

The metadata of an object is not trusted: the reader never returns more bytes than it declares, nor more than
the stored bytes can plausibly expand to, and a whole object must match its SHA-256. An object that another
program encoded is returned as it is stored.
"""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass

from storage.cold import codecs
from storage.cold.errors import ContentDamaged
from storage.cold.model import Compression, Details, compression_of
from storage.cold.ports import ObjectReplacer
from storage.core.errors import PreconditionFailed, UsageError
from storage.core.model import ObjectKey

CHUNK = 1 << 20  # bytes per read
AT_ONCE = 8 << 20  # bytes per ranged request
MOST_RATIO = 500  # original bytes that one stored byte may expand to
TRIES = 3  # attempts at an object that is replaced while it is read


def why_bomb(size: int, stored: int) -> str:
    """Return why a compression ratio indicates a decompression bomb; '' if it is plausible."""
    why = f"its compression ratio exceeds {MOST_RATIO}, which only decompression bombs reach"
    return why if size > MOST_RATIO * stored else ""


@dataclass(frozen=True, slots=True)
class Original:
    """Original of an object. ``identity``: the etag it was written with, as far as it is known."""

    size: int
    identity: str


def original(key: ObjectKey, details: Details) -> Original:
    """Return the object's size and etag without its coding. Raises ContentDamaged for invalid metadata."""
    compression = compression_of(key, details.attributes)
    return (
        Original(compression.size, compression.etag)
        if compression
        else Original(details.info.size, details.info.etag)
    )


def read(
    replacer: ObjectReplacer, key: ObjectKey, start: int = 0, length: int | None = None
) -> Iterator[bytes]:
    """Yield the original bytes from ``start`` on, truncated at the object's end.

    If the object is compressed, decompressed or moved during the read, reading resumes at the same offset; if
    it is overwritten, reading fails. Raises ObjectMissing, PreconditionFailed (overwritten), ContentDamaged,
    UsageError.
    """
    if start < 0 or (length is not None and length < 0):
        raise UsageError(f"Start and length of a range must be 0 or more: start {start}, length {length}.")
    first: Original | None = None
    at, tries = start, 0
    while True:
        details = replacer.details(key)
        found = original(key, details)
        first = first or found
        if found != first:
            raise PreconditionFailed(key)
        stop = found.size if length is None else min(found.size, start + length)
        try:
            for piece in _range(replacer, details, at, stop):
                at += len(piece)
                yield piece
            return
        except PreconditionFailed:
            tries += 1
            if tries == TRIES:
                raise


def check(replacer: ObjectReplacer, details: Details, compression: Compression) -> None:
    """Read the whole object and verify its size and SHA-256. Raises ContentDamaged."""
    for _ in _decoded(replacer, details, compression):
        pass


def decoded(replacer: ObjectReplacer, details: Details) -> Iterator[bytes]:
    """Yield all original bytes of exactly that object; the last piece only after successful verification."""
    compression = compression_of(details.info.key, details.attributes)
    return _decoded(replacer, details, compression) if compression else _stored(replacer, details)


def _range(replacer: ObjectReplacer, details: Details, start: int, stop: int) -> Iterator[bytes]:
    compression = compression_of(details.info.key, details.attributes)
    whole = start == 0 and stop == (compression.size if compression else details.info.size)
    if compression:
        yield from (
            _decoded(replacer, details, compression)
            if whole
            else _cut(_decoded(replacer, details, compression), start, stop)
        )
    elif whole:
        yield from _stored(replacer, details)
    else:
        yield from _ranged(replacer, details, start, stop)


def _cut(pieces: Iterator[bytes], start: int, stop: int) -> Iterator[bytes]:
    """Yield the bytes of the pieces within the range; no piece after its end is produced."""
    at = 0
    while at < stop and (piece := next(pieces, b"")):
        if wanted := piece[max(0, start - at) : stop - at]:
            yield wanted
        at += len(piece)


def _ranged(replacer: ObjectReplacer, details: Details, start: int, stop: int) -> Iterator[bytes]:
    for at in range(start, stop, AT_ONCE):
        length = min(AT_ONCE, stop - at)
        data = replacer.read_range(details.info.key, at, length, details.info.etag)[1]
        if len(data) != length:
            raise ContentDamaged(
                details.info.key, f"the store sent {len(data)} bytes for a range of {length}"
            )
        yield data


def _stored(replacer: ObjectReplacer, details: Details) -> Generator[bytes, None, None]:
    with replacer.open(details.info.key, details.info.etag) as stream:
        while chunk := stream.read(CHUNK):
            yield chunk


def _decoded(replacer: ObjectReplacer, details: Details, compression: Compression) -> Iterator[bytes]:
    """Yield the original bytes. One piece is held back until the hash of the whole has been compared."""
    key, stored = details.info.key, details.info.size
    if why := why_bomb(compression.size, stored):
        raise ContentDamaged(
            key, f"its {stored} stored bytes declare {compression.size} original ones: {why}"
        )
    size, sum, held = 0, hashlib.sha256(), b""
    try:
        with closing(_stored(replacer, details)) as chunks:
            for piece in codecs.unpacked(compression.codec, chunks):
                size += len(piece)
                if size > compression.size:
                    raise ContentDamaged(
                        key, f"it decompresses to more than the declared {compression.size} bytes"
                    )
                sum.update(piece)
                if held:
                    yield held
                held = piece
    except codecs.Undecodable as error:
        raise ContentDamaged(key, str(error)) from error
    if size != compression.size:
        raise ContentDamaged(key, f"it decompresses to {size} bytes, but declares {compression.size}")
    if sum.hexdigest() != compression.sha256:
        raise ContentDamaged(key, "its SHA-256 does not match the declared one")
    if held:
        yield held
