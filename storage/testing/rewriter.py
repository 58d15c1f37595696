"""Replacing objects in memory."""

from __future__ import annotations

from storage.testing.objects import MemoryObjects


class MemoryRewriter:
    """A :class:`storage.cold_ports.Rewriter` on a bucket in memory."""

    def __init__(self, objects: MemoryObjects) -> None:
        self._objects = objects
