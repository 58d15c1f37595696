"""The nouns: frozen values that everything else passes around.

Times are timezone-aware UTC datetimes, sizes are bytes. Identifiers are types of their own, so that
a function which deletes one key cannot be handed a prefix.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Literal
from urllib.parse import quote_from_bytes, unquote_to_bytes

from storage.core.errors import InvalidName


class BucketName(str):
    """The name of a bucket."""

    def __new__(cls, value: str) -> BucketName:
        if not re.fullmatch(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", value):
            why = "it has 3 to 63 characters, small letters, digits, '.' and '-', and so no '/'"
            raise InvalidName(value, "bucket name", why)
        return super().__new__(cls, value)


class ObjectKey(str):
    """One object's key, byte for byte as the store shows it; never normalised."""

    __slots__ = ()

    def __new__(cls, value: str) -> ObjectKey:
        if not value:
            raise InvalidName(value, "object key", "it is empty")
        return super().__new__(cls, value)


class Prefix(str):
    """A folder of keys: never empty, always ending in '/', so that ``jobs/1/`` leaves ``jobs/10/`` alone."""

    def __new__(cls, value: str) -> Prefix:
        parts = value.split("/")
        if not value or parts[-1] or any(part in ("", ".", "..") for part in parts[:-1]):
            raise InvalidName(value, "prefix", "it is a relative folder that ends in '/', such as 'temp/'")
        return super().__new__(cls, value)


class JobId(str):
    """The id of a row of the pipeline's jobs; also the name of its folders."""

    def __new__(cls, value: str) -> JobId:
        if not value or "/" in value or value in (".", "..") or len(value.encode()) > 255:
            raise InvalidName(value, "job id", "it is one path segment of at most 255 bytes")
        return super().__new__(cls, value)


def owner_of(key: str, prefix: Prefix) -> JobId | None:
    """The job whose folder under ``prefix`` holds ``key``; None for a loose key such as ``temp/x.tmp``."""
    head, slash, _ = key.removeprefix(prefix).partition("/")
    if not slash or not key.startswith(prefix):
        return None
    try:
        return JobId(head)
    except InvalidName:
        return None


def jobs_of(bucket: str) -> str:
    """The place of a job's tombstone: it is condemned for what it has in one bucket."""
    return f"jobs of {bucket}"


def path_text(path: bytes) -> str:
    """A file name as printable text: what is not printable, not UTF-8, or '%' is percent-encoded."""
    return "".join(
        quote_from_bytes(os.fsencode(char), safe="") if char == "%" or not char.isprintable() else char
        for char in os.fsdecode(path)
    )


def path_bytes(text: str) -> bytes:
    """The exact inverse of :func:`path_text`."""
    return unquote_to_bytes(text.encode())


def printable(text: str) -> str:
    """A key as one line of text: control characters are shown escaped, so no key can forge a log line."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


JobStatus = Literal["queued", "processing", "transcoding", "uploading", "completed", "failed", "cleaned_up"]
UNENDED: tuple[JobStatus, ...] = ("queued", "processing", "transcoding", "uploading")
ENDED: tuple[JobStatus, ...] = ("completed", "failed", "cleaned_up")
JOB_PREFIXES = (Prefix("processed/"), Prefix("temp/"), Prefix("uploads/"), Prefix("failed/"))
CONDEMNED = ".condemned"  # where condemned files wait, below the temp folder
PROTECTED_PREFIXES = (Prefix("backups/"), Prefix("models/"), Prefix("audit/"), Prefix("plans/"))


@dataclass(frozen=True, slots=True)
class Job:
    """One row of the pipeline's jobs, as far as maintenance needs it."""

    id: JobId
    status: str
    updated_at: datetime
    completed_at: datetime | None = None

    @property
    def ended(self) -> bool:
        return self.status in ENDED


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """What a listing or a HEAD says of one object. ``versions``: every version id, newest first."""

    key: ObjectKey
    size: int
    last_modified: datetime
    etag: str
    storage_class: str = "STANDARD"
    versions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Page:
    """One listing page: objects in key order, and whether the store has more behind the last of them."""

    objects: tuple[ObjectInfo, ...]
    more: bool


@dataclass(frozen=True, slots=True)
class UploadInfo:
    """An incomplete multipart upload."""

    key: ObjectKey
    upload_id: str
    initiated: datetime


