"""Compress one object in place, by one conditional write of a form that was verified beforehand.

The compressed bytes are decompressed and compared with the source before they are sent, so a codec error
never reaches the store. They are buffered, for their metadata contains the hash of the whole source.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Literal

from storage.cold import codecs, compressibility, decompressing_reader
from storage.cold.errors import CompressorErred, ContentDamaged
from storage.cold.model import Compression, Details, compression_of, without_compression
from storage.cold.ports import ObjectReplacer
from storage.cold.proof import Proof, Sum
from storage.core.attributes import Attributes
from storage.core.errors import ObjectMissing, PreconditionFailed, StoreRefused, TransientFault
from storage.core.model import ObjectKey
from storage.core.tiers import CodecName

CHUNK = 1 << 20
IN_MEMORY = 8 << 20  # compressed bytes; more are buffered on disk
MOST_METADATA = 2048  # bytes of names and values, which every store accepts

Spool = tempfile.SpooledTemporaryFile[bytes]
Status = Literal["done", "skipped", "overtaken"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rewritten:
    """Result of rewriting one object.

    ``done``: it is compressed as ``compression`` says, and ``after`` is the result of a HEAD. ``skipped``: it
    is unchanged for the reason ``why``, which holds as long as its bytes do; ``damaged``: and its metadata is
    wrong. ``overtaken``: deleted or replaced meanwhile. ``before``: its previous state, if that was seen.
    """

    status: Status
    why: str = ""
    before: Details | None = None
    after: Details | None = None
    compression: Compression | None = None
    damaged: bool = False


class _NotWorth(Exception):
    """Reason why the object is left unchanged."""


def compress(
    replacer: ObjectReplacer,
    key: ObjectKey,
    size: int,
    etag: str,
    codec: CodecName,
    level: int | None = None,
    begun: Callable[[int], None] = lambda size: None,
) -> Rewritten:
    """Compress the object if it still has ``etag``; a repetition finds the result of an earlier attempt.

    ``begun`` is called with the compressed size before the object is replaced, and only if it will be.
    Raises CompressorErred, or the store's errors; the object is unchanged then.
    """
    try:
        return _compress(replacer, key, size, etag, codec, level, begun)
    except _NotWorth as reason:
        return Rewritten(status="skipped", why=str(reason))
    except ContentDamaged as error:
        return Rewritten(status="skipped", why=str(error.args[-1]), damaged=True)
    except PreconditionFailed:
        return look(replacer, key, etag)
    except ObjectMissing:
        return Rewritten(status="overtaken", why="already gone")


def look(
    replacer: ObjectReplacer, key: ObjectKey, etag: str, compression: Compression | None = None
) -> Rewritten:
    """Check what replaced the object with ``etag``: perhaps its own compressed form.

    With ``compression`` only that form counts; without it any that we made of the object. Raises
    ContentDamaged.
    """
    try:
        now = replacer.details(key)
    except ObjectMissing:
        return Rewritten(status="overtaken", why="already gone")
    found = compression_of(key, now.attributes)
    if found and found.etag == etag and found == (compression or found):
        return Rewritten(status="done", after=now, compression=found)
    return Rewritten(status="overtaken", why="written anew since it was seen")


def _compress(
    replacer: ObjectReplacer,
    key: ObjectKey,
    size: int,
    etag: str,
    codec: CodecName,
    level: int | None,
    begun: Callable[[int], None],
) -> Rewritten:
    seen, samples = _sample(replacer, key, size, etag)
    if compression := compression_of(key, seen.attributes):
        decompressing_reader.check(replacer, seen, compression)
        return Rewritten(status="done", after=seen, compression=compression)
    _may(seen, Compression(codec, size, "0" * 64, etag))
    if why := compressibility.why_not(samples, size):
        raise _NotWorth(why)
    with tempfile.SpooledTemporaryFile(IN_MEMORY) as spool:
        sha256, packed = _pack(_source(replacer, seen, samples), spool, seen, codec, level)
        if why := compressibility.why_not_kept(size, packed) or decompressing_reader.why_bomb(size, packed):
            raise _NotWorth(why)
        begun(packed)
        return _replace(replacer, seen, Compression(codec, size, sha256, etag), spool, packed)


def _sample(replacer: ObjectReplacer, key: ObjectKey, size: int, etag: str) -> tuple[Details, list[bytes]]:
    """Return the object's details and the samples it is judged by; all of its bytes if it is small.

    An object ruled out by another encoding or a hold is read only once.
    """
    first, *others = compressibility.sample_ranges(size)
    try:
        seen, data = replacer.read_range(key, first[0], max(1, first[1]), etag)
    except StoreRefused as error:  # it is archived, or encrypted with a customer-provided key
        raise _NotWorth(f"the store refuses to return it: {error.args[-1]}") from error
    if (seen.info.etag, seen.info.size) != (etag, size):
        raise PreconditionFailed(key)  # the store ignores the condition
    if seen.blocked or seen.attributes.content_encoding or compression_of(key, seen.attributes):
        others = []
    samples = [data]
    for start, length in others:
        if not compressibility.settled(samples, key):
            samples.append(replacer.read_range(key, start, length, etag)[1])
    return seen, samples


def _may(seen: Details, compression: Compression) -> None:
    """Check that the object may be replaced, whatever its bytes. Raises _NotWorth if not."""
    was = seen.attributes
    if was.content_encoding:
        raise _NotWorth(f"it is encoded already: {was.content_encoding[:40]}")
    if seen.blocked:
        raise _NotWorth(seen.blocked)
    words = [text for pair in was.metadata.items() for text in pair]
    if not all(text.isascii() and "=?" not in text for text in words):
        raise _NotWorth("its user metadata is not ASCII")
    if not all(text.isascii() for text in was.headers.values()) or not _dated(was.headers):
        raise _NotWorth("its headers cannot be written again")
    if _weight(compression.written_into(was)) > MOST_METADATA:
        raise _NotWorth("its user metadata leaves no room for ours")


def _dated(headers: Mapping[str, str]) -> bool:
    """Return True if Expires is absent or a date: a request can carry nothing else."""
    try:
        return not headers.get("expires") or bool(parsedate_to_datetime(headers["expires"]))
    except ValueError:
        return False


def _weight(attributes: Attributes) -> int:
    return sum(len(name) + len(value) for name, value in attributes.metadata.items())


def _source(replacer: ObjectReplacer, seen: Details, samples: list[bytes]) -> Iterator[bytes]:
    """Yield the object's bytes: from the sample if it is complete, else by one GET."""
    if seen.info.size <= compressibility.WHOLE:
        yield samples[0]
        return
    with replacer.open(seen.info.key, seen.info.etag) as stream:
        while chunk := stream.read(CHUNK):
            yield chunk


