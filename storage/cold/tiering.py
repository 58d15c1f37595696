"""Objects on their way to a colder tier: sent there, awaited, and followed up on later nights.

What is asked for is remembered before it is asked, and entered as done only once a HEAD shows the tier's
storage class: killed at any instant, the next look finds either nothing done or all that is left to do.
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
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 10.0  # seconds between two looks
STUCK_AFTER = timedelta(days=2)
MOST_TAGS = 10  # of one object: S3 allows no more
THREADS = 8
CHUNK = 1000  # memories followed up together
GONE, OVERTAKEN = "already gone", "written anew since it was seen"


def move(moves: Sequence[Move], stores: ColdStores, run_id: str) -> list[Outcome]:
    """Send objects to their tiers and see them there; one outcome each, in order.

    Done is what arrived, and what was asked for and did not arrive in PATIENCE, for :func:`follow_up` to see.
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
    """The object, or why it is not moved."""
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
        why = f"it is in {info.storage_class}, from where no rule moves it on: bring it back first"
        return Outcome("skipped", why, info.size)
    if one.place.how == "class" and seen.blocked and info.storage_class != one.place.target:
        return Outcome("skipped", seen.blocked, info.size)
    return seen


def send(tier_store: TierStore, one: Looked) -> Outcome | None:
    """Ask the store to move it; why that could not be, if so."""
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
            return Outcome("skipped", f"it bears {MOST_TAGS} tags, and S3 allows no more", info.size)
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
    """Look at all of them until each has arrived, or patience ends; the looks become rarer."""
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
    """What became of an object that was sent; None while it may yet come."""
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
    why = f"the store took the copy into {place.target} and left it in {now.info.storage_class}"
    return Outcome("failed", f"{why}: it ignores storage classes", before.size)


def let_go(tier_store: TierStore, now: Details, place: TierTarget) -> None:
    """Take our tag off an object that took the key of the one meant; bring it back if it has been moved."""
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
        return  # it has changed once more, and a new object bears no tag of ours


@dataclass(frozen=True, slots=True)
class FollowUp:
    """What became of objects that earlier nights had asked to move. ``stuck``: key and why, in words."""

    arrived: int = 0
    waiting: int = 0
    forgotten: int = 0
    stuck: tuple[tuple[ObjectKey, str], ...] = ()


def follow_up(stores: ColdStores, now: datetime, run_id: str = "") -> FollowUp:
    """Look again at all that is on its way: it has arrived, may yet come, is stuck, or was never asked."""
    total, moving = FollowUp(), stores.cold.moving()
    while chunk := list(islice(moving, CHUNK)):
        total = _plus(total, list(zip(chunk, follow(chunk, stores, now, run_id), strict=True)))
    return total


def follow(moving: Sequence[ColdRecord], stores: ColdStores, now: datetime, run_id: str) -> list[Outcome]:
    """What became of each: done (arrived), skipped (never asked, or another object by now), or failed: stuck
    for the reason told, or still to be waited for where none is told. All is remembered."""
    at = {place.tier: place for place in tier_targets(stores).by_tier.values()}
    with ThreadPoolExecutor(THREADS) as pool:
        looks = pool.map(lambda one: _later(stores.tier_store, one, at.get(one.tier), now), moving)
        results = list(zip(moving, looks, strict=True))
    enter([found for _, found in results if isinstance(found, Arrived)], stores, run_id)
    stores.cold.save_records([_after(one, found) for one, found in results if _after(one, found) != one])
    return [found for _, found in results]


def _later(tier_store: TierStore, one: ColdRecord, place: TierTarget | None, now: datetime) -> Outcome:
    """done: arrived. skipped: never asked, or another object by now. failed: stuck; '' while it may come."""
    try:
        seen = tier_store.details(one.key)
    except ObjectMissing:
        return Outcome("skipped", GONE)
    since = one.asked_at or now
    if place is None:
        return _patient(f"the store has no tier {one.tier} any more", since, now)
    same = seen.info.etag == one.etag
    if seen.info.storage_class == place.target and (same or place.how == "class"):
        return Arrived("done", f"in {place.target}", one.size, seen, place)
    if place.how == "tag" and same and _bears_tag(tier_store, one):
        return _patient(f"its rule has not moved it to {place.target}", since, now)
    if place.how == "tag" and not same:
        let_go(tier_store, seen, place)
    return Outcome("skipped", "never asked" if same else OVERTAKEN)


def _bears_tag(tier_store: TierStore, one: ColdRecord) -> bool:
    try:
        return tier_store.tags(one.key).get(TIER_TAG) == one.tier
    except ObjectMissing:
        return False


def _patient(why: str, since: datetime, now: datetime) -> Outcome:
    days = (now - since) / timedelta(days=1)
    words = f"{why}, asked {days:.1f} days ago ({since:%Y-%m-%d %H:%M} UTC)"
    return Outcome("failed", words if now - since > STUCK_AFTER else "")


def _after(one: ColdRecord, found: Outcome) -> ColdRecord:
    """What is remembered then; what arrived was noted with the ledger."""
    if found.status == "skipped":
        return replace(one, tier="hot", tier_state="", asked_at=None)
    return replace(one, tier_state="stuck") if found.status == "failed" and found.detail else one


def _plus(total: FollowUp, results: Sequence[tuple[ColdRecord, Outcome]]) -> FollowUp:
    failed = [(one.key, found.detail) for one, found in results if found.status == "failed"]
    return FollowUp(
        total.arrived + sum(found.status == "done" for _, found in results),
        total.waiting + sum(not why for _, why in failed),
        total.forgotten + sum(found.status == "skipped" for _, found in results),
        total.stuck + tuple((key, why) for key, why in failed if why),
    )
