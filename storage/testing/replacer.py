"""In-memory replacement of objects."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import BinaryIO

from storage.cold.model import Details
from storage.core.attributes import Attributes
from storage.core.errors import ObjectMissing, PreconditionFailed, StoreRefused
from storage.core.model import ObjectInfo, ObjectKey
from storage.core.tiers import TIER_TAG
from storage.testing.objects import MemoryObjects, _Version
from storage.testing.writer import MemoryWriter

PIECE = 1 << 16


class MemoryObjectReplacer:
    """In-memory :class:`storage.cold.ports.ObjectReplacer`.

    ``loses``: the response is lost for this many next replacements, so that a retry conflicts with its own
    first attempt. ``blocked`` maps a key to why its object may not be replaced; ``refused`` maps a key to why
    its bytes cannot be read. ``says_tags`` tells whether a response counts an object's tags.
    """

    def __init__(self, objects: MemoryObjects) -> None:
        self._objects = objects
        self.loses = 0
        self.blocked: dict[str, str] = {}
        self.refused: dict[str, str] = {}
        self.says_tags = True

    def details(self, key: ObjectKey) -> Details:
        return self._details(key, self._objects._newest("head", key))

    def read_range(self, key: ObjectKey, start: int, length: int, etag: str = "") -> tuple[Details, bytes]:
        found = self._get(key, etag)
        return self._details(key, found), (found.data or b"")[start : start + length]

    @contextmanager
    def open(self, key: ObjectKey, etag: str = "") -> Iterator[BinaryIO]:
        yield _Stream(self._get(key, etag).data or b"")

    def tags(self, key: ObjectKey) -> dict[str, str]:
        return dict(self._objects._newest("tags", key).tags)

    @contextmanager
    def replace(
        self, seen: Details, attributes: Attributes, tags: Mapping[str, str], size_hint: int = 0
    ) -> Iterator[MemoryWriter]:
        sink = MemoryWriter()
        yield sink
        key, objects = seen.info.key, self._objects
        objects.traffic("put")
        with objects._lock:
            current = objects._info(key)
            if current is None:
                raise ObjectMissing(key)
            if current.etag != seen.info.etag:
                raise PreconditionFailed(key)
            objects._write(key, sink.getvalue(), objects._now(), attributes)
            kept = "STANDARD" if TIER_TAG in tags else seen.info.storage_class
            versions = objects._versions[key]
            versions[0] = replace(versions[0], tags=dict(tags), storage_class=kept)
        if self.loses:
            self.loses -= 1
            raise PreconditionFailed(key)

    def versioned(self) -> bool:
        return self._objects.versioned

    def _get(self, key: ObjectKey, etag: str) -> _Version:
        found = self._objects._newest("get", key)
        if why := self.refused.get(key):
            raise StoreRefused(key, why)
        if etag and found.etag != etag:
            raise PreconditionFailed(key)
        return found

    def _details(self, key: ObjectKey, found: _Version) -> Details:
        size, kind = len(found.data or b""), found.storage_class
        return Details(
            info=ObjectInfo(key, size, found.last_modified, found.etag, kind),
            attributes=found.attributes,
            tag_count=len(found.tags) if self.says_tags else None,
            blocked=self.blocked.get(key, ""),
        )


class _Stream(io.BytesIO):
    """Stream that returns short reads, as a network does."""

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(size if size is None or size < 0 else min(size, PIECE))
