"""Originals put back in the place of what was compressed, and that remembered."""

from __future__ import annotations

from dataclasses import replace

from storage.cold import rewrite
from storage.cold.tier_log import PROCESSED, memory_of
from storage.cold_model import Saving, class_of
from storage.errors import StorageError, Unreachable
from storage.model import ObjectKey, Outcome, owner_of
from storage.ports import Stores

BY_HAND = "decompressed by hand"  # why the next night does not compress it again


def uncompress(stores: Stores, key: ObjectKey, run_id: str) -> Outcome:
    """Restore one object in place, enter that into the ledger, and keep it from being compressed again.

    Whatever goes wrong with it alone is its outcome; raises Unreachable.
    """
    try:
        made = rewrite.decompress(stores.rewriter, key)
    except Unreachable:
        raise
    except StorageError as error:
        return Outcome("failed", str(error))
    if made.status != "done" or not (made.after and made.coding and made.before):
        return Outcome("skipped", made.why)
    now, before = made.after.info, made.before.info
    saving = Saving(
        run_id=run_id,
        key=key,
        object_class=class_of(key),
        owner=owner_of(key, PROCESSED),
        kind="decompress",
        etag=now.etag,
        before=before.size,
        after=now.size,
        left_behind=before.size if stores.rewriter.versioned() else 0,
        codec=made.coding.codec,
    )
    stores.cold.enter([saving])
    memory = memory_of(made.after, stores.cold.recall([key]).get(key))
    stores.cold.remember([replace(memory, coding="skipped", skipped=BY_HAND)])
    return Outcome("done", bytes=now.size)
