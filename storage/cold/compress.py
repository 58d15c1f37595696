"""Compressing one object in place, by one conditional write of a form that was proven beforehand.

What is sent has been decompressed again and compared with what was read, so an error of a codec never gets
as far as the store. The compressed bytes wait in memory, or on disk where they are many, for their metadata
holds the hash of the last byte read.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Literal

from storage.cold import codecs, compressibility, decompressing_reader
from storage.cold.errors import CompressorErred, ContentDamaged
from storage.cold.model import Compression, Details, compression_of, without_compression
from storage.cold.ports import ObjectReplacer
from storage.core.errors import ObjectMissing, PreconditionFailed, StoreRefused, TransientFault
from storage.core.model import Attributes, ObjectKey
from storage.core.tiers import CodecName

CHUNK = 1 << 20  # bytes read at once
IN_MEMORY = 8 << 20  # compressed bytes; more of them wait on disk
MOST_METADATA = 2048  # bytes of names and values, which every store takes

Spool = tempfile.SpooledTemporaryFile[bytes]
Status = Literal["done", "skipped", "overtaken"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rewritten:
    """What became of one object.

    ``done``: it is compressed as ``compression`` says, and ``after`` is what a HEAD answered. ``skipped``: it
    stays as it is for the reason ``why``, which holds as long as its bytes do; ``damaged``: and what it says
    of itself is wrong. ``overtaken``: gone or another by now. ``before`` is what it was, where that was seen.
    """

    status: Status
    why: str = ""
    before: Details | None = None
    after: Details | None = None
    compression: Compression | None = None
    damaged: bool = False


class _NotWorth(Exception):
    """The object stays as it is; says why."""


def compress(
    replacer: ObjectReplacer,
    key: ObjectKey,
    size: int,
    etag: str,
    codec: CodecName,
    level: int | None = None,
    begun: Callable[[int], None] = lambda size: None,
) -> Rewritten:
    """Compress the object if it still is the one with ``etag``; a repetition finds what an earlier one did.

    ``begun`` is told the compressed size before it is replaced, and only where it is.
    Raises CompressorErred, or what the store raises; the object is as it was then.
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
    """What is there instead of the object with ``etag``: perhaps its own compressed form.

    With ``compression`` exactly that one; without it any that we made of that object. Raises ContentDamaged.
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
    """Details of the object, and the bytes it is judged by; all it has where it is small.

    What another encoding or a hold rules out is looked at once only.
    """
    first, *others = compressibility.sample_ranges(size)
    try:
        seen, data = replacer.read_range(key, first[0], max(1, first[1]), etag)
    except StoreRefused as error:  # of one that is archived, or encrypted with a key of its owner's
        raise _NotWorth(f"the store does not give it: {error.args[-1]}") from error
    if (seen.info.etag, seen.info.size) != (etag, size):
        raise PreconditionFailed(key)  # of a store that ignores the condition
    if seen.blocked or seen.attributes.content_encoding or compression_of(key, seen.attributes):
        others = []
    samples = [data]
    for start, length in others:
        if not compressibility.settled(samples, key):
            samples.append(replacer.read_range(key, start, length, etag)[1])
    return seen, samples


def _may(seen: Details, compression: Compression) -> None:
    """Raises _NotWorth where the object must stay as it is, whatever its bytes."""
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
    """Whether Expires, where there is one, is a date: a request can carry nothing else."""
    try:
        return not headers.get("expires") or bool(parsedate_to_datetime(headers["expires"]))
    except ValueError:
        return False


def _weight(attributes: Attributes) -> int:
    return sum(len(name) + len(value) for name, value in attributes.metadata.items())


def _source(replacer: ObjectReplacer, seen: Details, samples: list[bytes]) -> Iterator[bytes]:
    """The object's bytes: those at hand where they are all, else by one GET."""
    if seen.info.size <= compressibility.WHOLE:
        yield samples[0]
        return
    with replacer.open(seen.info.key, seen.info.etag) as stream:
        while chunk := stream.read(CHUNK):
            yield chunk


