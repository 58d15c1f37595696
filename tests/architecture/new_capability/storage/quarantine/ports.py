"""Declare the ports of quarantine in addition to :mod:`storage.core.ports`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from storage.core.ports import EngineStores


@dataclass(frozen=True, slots=True)
class Note:
    """Record that an object lay in quarantine for long."""

    key: str
    etag: str
    size: int
    last_modified: datetime
    run_id: str


class QuarantineLog(Protocol):
    """Remember the objects that were noted, of one bucket."""

    def etags(self, keys: Sequence[str]) -> dict[str, str]:
        """Look up the etag that each of these keys was last noted with."""
        ...

    def note(self, notes: Sequence[Note]) -> None:
        """Write notes; leave those that exist already unchanged."""
        ...

    def all(self) -> list[Note]:
        """Read every note, by key."""
        ...


@dataclass(frozen=True, kw_only=True)
class QuarantineStores(EngineStores):
    """Add the log of noted objects to the engine's stores."""

    quarantine: QuarantineLog
