"""Originals put back in the place of what was compressed, and that remembered.

An original says nothing of how it was stored before. So what is about to be done is remembered first, with
the hash that tells the original: a repetition after a kill sees by it what is left to be entered.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

from storage.cold import compress, decompressing_reader
from storage.cold.journal import PROCESSED, memory_of
from storage.cold.model import ColdRecord, Compression, Details, Saving, class_of
from storage.cold.ports import ColdStores
from storage.core.errors import StorageError, Unreachable
from storage.core.model import ObjectKey, Outcome, owner_of

BY_HAND = "decompressed by hand"  # why the next night does not compress it again
_BEGUN = "being decompressed by hand: "  # then the codec, and the SHA-256 of the original


@dataclass(frozen=True, slots=True)
class _Done:
    """The original as it is now, and what was in its place."""

    now: Details
    before: int
    codec: str


def unfinished(stores: ColdStores, keys: Sequence[ObjectKey]) -> dict[str, ColdRecord]:
    """Those whose decompressing was begun, and not entered as done; ``size`` is what they were stored as."""
    return {key: one for key, one in stores.cold.get_records(keys).items() if one.skipped.startswith(_BEGUN)}


def uncompress(stores: ColdStores, key: ObjectKey, run_id: str) -> Outcome:
    """Restore one object in place, enter that into the ledger, and keep it from being compressed again.

    Whatever goes wrong with it alone is its outcome; raises Unreachable.
    """
    noted: list[ColdRecord] = []
    try:
        made = compress.decompress(
            stores.replacer,
            key,
            lambda seen, compression: noted.append(_note_begun(stores, seen, compression)),
        )
        done = _done(made) or _done_before(stores, key)
    except Unreachable:
        raise
    except StorageError as error:
        if not error.transient:  # else it may be done: what was noted tells the next try
            stores.cold.save_records(noted)
        return Outcome("failed", str(error))
    if not done:
        stores.cold.save_records(noted)
        return Outcome("skipped", made.why)
    _enter(stores, done, run_id)
    return Outcome("done", bytes=done.now.info.size)


def _done(made: compress.Rewritten) -> _Done | None:
    if made.status != "done" or not (made.after and made.compression and made.before):
        return None
    return _Done(made.after, made.before.info.size, made.compression.codec)


def _done_before(stores: ColdStores, key: ObjectKey) -> _Done | None:
    """What an earlier try did, that was killed before it could say so."""
    begun = unfinished(stores, [key]).get(key)
    if begun is None:
        return None
    now, sum = stores.replacer.details(key), hashlib.sha256()
    codec, sha256 = begun.skipped.removeprefix(_BEGUN).split()
    for piece in decompressing_reader.decoded(stores.replacer, now):
        sum.update(piece)
    return _Done(now, begun.size, codec) if sum.hexdigest() == sha256 else None


def _note_begun(stores: ColdStores, seen: Details, compression: Compression) -> ColdRecord:
    """By the etag that the original had, and mostly has again: then the next night leaves it alone.

    What was remembered until now.
    """
    key = seen.info.key
    record = memory_of(seen, stores.cold.get_records([key]).get(key))
    words = f"{_BEGUN}{compression.codec} {compression.sha256}"
    stores.cold.save_records([replace(record, etag=compression.etag, compression="skipped", skipped=words)])
    return record


def _enter(stores: ColdStores, done: _Done, run_id: str) -> None:
    now = done.now.info
    saving = Saving(
        run_id=run_id,
        key=now.key,
        object_class=class_of(now.key),
        owner=owner_of(now.key, PROCESSED),
        kind="decompress",
        etag=now.etag,
        before=done.before,
        after=now.size,
        left_behind=done.before if stores.replacer.versioned() else 0,
        codec=done.codec,
    )
    stores.cold.enter([saving])
    record = memory_of(done.now, stores.cold.get_records([now.key]).get(now.key))
    stores.cold.save_records([replace(record, compression="skipped", skipped=BY_HAND)])
