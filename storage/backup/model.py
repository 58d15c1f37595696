"""Value types of backups, all frozen. Times are timezone-aware UTC datetimes, sizes are bytes."""

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
    """Identifier of a backup: start time and eight random digits, so that two of one second differ."""

    __slots__ = ()

    def __new__(cls, value: str) -> BackupId:
        if not re.fullmatch(r"\d{8}T\d{6}Z-[0-9a-f]{8}", value):
            raise InvalidName(value, "backup id", "it looks like 20260131T030000Z-0a1b2c3d")
        made = super().__new__(cls, value)
        try:
            _ = made.begun
        except ValueError as error:
            raise InvalidName(value, "backup id", f"it contains no valid time ({error})") from error
        return made

    @property
    def begun(self) -> datetime:
        return datetime.strptime(self[:16], "%Y%m%dT%H%M%S%z")


def folder(kind: BackupKind, id: BackupId) -> Prefix:
    """Return the folder (key prefix) of a backup in the backup bucket."""
    return Prefix(f"{kind}/{id}/")


@dataclass(frozen=True, slots=True)
class Part:
    """Stored object of a backup; size and hash of its bytes as stored (compressed, perhaps encrypted)."""

    name: str
    key: ObjectKey
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class TableFact:
    """Row count of a table in the dump's snapshot, and a hash of its rows that ignores their order."""

    name: str
    rows: int
    hash: str


@dataclass(frozen=True, slots=True)
class SequenceFact:
    """Value of a sequence before the dump. Sequences ignore snapshots, so the dump may be further ahead."""

    name: str
    value: int
    step: int


@dataclass(frozen=True, kw_only=True)
class DatabaseFacts:
    """Facts of a database in one snapshot. ``locale``: encoding, collation and character type."""

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
    """Facts of a bucket in one listing. A listing is not a snapshot, so it has a start and an end time.

    ``store_time`` is the start by the store's own clock, to the second. ``by_prefix``: number and bytes of
    objects by the first segment of the key, such as ``processed/``; '' is for keys without a segment,
    'others' for segments beyond a thousand. ``missing_documents``: completed jobs without a metadata.json.
    ``left_out``: documents that were listed and not fetched; ``left_out_why`` has the reasons for the first
    hundred.
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
        """Return the number of objects outside temp/, which does not change from hour to hour."""
        return self.objects - self.by_prefix.get("temp/", (0, 0))[0]


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """Contents of a backup. The manifest is written last, so a backup that has a manifest is complete.

    ``previous`` is the SHA-256 of the manifest before it: a hash chain, in which no manifest can be replaced
    unnoticed.
    """

    id: BackupId
    kind: BackupKind
    parts: tuple[Part, ...]
    facts: DatabaseFacts | MetadataFacts
    recipients: tuple[str, ...] = ()
    tools: Mapping[str, str] = field(default_factory=dict)
    previous: str = ""
    authenticated: bool = field(default=False, compare=False)  # written with this installation's key

    @property
    def key(self) -> ObjectKey:
        return ObjectKey(folder(self.kind, self.id) + MANIFEST)

    @property
    def size(self) -> int:
        return sum(part.size for part in self.parts)

    @property
    def database(self) -> DatabaseFacts:
        """Return the facts of a database backup. Raises BackupDamaged for a metadata backup."""
        if not isinstance(self.facts, DatabaseFacts):
            raise BackupDamaged(f"it is a {self.kind} backup, not a database backup")
        return self.facts

    @property
    def metadata(self) -> MetadataFacts:
        """Return the facts of a metadata backup. Raises BackupDamaged for a database backup."""
        if not isinstance(self.facts, MetadataFacts):
            raise BackupDamaged(f"it is a {self.kind} backup, not a metadata backup")
        return self.facts

    def part(self, name: str) -> Part:
        """Return the part of that name. Raises BackupDamaged if there is none."""
        for part in self.parts:
            if part.name == name:
                return part
        raise BackupDamaged(f"it has no part {name!r}")


@dataclass(frozen=True, kw_only=True)
class Backup:
    """Catalogue row of a backup. ``taken_at`` is the point in time whose data the backup holds."""

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


@dataclass(frozen=True, kw_only=True)
class BucketBackup(Backup):
    """A backup as the bucket alone shows it. ``authenticated``: written with this installation's key."""

    authenticated: bool = False
