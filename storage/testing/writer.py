"""Writer that keeps its bytes in memory."""

from __future__ import annotations

import hashlib
import io


class MemoryWriter(io.BytesIO):
    """In-memory Writer of an object's bytes."""

    @property
    def size(self) -> int:
        return self.tell()

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.getvalue()).hexdigest()