def _pack(
    source: Iterable[bytes], spool: Spool, seen: Details, codec: CodecName, level: int | None
) -> tuple[str, int]:
    """Write the source's compressed bytes into ``spool``; the source's SHA-256, and how many they are.

    Raises CompressorErred where they do not decompress to it, TransientFault for a source cut short.
    """
    key, size = seen.info.key, seen.info.size
    try:
        packer, proof, read, packed = codecs.packer(codec, level, size), _Proof(codec), _Sum(), 0
        for chunk in source:
            read.add(chunk)
            packed += _write(packer.feed(chunk), spool, proof)
            if proof.sum.size > read.size:
                raise CompressorErred(key, "there come more bytes back than went in")
        if read.size != size:
            raise TransientFault("The object store", f"of {size} bytes of {key!r} there came {read.size}")
        packed += _write(packer.finish(), spool, proof)
    except codecs.Undecodable as error:
        raise CompressorErred(key, str(error)) from error
    if not proof.ended or (proof.sum.size, proof.sum.sha256) != (read.size, read.sha256):
        raise CompressorErred(key, "other bytes come back than went in")
    return read.sha256, packed


def _write(data: bytes, spool: Spool, proof: _Proof) -> int:
    spool.write(data)
    proof.feed(data)
    return len(data)


class _Sum:
    """Length and SHA-256 of what was added."""

    def __init__(self) -> None:
        self.size, self._hash = 0, hashlib.sha256()

    def add(self, data: bytes) -> None:
        self.size += len(data)
        self._hash.update(data)

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()


class _Proof:
    """Decompresses what is sent, and sums it up."""

    def __init__(self, codec: CodecName) -> None:
        self.sum, self._undo = _Sum(), codecs.unpacker(codec)

    @property
    def ended(self) -> bool:
        return self._undo.ended

    def feed(self, data: bytes) -> None:
        for piece in self._undo.feed(data):
            self.sum.add(piece)


def _replace(
    replacer: ObjectReplacer,
    seen: Details,
    compression: Compression,
    spool: Spool,
    packed: int,
) -> Rewritten:
    """Put the compressed form in the object's place, and look whether it is there."""
    key = seen.info.key
    tags = {} if seen.tag_count == 0 else replacer.tags(key)  # as late as can be: they change by themselves
    spool.seek(0)
    try:
        with replacer.replace(seen, compression.written_into(seen.attributes), tags, packed) as sink:
            while chunk := spool.read(CHUNK):
                sink.write(chunk)
    except (PreconditionFailed, ObjectMissing):
        # Ours after all, where only the answer was lost.
        return look(replacer, key, compression.etag, compression)
    found = look(replacer, key, compression.etag, compression)
    if found.status == "done" and found.after and found.after.info.size != packed:
        raise ContentDamaged(key, f"{packed} bytes were written, and the store has {found.after.info.size}")
    return found


def decompress(
    replacer: ObjectReplacer,
    key: ObjectKey,
    begun: Callable[[Details, Compression], None] = lambda seen, compression: None,
) -> Rewritten:
    """Put the original back in its place, if it was compressed by us; ``compression`` says how it was.

    ``begun`` is told what is there before it is replaced: afterwards nothing of the object says what it was.
    Raises ContentDamaged, or what the store raises; the object is as it was then.
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
        now = replacer.details(key)  # ours after all, where only the answer was lost
    if compression_of(key, now.attributes) or now.info.size != compression.size:
        return Rewritten(status="overtaken", why="written anew since it was seen")
    return Rewritten(status="done", before=seen, after=now, compression=compression)


def _unpack(replacer: ObjectReplacer, seen: Details, compression: Compression) -> None:
    tags = {} if seen.tag_count == 0 else replacer.tags(seen.info.key)
    with replacer.replace(seen, without_compression(seen.attributes), tags, compression.size) as sink:
        for piece in decompressing_reader.decoded(replacer, seen):
            sink.write(piece)
