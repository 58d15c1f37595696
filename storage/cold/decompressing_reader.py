"""An object's original bytes, whatever form they are stored in.

What the metadata of an object says is not trusted: never more bytes are handed out than it declares, nor
than its stored ones can honestly stand for, and a whole object must come out with its SHA-256. An object that
another program encoded is handed out as it is stored.
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

CHUNK = 1 << 20  # bytes read at once
AT_ONCE = 8 << 20  # bytes of one ranged request
MOST_RATIO = 500  # original bytes that one stored byte may stand for
TRIES = 3  # looks at an object that is replaced while it is read


def why_bomb(size: int, stored: int) -> str:
    """Why so few stored bytes must not stand for so many; '' where they may."""
    return f"it shrinks more than {MOST_RATIO}-fold, as only bombs do" if size > MOST_RATIO * stored else ""


@dataclass(frozen=True, slots=True)
class Original:
    """An object as it was written. ``identity``: its etag then, as far as it is known."""

    size: int
    identity: str


def original(key: ObjectKey, details: Details) -> Original:
    """What the object is without its coding. Raises ContentDamaged for nonsense."""
    compression = compression_of(key, details.attributes)
    return (
        Original(compression.size, compression.etag)
        if compression
        else Original(details.info.size, details.info.etag)
    )


def read(
    replacer: ObjectReplacer, key: ObjectKey, start: int = 0, length: int | None = None
) -> Iterator[bytes]:
    """The original bytes from ``start`` on, cut at the object's end.

    An object that is compressed, decompressed or moved meanwhile is read on where it was left; one that is
    written anew is not. Raises ObjectMissing, PreconditionFailed (written anew), ContentDamaged, UsageError.
    """
    if start < 0 or (length is not None and length < 0):
        raise UsageError(f"A range begins at 0 or later and is no shorter than nothing: {start}, {length}.")
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
    """Read all of it and compare. Raises ContentDamaged."""
    for _ in _decoded(replacer, details, compression):
        pass


def decoded(replacer: ObjectReplacer, details: Details) -> Iterator[bytes]:
    """All original bytes of exactly that object; the last come only when everything was right."""
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
    """Of the pieces what lies in the range; no more of them are made than that needs."""
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
            raise ContentDamaged(details.info.key, f"{len(data)} bytes come for a range of {length}")
        yield data


def _stored(replacer: ObjectReplacer, details: Details) -> Generator[bytes, None, None]:
    with replacer.open(details.info.key, details.info.etag) as stream:
        while chunk := stream.read(CHUNK):
            yield chunk


def _decoded(replacer: ObjectReplacer, details: Details, compression: Compression) -> Iterator[bytes]:
    """The original bytes. One piece is held back until the hash of all was compared."""
    key, stored = details.info.key, details.info.size
    if why := why_bomb(compression.size, stored):
        raise ContentDamaged(key, f"{stored} bytes are said to be {compression.size}: {why}")
    size, sum, held = 0, hashlib.sha256(), b""
    try:
        with closing(_stored(replacer, details)) as chunks:
            for piece in codecs.unpacked(compression.codec, chunks):
                size += len(piece)
                if size > compression.size:
                    raise ContentDamaged(key, f"more comes out than the {compression.size} bytes it declares")
                sum.update(piece)
                if held:
                    yield held
                held = piece
    except codecs.Undecodable as error:
        raise ContentDamaged(key, str(error)) from error
    if size != compression.size:
        raise ContentDamaged(key, f"{size} bytes come out, and it declares {compression.size}")
    if sum.hexdigest() != compression.sha256:
        raise ContentDamaged(key, "its SHA-256 is not the one it declares")
    if held:
        yield held
