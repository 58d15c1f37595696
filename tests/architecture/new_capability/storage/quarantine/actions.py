"""Define the verb of quarantine: note."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from storage.core.model import ObjectInfo, ObjectKey, Outcome
from storage.engine.actions.base import BatchSize, Touches, Work
from storage.quarantine.ports import Note, QuarantineStores


@dataclass(frozen=True, slots=True, kw_only=True)
class NoteObject:
    """Note one object, if it is unchanged since the plan."""

    verb: ClassVar[str] = "note"
    touches: ClassVar[Touches] = "object"
    batch_size: ClassVar[BatchSize] = BatchSize(1000)

    key: str
    size: int
    etag: str
    last_modified: datetime
    reason: str

    @classmethod
    def apply(cls, batch: Sequence[NoteObject], work: Work[QuarantineStores]) -> list[Outcome]:
        stores = work.stores
        unchanged = [one for one in batch if one._is(stores.objects.head(ObjectKey(one.key)))]
        stores.quarantine.note([one._note(work.run_id) for one in unchanged])
        return [
            Outcome("done") if one in unchanged else Outcome("skipped", "changed since the plan", one.size)
            for one in batch
        ]

    def holds(self, stores: QuarantineStores) -> bool:
        return stores.quarantine.etags([self.key]).get(self.key) == self.etag

    def _is(self, found: ObjectInfo | None) -> bool:
        return found is not None and found.etag == self.etag

    def _note(self, run_id: str) -> Note:
        return Note(self.key, self.etag, self.size, self.last_modified, run_id)
