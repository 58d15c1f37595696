"""The nouns of backups: frozen values. Times are timezone-aware UTC datetimes, sizes are bytes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from storage.backup.errors import BackupDamaged
from storage.core.errors import InvalidName
from storage.core.model import ObjectKey, Prefix

BackupKind = Literal["database", "metadata"]
BackupState = Literal["running", "complete", "proven", "failed", "expired"]
KINDS: tuple[BackupKind, ...] = ("database", "metadata")
MANIFEST = "manifest.json"


class BackupId(str):
    """A backup's name: when it was begun and eight random digits, so that two of one second differ."""

    __slots__ = ()

    def __new__(cls, value: str) -> BackupId:
        if not re.fullmatch(r"\d{8}T\d{6}Z-[0-9a-f]{8}", value):
            raise InvalidName(value, "backup id", "it looks like 20260131T030000Z-0a1b2c3d")
        made = super().__new__(cls, value)
        try:
            _ = made.begun
        except ValueError as error:
            raise InvalidName(value, "backup id", f"it names no instant ({error})") from error
        return made

    @property
    def begun(self) -> datetime:
        return datetime.strptime(self[:16], "%Y%m%dT%H%M%S%z")


def folder(kind: BackupKind, id: BackupId) -> Prefix:
    """Where a backup lies in the backup bucket."""
    return Prefix(f"{kind}/{id}/")


@dataclass(frozen=True, slots=True)
class Part:
    """One stored object of a backup: its bytes as stored (compressed, perhaps encrypted)."""

    name: str
    key: ObjectKey
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class TableFact:
    """What a table held in the dump's snapshot: its rows, and a hash of them that no order changes."""

    name: str
    rows: int
    hash: str


@dataclass(frozen=True, slots=True)
class SequenceFact:
    """Where a sequence stood before the dump; sequences heed no snapshot, so the dump may be further."""

    name: str
    value: int
    step: int


@dataclass(frozen=True, kw_only=True)
class DatabaseFacts:
    """A database as one snapshot shows it. ``locale``: encoding, collation and character type."""

    database: str
    version: str
    system_identifier: str
    lsn: str
    taken_at: datetime
    bytes: int
    locale: tuple[str, str, str]
    extensions: tuple[str, ...] = ()
    tables: tuple[TableFact, ...] = ()
    sequences: tuple[SequenceFact, ...] = ()
    large_objects: TableFact = TableFact("large objects", 0, "0")

    @property
    def major(self) -> int:
        return int(self.version.split(".")[0])

    @property
    def rows(self) -> int:
        return sum(table.rows for table in self.tables)


@dataclass(frozen=True, kw_only=True)
class MetadataFacts:
    """A bucket as one listing showed it; a listing is no snapshot, so it has a beginning and an end.

    ``store_time`` is the beginning by the store's own clock, to the second. ``by_prefix``: objects and bytes
    by the first segment of the key, such as ``processed/``; '' is for keys without one, 'others' for the
    segments beyond a thousand. ``missing_documents``: completed jobs without a metadata.json. ``left_out``:
    documents that were met and not fetched; the first hundred of them are in ``left_out_why``.
    """

    bucket: str
    identity: str
    taken_at: datetime
    ended_at: datetime
    store_time: datetime
    objects: int = 0
    bytes: int = 0
    documents: int = 0
    missing_documents: int = 0
    left_out: int = 0
    left_out_why: Mapping[str, str] = field(default_factory=dict)
    first_key: str = ""
    last_key: str = ""
    by_prefix: Mapping[str, tuple[int, int]] = field(default_factory=dict)

    @property
    def lasting(self) -> int:
        """Objects outside temp/, whose number does not change from hour to hour."""
        return self.objects - self.by_prefix.get("temp/", (0, 0))[0]


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What a backup consists of; written last, so that a backup with a manifest is whole.

    ``previous`` is the SHA-256 of the manifest before it: a chain, in which none can be exchanged unseen.
    """

    id: BackupId
    kind: BackupKind
    parts: tuple[Part, ...]
    facts: DatabaseFacts | MetadataFacts
    recipients: tuple[str, ...] = ()
    tools: Mapping[str, str] = field(default_factory=dict)
    previous: str = ""

    @property
    def key(self) -> ObjectKey:
        return ObjectKey(folder(self.kind, self.id) + MANIFEST)

    @property
    def size(self) -> int:
        return sum(part.size for part in self.parts)

    @property
    def database(self) -> DatabaseFacts:
        """The facts of a database's backup. Raises BackupDamaged for one of metadata."""
        if not isinstance(self.facts, DatabaseFacts):
            raise BackupDamaged(f"it is of {self.kind}, not of a database")
        return self.facts

    @property
    def metadata(self) -> MetadataFacts:
        """The facts of a bucket's backup. Raises BackupDamaged for one of a database."""
        if not isinstance(self.facts, MetadataFacts):
            raise BackupDamaged(f"it is of {self.kind}, not of metadata")
        return self.facts

    def part(self, name: str) -> Part:
        """The part of that name. Raises BackupDamaged."""
        for part in self.parts:
            if part.name == name:
                return part
        raise BackupDamaged(f"it has no part {name!r}")


@dataclass(frozen=True, kw_only=True)
class Backup:
    """One row of the catalogue. ``taken_at`` is the instant whose data it holds."""

    id: BackupId
    kind: BackupKind
    state: BackupState
    taken_at: datetime
    size: int = 0
    items: int = 0
    manifest_sha256: str = ""
    message: str = ""
    pinned: str = ""
    finished_at: datetime | None = None
    proven_at: datetime | None = None
    certificate: Mapping[str, Any] = field(default_factory=dict)
