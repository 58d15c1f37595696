"""A writer whose bytes stay in memory."""

from __future__ import annotations

import hashlib
import io


class MemoryWriter(io.BytesIO):
    """Takes an object's bytes."""

    @property
    def size(self) -> int:
        return self.tell()

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.getvalue()).hexdigest()
