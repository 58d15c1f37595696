"""What cold storage needs of the world beside :mod:`storage.core.ports`, as protocols."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import BinaryIO, Literal, Protocol

from storage.cold.model import ColdRecord, Details, Saving, SavingsLine, TierState
from storage.core.model import Attributes, JobId, ObjectKey, Totals
from storage.core.ports import EngineStores, Writer
from storage.core.tiers import ColdSettings, Tier


class ObjectReplacer(Protocol):
    """One bucket, as far as an object in it is replaced by another form of itself. Bytes are raw."""

    def details(self, key: ObjectKey) -> Details:
        """One HEAD. Raises ObjectMissing."""
        ...

    def read_range(self, key: ObjectKey, start: int, length: int, etag: str = "") -> tuple[Details, bytes]:
        """One GET of a range, cut at the object's end; b"" for an empty one.

        Raises ObjectMissing; with ``etag`` PreconditionFailed where the object is another by now.
        """
        ...

    def open(self, key: ObjectKey, etag: str = "") -> AbstractContextManager[BinaryIO]:
        """The raw bytes, streamed, of exactly that object. Raises as :meth:`read_range`."""
        ...

    def tags(self, key: ObjectKey) -> dict[str, str]: ...

    def replace(
        self, seen: Details, attributes: Attributes, tags: Mapping[str, str], size_hint: int = 0
    ) -> AbstractContextManager[Writer]:
        """A stream to write the object's new form by: it takes its place when the block ends, in one step.

        Storage class, headers and tags are as given; nothing changes when the block raises. Raises
        PreconditionFailed at its end where the object is no longer ``seen``.
        """
        ...

    def versioned(self) -> bool:
        """Whether the bucket keeps the form that was replaced."""
        ...


class TierStore(Protocol):
    """One bucket, as far as its objects move between tiers."""

    def details(self, key: ObjectKey) -> Details:
        """One HEAD. Raises ObjectMissing."""
        ...

    def tags(self, key: ObjectKey) -> dict[str, str]: ...

    def put_tags(self, key: ObjectKey, tags: Mapping[str, str]) -> None:
        """Replace the object's tags. Raises ObjectMissing, StoreRefused."""
        ...

    def copy_in_place(
        self,
        seen: Details,
        storage_class: str,
        tags: Mapping[str, str] | None = None,
        *,
        guarded: bool = False,
    ) -> None:
        """Copy the object onto itself into ``storage_class``, if it is ``seen`` still; one request to 5 GiB.

        Everything it carries is kept; ``tags``, where given, take the place of its own. Some stores compare
        only what they read: with ``guarded`` the copy is made, where that closes the gap, of three requests,
        and the object's etag is another one then. Raises PreconditionFailed, ObjectMissing, StoreRefused
        (for a class the store does not have).
        """
        ...

    def request_restore(self, key: ObjectKey, days: int) -> None:
        """Ask an archived object back for so many days; done when ``details`` says so."""
        ...

    def rules(self) -> Mapping[str, str]:
        """The tier a tagged object is moved to by an enabled rule of the bucket, by the tag's value."""
        ...


Group = Literal["day", "class", "job", "api_key"]


class ColdLog(Protocol):
    """What is remembered of cold objects: verdicts, moves, reads, pins, and the ledger of savings."""

    def get_records(self, keys: Sequence[str]) -> dict[str, ColdRecord]: ...

    def save_records(self, records: Sequence[ColdRecord]) -> None:
        """Write each, or all of it anew."""
        ...

    def moving(self) -> Iterator[ColdRecord]:
        """Objects asked to move whose arrival was not seen yet, streamed by key."""
        ...

    def tiers(self) -> dict[tuple[Tier, TierState], Totals]:
        """Objects and bytes that were sent somewhere, by where and how far it came."""
        ...

    def accessed(self, keys: Sequence[str]) -> dict[str, datetime]: ...

    def touch(self, keys: Sequence[str], at: datetime) -> None:
        """Note that they were read; never goes back in time."""
        ...

    def pins(self, owners: Iterable[JobId]) -> dict[JobId, str]:
        """Why those of these jobs that are pinned stay as they are."""
        ...

    def pin(self, owner: JobId, reason: str, by: str) -> None:
        """Keep a job's objects as they are; '' lifts that."""
        ...

    def enter(self, savings: Sequence[Saving]) -> None:
        """Write into the ledger; what the last entry of the key says already is not repeated."""
        ...

    def savings(self, by: Group, since: datetime | None = None) -> list[SavingsLine]: ...


@dataclass(frozen=True, kw_only=True)
class ColdStores(EngineStores):
    """The engine's stores and what cold data needs. ``replacer`` and ``tier_store`` are of the same bucket as
    ``objects``; ``cold_settings`` is what was set for cold data."""

    replacer: ObjectReplacer
    tier_store: TierStore
    cold: ColdLog
    cold_settings: ColdSettings


__all__ = ["ColdStores", "ColdLog", "Group", "ObjectReplacer", "TierStore", "Tier"]
