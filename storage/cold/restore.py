"""Bring objects back from a colder tier: show the cost first, then, on request, move them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from itertools import islice

from storage.cold.journal import memory_of
from storage.cold.model import ColdRecord, Details, Saving
from storage.cold.ports import ColdStores, TierStore
from storage.cold.tier_targets import TierTargets, tier_targets
from storage.core.errors import ObjectMissing, PreconditionFailed, StoreRefused
from storage.core.model import ObjectInfo, ObjectKey, Outcome
from storage.core.tiers import ARCHIVED, TIER_TAG, Price, Tier

DAYS_READABLE = 7  # how long an archived object stays readable after a restore request
MONTH = timedelta(days=30)
GIB = 1 << 30
THREADS = 8
CHUNK = 100
_READY = 'ongoing-request="false"'


@dataclass(frozen=True, slots=True, kw_only=True)
class ColdObject:
    """Object in a colder tier, or on its way there. ``since``: None if it is not recorded.

    ``early``: the cost of leaving before the minimum storage time, in the site's currency; with ``since``
    unknown the upper bound.
    """

    key: ObjectKey
    size: int
    tier: Tier
    storage_class: str
    since: datetime | None
    minimum: timedelta
    early: float

    @property
    def archived(self) -> bool:
        return self.storage_class in ARCHIVED


def stays(objects: Iterable[ObjectInfo], stores: ColdStores, now: datetime) -> Iterator[ColdObject]:
    """Yield the objects that are not hot, with the cost of bringing them back. Changes nothing."""
    found, stream = tier_targets(stores), iter(objects)
    while chunk := list(islice(stream, 1000)):
        known = stores.cold.get_records([info.key for info in chunk])
        for info in chunk:
            if cold_object := _cold_object(info, known.get(info.key), found, stores, now):
                yield cold_object


def _cold_object(
    info: ObjectInfo, known: ColdRecord | None, found: TierTargets, stores: ColdStores, now: datetime
) -> ColdObject | None:
    tier = found.tier_of(info.storage_class)
    if tier == "hot" and known and known.tier_state:  # in transit; or back, but killed before recording it
        tier = known.tier
    if tier == "hot":
        return None
    since = known.asked_at if known and known.etag == info.etag and known.tier == tier else None
    price = stores.cold_settings.prices.get(tier, Price(0.0))
    left = price.minimum - (now - since if since else timedelta())
    hot = info.storage_class == "STANDARD"
    early = 0.0 if hot else info.size / GIB * price.per_gib_month * max(left, timedelta()) / MONTH
    return ColdObject(
        key=info.key,
        size=info.size,
        tier=tier,
        storage_class=info.storage_class,
        since=since,
        minimum=price.minimum,
        early=early,
    )


def bring_back(
    keys: Sequence[ObjectKey], stores: ColdStores, run_id: str
) -> Iterator[tuple[ObjectKey, Outcome]]:
    """Move objects back to hot, 100 at a time; done once a HEAD shows STANDARD and no tier tag is left.

    For an archived object only the restore is requested at first (skipped, with when to try again). All count
    as read now, or the next night's run would move them to a colder tier again.
    """
    with ThreadPoolExecutor(THREADS) as pool:
        for first in range(0, len(keys), CHUNK):
            some = keys[first : first + CHUNK]
            stores.cold.touch(some, stores.clock())
            for key, found in zip(some, pool.map(partial(_back, stores.tier_store), some), strict=True):
                if isinstance(found, Returned):
                    _enter(found, stores, run_id)
                yield key, Outcome(found.status, found.detail, found.bytes)


@dataclass(frozen=True, slots=True)
class Returned(Outcome):
    """Outcome of an object confirmed as hot; ``copied``: it was not hot before."""

    now: Details | None = None
    copied: bool = False


def _back(tier_store: TierStore, key: ObjectKey) -> Outcome:
    try:
        seen = tier_store.details(key)
        tags = {} if seen.tag_count == 0 else tier_store.tags(key)
        tagged = tags.pop(TIER_TAG, None) is not None
        kind = seen.info.storage_class
        if kind in ARCHIVED and _READY not in seen.restore:
            return _ask(tier_store, seen)
        if kind != "STANDARD":
            tier_store.copy_in_place(seen, "STANDARD", tags if tagged else None, guarded=True)
        elif tagged:
            tier_store.put_tags(key, tags)
        return _looked_again(tier_store, seen, kind != "STANDARD")
    except ObjectMissing:
        return Outcome("failed", "there is no such object")
    except PreconditionFailed:
        return Outcome("failed", "it was overwritten meanwhile: try again")
    except StoreRefused as error:
        return Outcome("failed", str(error))


def _ask(tier_store: TierStore, seen: Details) -> Outcome:
    if not seen.restore:
        tier_store.request_restore(seen.info.key, DAYS_READABLE)
    why = f"restore from {seen.info.storage_class} requested: that takes hours, try again when it is done"
    return Outcome("skipped", why, seen.info.size)


def _looked_again(tier_store: TierStore, before: Details, copied: bool) -> Outcome:
    now = tier_store.details(before.info.key)
    if now.info.storage_class != "STANDARD":
        return Outcome("failed", f"it is still in {now.info.storage_class}: try again", now.info.size)
    return Returned("done", "hot" if copied else "hot already", now.info.size, now, copied)


def _enter(found: Returned, stores: ColdStores, run_id: str) -> None:
    """Add a return to the ledger if the object was seen or recorded elsewhere, then record it as hot."""
    assert found.now
    key = found.now.info.key
    known = stores.cold.get_records([key]).get(key)
    made = memory_of(found.now, known)
    if found.copied or (known and known.tier_state in ("held", "stuck")):
        left = found.bytes if found.copied and stores.replacer.versioned() else 0
        saving = Saving(
            run_id=run_id,
            key=key,
            object_class=made.object_class,
            owner=made.owner,
            kind="return",
            etag=found.now.info.etag,
            before=found.bytes,
            after=found.now.info.size,
            left_behind=left,
        )
        stores.cold.enter([saving])
    stores.cold.save_records([_hot(made, known)])


def _hot(made: ColdRecord, known: ColdRecord | None) -> ColdRecord:
    """Return the record as hot; the copy may have another etag, but findings about its bytes remain valid."""
    compression = (
        (known.compression, known.skipped) if known and known.size == made.size else (made.compression, "")
    )
    return replace(
        made, tier="hot", tier_state="", asked_at=None, compression=compression[0], skipped=compression[1]
    )
