"""Nouns of a deletion: what is to go, and why the store refused it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from storage.core.model import ObjectKey


@dataclass(frozen=True, slots=True)
class DeleteTarget:
    """An object to delete: its key, the etag at the recheck, and its version ids if it has any."""

    key: ObjectKey
    etag: str
    versions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ObjectLock:
    """Reason for which the store does not delete an object; ``until`` is None for no known end."""

    why: str
    until: datetime | None

    def __str__(self) -> str:
        return f"kept by {self.why} " + (
            f"until {self.until:%Y-%m-%d}" if self.until else "without an end date"
        )


@dataclass(frozen=True, slots=True)
class Failure:
    """A key that the store failed to delete, with its error.

    ``transient``: the store was busy, and another try may succeed. ``lock``: the object is locked.
    """

    key: str
    code: str
    message: str
    transient: bool = False
    lock: ObjectLock | None = None
