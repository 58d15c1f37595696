"""Action that moves an object to a colder tier."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, Literal

from storage.cold import tiering
from storage.cold.errors import ContentDamaged
from storage.cold.journal import Move
from storage.cold.model import Details, TierTarget, compression_of
from storage.cold.ports import ColdStores
from storage.core.errors import ObjectMissing
from storage.core.model import JobId, ObjectKey, Outcome
from storage.core.tiers import TIER_TAG, ObjectClass, Tier
from storage.engine.actions.base import BatchSize, Touches, Work, changed_owner


@dataclass(frozen=True, slots=True, kw_only=True)
class TransitionObject:
    """Move one object to a tier, if it is still the planned object or our compressed form of it.

    ``how`` and ``target`` are the tier's target at planning time. ``compress_first``: the same plan
    compresses it before; if that failed the move waits, because cold objects are not read back to compress.
    """

    verb: ClassVar[str] = "transition"
    touches: ClassVar[Touches] = "object"
    batch_size: ClassVar[BatchSize] = BatchSize(100)

    key: str
    size: int
    etag: str
    last_modified: datetime
    object_class: ObjectClass
    tier: Tier
    how: Literal["class", "tag"]
    target: str
    reason: str
    owner: str | None = None
    owner_updated_at: datetime | None = None
    compress_first: bool = False

    @classmethod
    def apply(cls, batch: Sequence[TransitionObject], work: Work[ColdStores]) -> list[Outcome]:
        blocked = _blocked(batch, work)
        moves = [action.move for action in batch if action.key not in blocked]
        moved = dict(
            zip((one.key for one in moves), tiering.move(moves, work.stores, work.run_id), strict=True)
        )
        return [_outcome(action, blocked, moved) for action in batch]

    @property
    def move(self) -> Move:
        return Move(ObjectKey(self.key), self.etag, TierTarget(self.tier, self.how, self.target))

    def holds(self, stores: ColdStores) -> bool:
        """Return True if it is in its tier, tagged for the rule that moves it, or has been replaced."""
        key = ObjectKey(self.key)
        try:
            if self._there(stores.tier_store.details(key)):
                return True
            tagged = self.how == "tag" and stores.tier_store.tags(key).get(TIER_TAG) == self.tier
            return tagged or self._there(stores.tier_store.details(key))  # overwritten in between
        except ObjectMissing:
            return True  # deleted since
        except ContentDamaged:
            return False

    def _there(self, now: Details) -> bool:
        """Return True if the object is in its tier, or is no longer the planned object."""
        compression = compression_of(now.info.key, now.attributes)
        meant = self.etag in (now.info.etag, compression.etag if compression else "")
        return now.info.storage_class == self.target or not meant


def _blocked(batch: Sequence[TransitionObject], work: Work[ColdStores]) -> dict[str, str]:
    """Return objects to skip, with the reason: their job changed, was pinned, or they were read meanwhile."""
    stores = work.stores
    owners = {JobId(action.owner) for action in batch if action.owner}
    jobs, pins = stores.jobs.get(owners), stores.cold.pins(owners)
    run, reads = stores.runs.get(work.run_id), stores.cold.accessed([action.key for action in batch])
    known = stores.cold.get_records([action.key for action in batch if action.compress_first])
    blocked = {}
    for action in batch:
        pinned = pins.get(JobId(action.owner), "") if action.owner else ""
        read_at = reads.get(action.key)
        if why := changed_owner(action.owner, action.owner_updated_at, jobs):
            blocked[action.key] = why
        elif pinned:
            blocked[action.key] = f"job {action.owner} was pinned: {pinned}"
        elif action.compress_first and not (action.key in known and known[action.key].compression):
            blocked[action.key] = (
                "it was to be compressed first, which failed: it waits for the next night's run"
            )
        elif run and read_at and read_at > run.as_of:
            blocked[action.key] = f"it was read since it was planned ({read_at:%Y-%m-%d %H:%M} UTC)"
    return blocked


def _outcome(
    action: TransitionObject, blocked: Mapping[str, str], moved: Mapping[ObjectKey, Outcome]
) -> Outcome:
    if action.key in blocked:
        return Outcome("skipped", blocked[action.key], action.size)
    found = moved[ObjectKey(action.key)]
    return Outcome(found.status, found.detail, found.bytes or action.size)
