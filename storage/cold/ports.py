"""Protocols that cold storage needs in addition to :mod:`storage.core.ports`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import BinaryIO, Literal, Protocol

from storage.cold.model import ColdRecord, Details, Saving, SavingsLine, TierState
from storage.core.attributes import Attributes
from storage.core.model import JobId, ObjectKey, Totals
from storage.core.ports import EngineStores, Writer
from storage.core.tiers import ColdSettings, Tier


class ObjectReplacer(Protocol):
    """Bucket whose objects can be replaced by another form of themselves. Bytes are raw."""

    def details(self, key: ObjectKey) -> Details:
        """Send one HEAD. Raises ObjectMissing."""
        ...

    def read_range(self, key: ObjectKey, start: int, length: int, etag: str = "") -> tuple[Details, bytes]:
        """Send one GET for a range, truncated at the object's end; b"" for an empty range.

        Raises ObjectMissing; with ``etag`` PreconditionFailed if the object has been replaced.
        """
        ...

    def open(self, key: ObjectKey, etag: str = "") -> AbstractContextManager[BinaryIO]:
        """Stream the raw bytes of exactly that object. Raises as :meth:`read_range`."""
        ...

    def tags(self, key: ObjectKey) -> dict[str, str]: ...

    def replace(
        self, seen: Details, attributes: Attributes, tags: Mapping[str, str], size_hint: int = 0
    ) -> AbstractContextManager[Writer]:
        """Open a stream for the object's new form, which replaces it atomically when the block ends.

        Storage class, headers and tags are as given; nothing changes if the block raises. Raises
        PreconditionFailed at its end if the object is no longer ``seen``.
        """
        ...

    def versioned(self) -> bool:
        """Return True if the bucket keeps the replaced form."""
        ...


class TierStore(Protocol):
    """Bucket whose objects can be moved between tiers."""

    def details(self, key: ObjectKey) -> Details:
        """Send one HEAD. Raises ObjectMissing."""
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
        """Copy the object onto itself into ``storage_class``, if it is still ``seen``; one request to 5 GiB.

        All its attributes are kept; ``tags``, if given, replace its own. Some stores check the condition only
        on the source they read: with ``guarded`` the copy is made by three requests where that closes the
        gap, and the object then gets another etag. Raises PreconditionFailed, ObjectMissing, StoreRefused
        (for a class the store does not have).
        """
        ...

    def request_restore(self, key: ObjectKey, days: int) -> None:
        """Request the restore of an archived object for ``days`` days; ``details`` shows when it is done."""
        ...

    def rules(self) -> Mapping[str, str]:
        """Return, by the tag's value, the tier that an enabled rule of the bucket moves tagged objects to."""
        ...


Group = Literal["day", "class", "job", "api_key"]


class ColdLog(Protocol):
    """Persistent state of cold objects: verdicts, moves, reads, pins, and the ledger of savings."""

    def get_records(self, keys: Sequence[str]) -> dict[str, ColdRecord]: ...

    def save_records(self, records: Sequence[ColdRecord]) -> None:
        """Insert each record, or overwrite all of its fields."""
        ...

    def moving(self) -> Iterator[ColdRecord]:
        """Stream, by key, the objects whose requested move is not confirmed yet."""
        ...

    def tiers(self) -> dict[tuple[Tier, TierState], Totals]:
        """Return counts and bytes of the objects sent to a tier, by tier and state."""
        ...

    def accessed(self, keys: Sequence[str]) -> dict[str, datetime]: ...

    def touch(self, keys: Sequence[str], at: datetime) -> None:
        """Record when the objects were read; a recorded time never moves back."""
        ...

    def pins(self, owners: Iterable[JobId]) -> dict[JobId, str]:
        """Return the pin reasons of those of these jobs that are pinned."""
        ...

    def pin(self, owner: JobId, reason: str, by: str) -> None:
        """Pin a job, so that its objects are left unchanged; '' removes the pin."""
        ...

    def enter(self, savings: Sequence[Saving]) -> None:
        """Add savings to the ledger; skip those that the last entry of their key already states."""
        ...

    def savings(self, by: Group, since: datetime | None = None) -> list[SavingsLine]: ...


@dataclass(frozen=True, kw_only=True)
class ColdStores(EngineStores):
    """Stores of the engine and of cold data.

    ``replacer`` and ``tier_store`` are of the same bucket as ``objects``; ``cold_settings`` are the settings
    of cold data.
    """

    replacer: ObjectReplacer
    tier_store: TierStore
    cold: ColdLog
    cold_settings: ColdSettings


__all__ = ["ColdStores", "ColdLog", "Group", "ObjectReplacer", "TierStore", "Tier"]
