"""Verb on incomplete multipart uploads: abort."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from storage.core.model import ObjectKey, Outcome
from storage.core.ports import Stores
from storage.engine.actions.base import BatchSize, Touches, Work

TRIES = 3  # a part in flight may arrive after an abort: S3 says to abort until the upload is gone


@dataclass(frozen=True, slots=True, kw_only=True)
class AbortUpload:
    """Abort an upload with no write since ``quiet_since``."""

    verb: ClassVar[str] = "abort"
    touches: ClassVar[Touches] = "object"
    batch_size: ClassVar[BatchSize] = BatchSize(50)

    key: str
    upload_id: str
    size: int
    quiet_since: datetime
    reason: str

    @classmethod
    def apply(cls, batch: Sequence[AbortUpload], work: Work[Stores]) -> list[Outcome]:
        beats = work.stores.uploads.heartbeats([action.upload_id for action in batch])
        return [action._abort(beats.get(action.upload_id), work.stores) for action in batch]

    def _abort(self, heartbeat: datetime | None, stores: Stores) -> Outcome:
        key = ObjectKey(self.key)
        parts = stores.objects.parts(key, self.upload_id)
        if parts is None:
            stores.uploads.close(self.upload_id)
            return Outcome("skipped", "already completed or aborted")
        signs = [part.last_modified for part in parts] + ([heartbeat] if heartbeat else [])
        if signs and max(signs) > self.quiet_since:
            return Outcome("skipped", "written to since the plan")
        for _ in range(TRIES):
            stores.objects.abort(key, self.upload_id)
            if stores.objects.parts(key, self.upload_id) is None:
                stores.uploads.close(self.upload_id)
                return Outcome("done", bytes=sum(part.size for part in parts))
        return Outcome("failed", f"the upload is still there after {TRIES} aborts", self.size)

    def holds(self, stores: Stores) -> bool:
        return stores.objects.parts(ObjectKey(self.key), self.upload_id) is None
