"""Action that follows up objects whose requested move was not confirmed yet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from storage.cold import tiering
from storage.cold.ports import ColdStores
from storage.core.model import Outcome
from storage.core.tiers import Tier
from storage.engine.actions.base import BatchSize, Touches, Work

MOVING = ("asked", "stuck")


@dataclass(frozen=True, slots=True, kw_only=True)
class FollowObject:
    """Check whether an object has arrived in the tier an earlier run sent it to.

    An object that has not arrived after two days fails, with a reason, in every run until it is repaired.
    """

    verb: ClassVar[str] = "follow"
    touches: ClassVar[Touches] = "object"
    batch_size: ClassVar[BatchSize] = BatchSize(500)

    key: str
    size: int
    tier: Tier
    reason: str

    @classmethod
    def apply(cls, batch: Sequence[FollowObject], work: Work[ColdStores]) -> list[Outcome]:
        known = work.stores.cold.get_records([action.key for action in batch])
        moving = [one for one in known.values() if one.tier_state in MOVING]
        found = tiering.follow(moving, work.stores, work.stores.clock(), work.run_id)
        by_key = {one.key: outcome for one, outcome in zip(moving, found, strict=True)}
        settled = Outcome("skipped", "its move was settled meanwhile")
        return [action._outcome(by_key.get(action.key, settled)) for action in batch]  # type: ignore[call-overload]

    def _outcome(self, found: Outcome) -> Outcome:
        if found.status == "failed" and not found.detail:
            return Outcome("skipped", f"still on its way to {self.tier}", self.size)
        return Outcome(found.status, found.detail, self.size)

    def holds(self, stores: ColdStores) -> bool:
        return stores.cold.get_records([self.key])[self.key].tier_state == "held"
