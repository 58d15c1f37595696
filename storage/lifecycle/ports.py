"""What lifecycle rules need of the world, as protocols."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, Protocol

from storage.core.model import BucketName

VersionState = Literal["found", "begun", "applied", "failed"]


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A rule the store does not take or keep: why, and which form of it (SHA-256 of its XML)."""

    why: str
    form: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """One configuration of the bucket, as it stood or was about to.

    ``found``: somebody else's, seen before a change of ours. ``begun``: about to be put, or put by a process
    that died. ``document``: its bytes, b"" for none. ``requested``: names of the rules a person asked for.
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
    """The lifecycle configuration of one bucket, as raw bytes."""

    @property
    def bucket(self) -> BucketName: ...

    def get(self) -> bytes | None:
        """The configuration as the store answers; None for none. Raises StoreRefused, AccessDenied."""
        ...

    def put(self, document: bytes) -> None:
        """Put it in the place of the one there is, in one step. Raises StoreRefused; nothing changes then."""
        ...

    def clear(self) -> None:
        """Take the configuration away; none being there is no failure."""
        ...

    def versioned(self) -> bool:
        """Whether the bucket keeps versions, or did once."""
        ...


class VersionLog(Protocol):
    """Every configuration that stood, numbered from 1 for each bucket."""

    def add(self, version: Version) -> int:
        """Record one; its number."""
        ...

    def end(self, version: Version) -> None:
        """Write state, document, what was left out and the note of the one with this number anew."""
        ...

    def get(self, number: int) -> Version | None: ...

    def all(self, limit: int = 100) -> Sequence[Version]:
        """The newest first."""
        ...

    def latest(self) -> Version | None:
        """The newest one of ours that was applied or begun."""
        ...
