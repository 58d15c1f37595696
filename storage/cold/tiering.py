"""Transitions to a colder tier: request them, wait for them, and follow them up in later runs.

A transition is recorded before it is requested, and confirmed only once a HEAD shows the tier's storage
class: after a kill at any point, the next check finds either nothing done or everything that is left to do.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from itertools import islice

from storage.cold.errors import ContentDamaged
from storage.cold.journal import Arrived, Looked, Move, enter, note_asked, note_failed
from storage.cold.model import ColdRecord, Details, TierTarget, compression_of
from storage.cold.ports import ColdStores, TierStore
from storage.cold.tier_targets import tier_targets
from storage.core.errors import ObjectMissing, PreconditionFailed, StoreRefused
from storage.core.model import ObjectKey, Outcome
from storage.core.tiers import TIER_TAG

TIMEOUT = 120.0  # seconds that a batch waits for a rule to move its objects
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 10.0  # seconds between two checks
STUCK_AFTER = timedelta(days=2)
MOST_TAGS = 10  # per object: the limit of S3
THREADS = 8
CHUNK = 1000  # records followed up together
GONE, OVERTAKEN = "already gone", "written anew since it was seen"


def move(moves: Sequence[Move], stores: ColdStores, run_id: str) -> list[Outcome]:
    """Send objects to their tiers and wait for them to arrive; return one outcome each, in order.

    ``done``: arrived, or requested and not arrived within TIMEOUT, which is left to :func:`follow_up`.
    """
    found: dict[ObjectKey, Outcome] = {}
    looked: list[Looked] = []
    with ThreadPoolExecutor(THREADS) as pool:
        for asked, seen in zip(moves, pool.map(partial(look, stores.tier_store), moves), strict=True):
            if isinstance(seen, Outcome):
                found[asked.key] = seen
            else:
                looked.append(Looked(asked, seen))
        before = note_asked(looked, stores)
        for one, refused in zip(looked, pool.map(partial(send, stores.tier_store), looked), strict=True):
            if refused:
                found[one.move.key] = refused
        sent = [one for one in looked if one.move.key not in found]
        for one, outcome in _awaited(sent, stores, pool):
            found[one.move.key] = outcome
            if isinstance(outcome, Arrived):
                enter([outcome], stores, run_id)
    note_failed([one for one in looked if found[one.move.key].status != "done"], before, stores)
    return [found[one.key] for one in moves]


def look(tier_store: TierStore, one: Move) -> Details | Outcome:
    """Return the object's details, or the outcome if it is not to be moved."""
    try:
        seen = tier_store.details(one.key)
        compression = compression_of(one.key, seen.attributes)
    except ObjectMissing:
        return Outcome("skipped", GONE)
    except ContentDamaged as error:
        return Outcome("failed", str(error))
    info = seen.info
    if one.etag not in (info.etag, compression.etag if compression else info.etag):
        return Outcome("skipped", OVERTAKEN, info.size)
    if one.place.how == "tag" and info.storage_class not in ("STANDARD", one.place.target):
        why = f"it is in {info.storage_class}, and no rule moves objects out of it: bring it back first"
        return Outcome("skipped", why, info.size)
    if one.place.how == "class" and seen.blocked and info.storage_class != one.place.target:
        return Outcome("skipped", seen.blocked, info.size)
    return seen


def send(tier_store: TierStore, one: Looked) -> Outcome | None:
    """Request the move from the store; return the outcome if that was not possible, else None."""
    if one.there:
        return None
    info, place = one.seen.info, one.move.place
    try:
        if place.how == "class":
            tier_store.copy_in_place(one.seen, place.target)
            return None
        tags = {} if one.seen.tag_count == 0 else tier_store.tags(info.key)
        if tags.get(TIER_TAG) == place.tier:
            return None
        tags[TIER_TAG] = place.tier
        if len(tags) > MOST_TAGS:
            return Outcome("skipped", f"it already has {MOST_TAGS} tags, the limit of S3", info.size)
        tier_store.put_tags(info.key, tags)
    except ObjectMissing:
        return Outcome("skipped", GONE, info.size)
    except PreconditionFailed:
        return Outcome("skipped", OVERTAKEN, info.size)
    except StoreRefused as error:
        return Outcome("failed", str(error), info.size)
    return None


def _awaited(
    sent: Sequence[Looked], stores: ColdStores, pool: ThreadPoolExecutor
) -> Iterator[tuple[Looked, Outcome]]:
    """Poll the objects, at growing intervals, until each has arrived or the timeout ends."""
    versioned = any(one.move.place.how == "class" for one in sent) and stores.replacer.versioned()
    waiting, pause, deadline = list(sent), FIRST_PAUSE, time.monotonic() + TIMEOUT
    while waiting:
        seen = list(pool.map(partial(_arrival, stores.tier_store, versioned), waiting))
        yield from ((one, found) for one, found in zip(waiting, seen, strict=True) if found)
        waiting = [one for one, found in zip(waiting, seen, strict=True) if not found]
        if not waiting or time.monotonic() + pause > deadline:
            break
        time.sleep(pause)
        pause = min(pause * 2, LONGEST_PAUSE)
    for one in waiting:
        where = one.move.place.target
        yield one, Outcome("done", f"asked: the store has not moved it to {where} yet", one.seen.info.size)


