"""Decompress objects in place, and record that.

A restored original does not show how it was stored before. So the intent is recorded first, with the hash
that identifies the original: a retry after a kill finds by it what is still missing in the ledger.
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

BY_HAND = "decompressed by hand"  # reason for later runs not to compress it again
_BEGUN = "being decompressed by hand: "  # followed by the codec and the SHA-256 of the original


@dataclass(frozen=True, slots=True)
class _Done:
    """Restored original, and size and codec of the form it replaced."""

    now: Details
    before: int
    codec: str


def unfinished(stores: ColdStores, keys: Sequence[ObjectKey]) -> dict[str, ColdRecord]:
    """Return records of decompressions begun but not in the ledger; ``size`` is the compressed size."""
    return {key: one for key, one in stores.cold.get_records(keys).items() if one.skipped.startswith(_BEGUN)}


def uncompress(stores: ColdStores, key: ObjectKey, run_id: str) -> Outcome:
    """Restore one object in place, add that to the ledger, and exclude it from further compression.

    A failure of this object alone is returned as its outcome; raises Unreachable.
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
        if not error.transient:  # a transient error may hide success: keep the note for the retry
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
    """Return the result of an earlier attempt that was killed before it was recorded."""
    begun = unfinished(stores, [key]).get(key)
    if begun is None:
        return None
    now, sum = stores.replacer.details(key), hashlib.sha256()
    codec, sha256 = begun.skipped.removeprefix(_BEGUN).split()
    for piece in decompressing_reader.decoded(stores.replacer, now):
        sum.update(piece)
    return _Done(now, begun.size, codec) if sum.hexdigest() == sha256 else None


def _note_begun(stores: ColdStores, seen: Details, compression: Compression) -> ColdRecord:
    """Record the start under the original's etag, which it mostly gets again: later runs then skip it.

    Return the previous record.
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
