"""Protocols that lifecycle rules depend on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, Protocol

from storage.core.model import BucketName

VersionState = Literal["found", "begun", "applied", "failed"]


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Rule that the store does not accept or keep: the reason, and its form (SHA-256 of its XML)."""

    why: str
    form: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """Configuration of the bucket that was or was about to be in effect.

    ``found``: another client's, seen before a change of ours. ``begun``: about to be put, or put by a process
    that died. ``document``: its bytes, b"" for none. ``requested``: names of the rules an operator requested.
    """

    number: int = 0
    state: VersionState
    document: bytes
    sha256: str
    by: str
    plan_sha256: str = ""
    requested: tuple[str, ...] = ()
    left_out: Mapping[str, LeftOut] = field(default_factory=dict)
    note: str = ""
    at: datetime | None = None


class BucketRules(Protocol):
    """Lifecycle configuration of one bucket, as raw bytes."""

    @property
    def bucket(self) -> BucketName: ...

    def get(self) -> bytes | None:
        """Return the configuration as sent by the store; None for none. Raises StoreRefused, AccessDenied."""
        ...

    def put(self, document: bytes) -> None:
        """Replace the configuration atomically. Raises StoreRefused; nothing changes then."""
        ...

    def clear(self) -> None:
        """Delete the configuration; a missing one is not an error."""
        ...

    def versioned(self) -> bool:
        """Return True if the bucket keeps versions, or did once."""
        ...


class VersionLog(Protocol):
    """Log of every configuration that was in effect, numbered from 1 for each bucket."""

    def add(self, version: Version) -> int:
        """Record a version and return its number."""
        ...

    def end(self, version: Version) -> None:
        """Overwrite state, document, left-out rules and note of the version with this number."""
        ...

    def get(self, number: int) -> Version | None: ...

    def all(self, limit: int = 100) -> Sequence[Version]:
        """Return the versions, newest first."""
        ...

    def latest(self) -> Version | None:
        """Return our newest version that was applied or begun."""
        ...