def _arrival(tier_store: TierStore, versioned: bool, one: Looked) -> Outcome | None:
    """Return the outcome of a requested move; None while it is pending."""
    before, place = one.seen.info, one.move.place
    try:
        now = tier_store.details(before.key)
    except ObjectMissing:
        return Outcome("skipped", GONE, before.size)
    by_copy = place.how == "class"
    if now.info.etag != before.etag and not (by_copy and now.info.storage_class == place.target):
        if not by_copy:
            let_go(tier_store, now, place)
        return Outcome("skipped", OVERTAKEN, before.size)
    if now.info.storage_class == place.target:
        left = before.size if by_copy and versioned and not one.there else 0
        return Arrived("done", f"in {place.target}", before.size, now, place, left)
    if not by_copy:
        return None
    why = f"the store accepted the copy into {place.target}, but left the object in {now.info.storage_class}"
    return Outcome("failed", f"{why}: it ignores storage classes", before.size)


def let_go(tier_store: TierStore, now: Details, place: TierTarget) -> None:
    """Remove our tag from an object that replaced the planned one; move it back to hot if it was moved."""
    key = now.info.key
    try:
        tags = tier_store.tags(key)
        if tags.pop(TIER_TAG, None) != place.tier:
            return
        if now.info.storage_class == place.target:
            tier_store.copy_in_place(now, "STANDARD", tags, guarded=True)
        else:
            tier_store.put_tags(key, tags)
    except (ObjectMissing, PreconditionFailed):
        return  # it was replaced once more, and a new object does not have our tag


@dataclass(frozen=True, slots=True)
class FollowUp:
    """Outcomes of moves that earlier runs requested. ``stuck``: key and reason of each stuck object."""

    arrived: int = 0
    waiting: int = 0
    forgotten: int = 0
    stuck: tuple[tuple[ObjectKey, str], ...] = ()


def follow_up(stores: ColdStores, now: datetime, run_id: str = "") -> FollowUp:
    """Check every pending transition: it has arrived, is still pending, is stuck, or was never requested."""
    total, moving = FollowUp(), stores.cold.moving()
    while chunk := list(islice(moving, CHUNK)):
        total = _plus(total, list(zip(chunk, follow(chunk, stores, now, run_id), strict=True)))
    return total


def follow(moving: Sequence[ColdRecord], stores: ColdStores, now: datetime, run_id: str) -> list[Outcome]:
    """Check and record pending transitions; return one outcome each, in order.

    ``done``: arrived. ``skipped``: never requested, or another object by now. ``failed``: stuck, for the
    reason in ``detail``; with an empty ``detail`` still pending.
    """
    at = {place.tier: place for place in tier_targets(stores).by_tier.values()}
    with ThreadPoolExecutor(THREADS) as pool:
        looks = pool.map(lambda record: _later(stores.tier_store, record, at.get(record.tier), now), moving)
        results = list(zip(moving, looks, strict=True))
    enter([found for _, found in results if isinstance(found, Arrived)], stores, run_id)
    stores.cold.save_records(
        [_after(record, found) for record, found in results if _after(record, found) != record]
    )
    return [found for _, found in results]


def _later(tier_store: TierStore, record: ColdRecord, place: TierTarget | None, now: datetime) -> Outcome:
    """Check one pending transition and return its outcome, as described at :func:`follow`."""
    try:
        seen = tier_store.details(record.key)
    except ObjectMissing:
        return Outcome("skipped", GONE)
    since = record.asked_at or now
    if place is None:
        return _patient(f"the store has no tier {record.tier} any more", since, now)
    same = seen.info.etag == record.etag
    if seen.info.storage_class == place.target and (same or place.how == "class"):
        return Arrived("done", f"in {place.target}", record.size, seen, place)
    if place.how == "tag" and same and _bears_tag(tier_store, record):
        return _patient(f"its rule has not moved it to {place.target}", since, now)
    if place.how == "tag" and not same:
        let_go(tier_store, seen, place)
    return Outcome("skipped", "never requested" if same else OVERTAKEN)


def _bears_tag(tier_store: TierStore, record: ColdRecord) -> bool:
    try:
        return tier_store.tags(record.key).get(TIER_TAG) == record.tier
    except ObjectMissing:
        return False


def _patient(why: str, since: datetime, now: datetime) -> Outcome:
    days = (now - since) / timedelta(days=1)
    words = f"{why}, asked {days:.1f} days ago ({since:%Y-%m-%d %H:%M} UTC)"
    return Outcome("failed", words if now - since > STUCK_AFTER else "")


def _after(record: ColdRecord, found: Outcome) -> ColdRecord:
    """Return the record after a check; an arrival was recorded with its ledger entry."""
    if found.status == "skipped":
        return replace(record, tier="hot", tier_state="", asked_at=None)
    return replace(record, tier_state="stuck") if found.status == "failed" and found.detail else record


def _plus(total: FollowUp, results: Sequence[tuple[ColdRecord, Outcome]]) -> FollowUp:
    failed = [(record.key, found.detail) for record, found in results if found.status == "failed"]
    return FollowUp(
        total.arrived + sum(found.status == "done" for _, found in results),
        total.waiting + sum(not why for _, why in failed),
        total.forgotten + sum(found.status == "skipped" for _, found in results),
        total.stuck + tuple((key, why) for key, why in failed if why),
    )