@dataclass(frozen=True, slots=True)
class UploadPart:
    """One stored part of an incomplete upload."""

    number: int
    size: int
    last_modified: datetime


@dataclass(frozen=True, slots=True)
class LocalFile:
    """One entry below the temp folder. ``path`` is relative, in :func:`path_text` form.

    ``changed`` is max(mtime, ctime): a copy keeps its mtime, but no program sets a ctime.
    """

    path: str
    kind: Literal["file", "link", "folder", "other"]
    size: int
    changed: datetime
    mtime_ns: int
    ctime_ns: int
    inode: int
    links: int = 1


@dataclass(frozen=True, slots=True)
class Owned:
    """A thing and its job: ``owner`` is the id its place names, ``job`` the row if there is one."""

    thing: ObjectInfo | LocalFile | UploadInfo
    owner: JobId | None = None
    job: Job | None = None
    condemned: bool = False
    adopted: bool = False  # by an operator, after a restore that lost the row


@dataclass(frozen=True, slots=True)
class Totals:
    """A count and its bytes."""

    count: int = 0
    bytes: int = 0

    def __add__(self, other: Totals) -> Totals:
        return Totals(self.count + other.count, self.bytes + other.bytes)

    def __sub__(self, other: Totals) -> Totals:
        return Totals(self.count - other.count, self.bytes - other.bytes)


@dataclass(frozen=True, slots=True)
class DeleteTarget:
    """What a delete names: the key, the etag it was checked with, and its versions where there are any."""

    key: ObjectKey
    etag: str
    versions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Failure:
    """One key the store would not act on."""

    key: str
    code: str
    message: str


OutcomeStatus = Literal["done", "skipped", "failed"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one action, and why when it was not done."""

    status: OutcomeStatus
    detail: str = ""
    bytes: int = 0


TombstoneState = Literal["condemned", "reaping", "reaped", "undone", "kept"]
TombstoneKind = Literal["job", "object", "file"]


@dataclass(frozen=True, slots=True)
class Tombstone:
    """A deletion condemned but not yet done; reversible until ``delete_after`` has passed and reap has begun.

    ``place`` is the bucket or the temp folder. For a file ``key`` is where it lay and ``held_at`` where it
    waits; ``seen`` is the etag and time of an object, or the mtime and inode of a file. What
    ``goes_with_job`` is deleted only once its owner was turned to cleaned_up under a claim. Whatever
    ``delete_after`` says, ``notice_seconds`` pass between the condemning and the deletion.
    """

    id: int
    run_id: str
    job: str
    kind: TombstoneKind
    place: str
    key: str
    size: int
    seen: str
    reason: str
    delete_after: datetime
    owner: JobId | None = None
    owner_updated_at: datetime | None = None
    goes_with_job: bool = False
    notice_seconds: float = 0
    held_at: str = ""
    state: TombstoneState = "condemned"


RunState = Literal["planned", "refused", "waiting", "applying", "verified", "failed"]


@dataclass(frozen=True, kw_only=True)
class Run:
    """The record of one maintenance run (``maintenance.runs``).

    ``bucket`` is the one that it works on, '' in runs that were recorded before version 0.2.0.
    """

    id: str
    job: str
    as_of: datetime
    state: RunState
    bucket: str = ""
    plan_uri: str = ""
    plan_sha256: str = ""
    considered: Totals = Totals()
    planned: Totals = Totals()
    done: Totals = Totals()
    skipped: Totals = Totals()
    failed: Totals = Totals()
    params: Mapping[str, Any] = field(default_factory=dict)
    message: str = ""
    approved_by: str = ""
    approved_sha256: str = ""
    requested_by: str = ""
    started_at: datetime | None = None
    finished_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Attributes:
    """What is stored with an object beside its bytes. ``metadata``: the user's, without ``x-amz-meta-``.

    ``headers`` are the others that a client gets back as they were sent: Cache-Control and so on.
    """

    content_type: str = ""
    content_encoding: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)

    def with_encoding(self, *, content_encoding: str, metadata: Mapping[str, str]) -> Attributes:
        """The same with another encoding and other metadata."""
        return replace(self, content_encoding=content_encoding, metadata=metadata)


@dataclass(frozen=True, slots=True)
class Document:
    """A small object, whole: its bytes as stored. ``md5``: whether its etag is the MD5 of them."""

    key: ObjectKey
    etag: str
    md5: bool
    attributes: Attributes
    body: bytes