def _pack(
    source: Iterable[bytes], spool: Spool, seen: Details, codec: CodecName, level: int | None
) -> tuple[str, int]:
    """Write the compressed source into ``spool``; return the source's SHA-256 and the compressed size.

    Raises CompressorErred if it does not decompress to the source, TransientFault for a truncated source.
    """
    key, size = seen.info.key, seen.info.size
    try:
        packer, proof, read, packed = codecs.packer(codec, level, size), Proof(codec), Sum(), 0
        for chunk in source:
            read.add(chunk)
            packed += _write(packer.feed(chunk), spool, proof)
            if proof.sum.size > read.size:
                raise CompressorErred(key, "decompression returns more bytes than were compressed")
        if read.size != size:
            raise TransientFault("The object store", f"only {read.size} of {size} bytes of {key!r} arrived")
        packed += _write(packer.finish(), spool, proof)
    except codecs.Undecodable as error:
        raise CompressorErred(key, str(error)) from error
    if not proof.ended or (proof.sum.size, proof.sum.sha256) != (read.size, read.sha256):
        raise CompressorErred(key, "decompression returns other bytes than were compressed")
    return read.sha256, packed


def _write(data: bytes, spool: Spool, proof: Proof) -> int:
    spool.write(data)
    proof.feed(data)
    return len(data)


def _replace(
    replacer: ObjectReplacer,
    seen: Details,
    compression: Compression,
    spool: Spool,
    packed: int,
) -> Rewritten:
    """Replace the object by its compressed form, and verify that it is stored."""
    key = seen.info.key
    tags = {} if seen.tag_count == 0 else replacer.tags(key)  # as late as possible: no etag covers tags
    spool.seek(0)
    try:
        with replacer.replace(seen, compression.written_into(seen.attributes), tags, packed) as sink:
            while chunk := spool.read(CHUNK):
                sink.write(chunk)
    except (PreconditionFailed, ObjectMissing):
        # It is our own write if only the response was lost.
        return look(replacer, key, compression.etag, compression)
    found = look(replacer, key, compression.etag, compression)
    if found.status == "done" and found.after and found.after.info.size != packed:
        raise ContentDamaged(key, f"{packed} bytes were written, but the store has {found.after.info.size}")
    return found


def decompress(
    replacer: ObjectReplacer,
    key: ObjectKey,
    begun: Callable[[Details, Compression], None] = lambda seen, compression: None,
) -> Rewritten:
    """Replace a compressed object by its original, if we compressed it; the result has its ``compression``.

    ``begun`` is called with the current state before the replacement: afterwards the object no longer shows
    it. Raises ContentDamaged, or the store's errors; the object is unchanged then.
    """
    try:
        seen = replacer.details(key)
    except ObjectMissing:
        return Rewritten(status="overtaken", why="there is no such object")
    compression = compression_of(key, seen.attributes)
    if compression is None:
        return Rewritten(status="skipped", why="it is not compressed, or not by `storage`")
    if seen.blocked:
        return Rewritten(status="skipped", why=seen.blocked)
    try:
        begun(seen, compression)
        _unpack(replacer, seen, compression)
        now = replacer.details(key)
    except ObjectMissing:
        return Rewritten(status="overtaken", why="already gone")
    except PreconditionFailed:
        now = replacer.details(key)  # our own write if only the response was lost
    if compression_of(key, now.attributes) or now.info.size != compression.size:
        return Rewritten(status="overtaken", why="written anew since it was seen")
    return Rewritten(status="done", before=seen, after=now, compression=compression)


def _unpack(replacer: ObjectReplacer, seen: Details, compression: Compression) -> None:
    tags = {} if seen.tag_count == 0 else replacer.tags(seen.info.key)
    with replacer.replace(seen, without_compression(seen.attributes), tags, compression.size) as sink:
        for piece in decompressing_reader.decoded(replacer, seen):
            sink.write(piece)
