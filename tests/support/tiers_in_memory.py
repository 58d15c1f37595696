"""In-memory installation with a completed job's object, on a store with storage classes and a remote tier."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

from storage.cold.actions.transition import TransitionObject
from storage.cold.model import ColdRecord
from storage.core.model import ObjectInfo, ObjectKey, Outcome
from storage.engine.actions import Work
from storage.testing import MemoryCold, MemoryTierStore
from tests.support.in_memory import DAY, World

KEY = ObjectKey("processed/job-1/360p/output.mp4")
BYTES = b"film" * 50_000


class Tiers(World):
    """The fakes, and shorthands for the tests' operations on them."""

    def __init__(self) -> None:
        super().__init__()
        self.job("job-1", "completed", 200 * DAY)
        self.put(KEY, 200 * DAY, BYTES)
        self.tier_store.classes = {"STANDARD", "STANDARD_IA", "GLACIER_IR", "GLACIER"}
        self.tier_store.moves = {"cold": "COLD"}

    @property
    def tier_store(self) -> MemoryTierStore:
        return cast(MemoryTierStore, self.stores.tier_store)

    @property
    def log(self) -> MemoryCold:
        return cast(MemoryCold, self.stores.cold)

    @property
    def record(self) -> ColdRecord:
        return self.log.get_records([KEY])[KEY]

    @property
    def info(self) -> ObjectInfo:
        found = self.objects._info(KEY)
        assert found
        return found

    @property
    def tags(self) -> dict[str, str]:
        return dict(self.objects._versions[KEY][0].tags)

    def ledger(self) -> list[tuple[str, str, str, int]]:
        return [(one.kind, one.tier, one.key, one.after) for _, one in self.log.ledger]

    def action(self, how: str = "tag", **changes: Any) -> TransitionObject:
        row = self.stores.jobs.get(["job-1"])["job-1"]  # type: ignore[list-item,index]
        made = TransitionObject(
            key=KEY, size=len(BYTES), etag=self.info.etag, last_modified=self.info.last_modified,
            object_class="360p", tier="cold", how="tag", target="COLD", owner="job-1",
            owner_updated_at=row.updated_at, reason="not read for long",
        )  # fmt: skip
        if how == "class":
            made = replace(made, how="class", target="GLACIER_IR")
        return replace(made, **changes)

    def apply(self, *actions: TransitionObject) -> list[Outcome]:
        return TransitionObject.apply(actions, Work(self.stores, "run-1", "cold_objects"))

    def before(self, request: str, does: Callable[[], object], nth: int = 1) -> None:
        """Call ``does`` just before the ``nth`` request of that name."""
        left = [nth]

        def hook(name: str) -> None:
            if name == request:
                left[0] -= 1
                if left[0] == 0:
                    does()

        self.objects.traffic.before = hook
