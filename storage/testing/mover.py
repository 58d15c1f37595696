"""Moving objects between tiers in memory."""

from __future__ import annotations

from storage.testing.objects import MemoryObjects


class MemoryMover:
    """A :class:`storage.cold_ports.Mover` on a bucket in memory."""

    def __init__(self, objects: MemoryObjects) -> None:
        self._objects = objects
