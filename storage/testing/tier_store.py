"""In-memory moves of objects between tiers."""

from __future__ import annotations

from collections.abc import Mapping

from storage.cold.model import Details
from storage.core.errors import ObjectMissing, PreconditionFailed, StoreRefused
from storage.core.model import ObjectInfo, ObjectKey
from storage.core.tiers import ARCHIVED, TIER_TAG
from storage.testing.objects import MemoryObjects

MOST_TAGS = 10


class MemoryTierStore:
    """In-memory :class:`storage.cold.ports.TierStore`.

    ``classes`` are those the store keeps; with ``ignores_classes`` it accepts any class but keeps STANDARD.
    ``moves`` are the bucket's rules, tag value to remote tier; a tagged object arrives in its tier after
    ``looks`` calls of ``details``, or never if None.
    """

    def __init__(self, objects: MemoryObjects) -> None:
        self._objects = objects
        self.classes = {"STANDARD"}
        self.ignores_classes = False
        self.moves: dict[str, str] = {}
        self.looks: int | None = 0
        self._looked: dict[tuple[str, str], int] = {}
        self._back: set[tuple[str, str]] = set()

    def details(self, key: ObjectKey) -> Details:
        with self._objects._lock:
            self._arrive(key, 1)
            return self._details(key)

    def tags(self, key: ObjectKey) -> dict[str, str]:
        return dict(self._objects._newest("tags", key).tags)

    def put_tags(self, key: ObjectKey, tags: Mapping[str, str]) -> None:
        self._objects.traffic("put-tags")
        if len(tags) > MOST_TAGS:
            raise StoreRefused(key, f"an object has at most {MOST_TAGS} tags")
        with self._objects._lock:
            self._objects.amend(key, tags=dict(tags))
            self._arrive(key, 0)

    def copy_in_place(
        self,
        seen: Details,
        storage_class: str,
        tags: Mapping[str, str] | None = None,
        *,
        guarded: bool = False,
    ) -> None:
        key = seen.info.key
        if storage_class not in self.classes and not self.ignores_classes:
            raise StoreRefused(key, f"InvalidStorageClass: {storage_class}")
        with self._objects._lock:
            was = self._objects._newest("copy", key)
            if was.etag != seen.info.etag:
                raise PreconditionFailed(key)
            if was.storage_class in ARCHIVED and (key, was.etag) not in self._back:
                raise StoreRefused(key, "InvalidObjectState: it is archived")
            self._objects.put(key, was.data or b"", attributes=was.attributes)
            kept = "STANDARD" if self.ignores_classes else storage_class
            self._objects.amend(key, storage_class=kept, tags=was.tags if tags is None else dict(tags))
            self._looked.pop((key, was.etag), None)
            self._arrive(key, 0)

    def request_restore(self, key: ObjectKey, days: int) -> None:
        with self._objects._lock:
            found = self._objects._newest("ask-back", key)
            if found.storage_class not in ARCHIVED:
                raise StoreRefused(key, "InvalidObjectState: it is not archived")
            self._back.add((key, found.etag))

    def rules(self) -> Mapping[str, str]:
        self._objects.traffic("rules")
        return dict(self.moves)

    def _details(self, key: ObjectKey) -> Details:
        found = self._objects._newest("head", key)
        size = len(found.data or b"")
        info = ObjectInfo(key, size, found.last_modified, found.etag, found.storage_class)
        back = 'ongoing-request="false"' if (key, found.etag) in self._back else ""
        return Details(info=info, attributes=found.attributes, tag_count=len(found.tags), restore=back)

    def _arrive(self, key: ObjectKey, looks: int) -> None:
        """Simulate the bucket's rule, which moves a tagged object some time after the tag was set."""
        try:
            found = self._objects._newest("rule", key)
        except ObjectMissing:
            return
        target = self.moves.get(found.tags.get(TIER_TAG, ""))
        if not target or found.storage_class != "STANDARD":
            return
        seen = self._looked[key, found.etag] = self._looked.get((key, found.etag), 0) + looks
        if self.looks is not None and seen >= self.looks:
            self._objects.amend(key, storage_class=target)
