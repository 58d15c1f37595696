"""Recheck of objects immediately before an action."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby

from storage.core.model import ObjectInfo, ObjectKey, Prefix
from storage.core.ports import EngineStores, ObjectStore

HEAD_THREADS = 16
DENSE = 0.2  # a listing continues while at least this share of a page is in the plan


def look_again(store: ObjectStore, keys: Iterable[str]) -> dict[str, ObjectInfo | None]:
    """Return the current state of the objects; None for a missing object.

    One listing page covers a thousand neighbouring keys. Where the plan is sparse, and for keys that the
    listing does not show, each key gets a HEAD: absence from a listing proves nothing.
    """
    found: dict[str, ObjectInfo | None] = {}
    wanted = sorted(set(keys))
    for folder, group in groupby(wanted, lambda key: key.partition("/")[0] + "/"):
        found.update(_listed(store, Prefix(folder), list(group)))
    missing = [key for key in wanted if key not in found]
    if missing:
        with ThreadPoolExecutor(HEAD_THREADS) as pool:
            found.update(zip(missing, pool.map(lambda key: store.head(ObjectKey(key)), missing), strict=True))
    return found


def _listed(store: ObjectStore, folder: Prefix, keys: Sequence[str]) -> dict[str, ObjectInfo]:
    wanted, cursor = set(keys), just_before(keys[0])
    found: dict[str, ObjectInfo] = {}
    while True:
        page = store.page(folder, start_after=cursor)
        hits: dict[str, ObjectInfo] = {info.key: info for info in page.objects if info.key in wanted}
        found.update(hits)
        if not page.more or page.objects[-1].key >= keys[-1] or len(hits) < DENSE * len(page.objects):
            return found
        cursor = page.objects[-1].key


def referred(stores: EngineStores, keys: Sequence[str]) -> dict[str, str]:
    """Return the keys that are still referenced, each with the reason it is kept."""
    return {key: f"still referred to by {who}" for key, who in stores.references.of(keys).items()}


def just_before(key: str) -> str:
    """Return a string that sorts before ``key`` and after nearly all smaller keys."""
    code = ord(key[-1]) - 1
    if code < 0x21 or 0xD800 <= code <= 0xDFFF:
        return key[:-1]
    return key[:-1] + chr(code) + "~~"
