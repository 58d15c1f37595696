"""One bucket in memory with one object, its bytes, and hooks for other clients between two requests."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime

from storage.cold import compress as rewrite
from storage.core.attributes import Attributes
from storage.core.model import ObjectKey
from storage.core.tiers import CodecName
from storage.testing import MemoryObjectReplacer, MemoryObjects

KEY = ObjectKey("processed/job-1/transcription/transcript.dat")  # its suffix does not mark it as text
NOW = datetime(2026, 3, 8, tzinfo=UTC)
TEXT = b"".join(b'{"start": %d, "text": "and so on"}\n' % n for n in range(60_000))
SMALL = TEXT[:100_000]
NOISE = random.Random(5).randbytes(1 << 20)
CARRIED = Attributes(
    "application/json", "", {"made-by": "whisper"}, {"cache-control": "no-cache", "content-language": "de"}
)


class Place:
    """One bucket in memory, with the one object under test."""

    def __init__(self) -> None:
        self.objects = MemoryObjects(lambda: NOW)
        self.replacer = MemoryObjectReplacer(self.objects)

    def put(self, data: bytes, attributes: Attributes = CARRIED) -> str:
        etag = self.objects.put(KEY, data, attributes=attributes).etag
        self.objects.requests.clear()
        return etag

    def stored(self) -> bytes:
        return self.objects._versions[KEY][0].data or b""

    def compress(
        self, data: bytes, etag: str, codec: CodecName = "zstd", level: int | None = None
    ) -> rewrite.Rewritten:
        return rewrite.compress(self.replacer, KEY, len(data), etag, codec, level)

    def asked(self) -> Counter[str]:
        return Counter(self.objects.requests)


def before(place: Place, request: str, number: int, act: Callable[[], object]) -> None:
    """Call ``act`` before request ``number`` of that name."""
    seen = Counter[str]()

    def step(name: str) -> None:
        seen[name] += 1
        if (name, seen[name]) == (request, number):
            place.objects.traffic.before = lambda name: None
            act()
            place.objects.traffic.before = step

    place.objects.traffic.before = step
