"""Where bytes go, as a protocol."""

from __future__ import annotations

from typing import Protocol


class Writer(Protocol):
    """Where an object's bytes are written to; ``size`` and ``sha256`` are of those written so far."""

    @property
    def size(self) -> int: ...

    @property
    def sha256(self) -> str: ...

    def write(self, data: bytes, /) -> int: ...
