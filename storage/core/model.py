"""Frozen value types shared by all modules.

Times are timezone-aware UTC datetimes, sizes are bytes. Identifiers have distinct types, so that a
function that deletes an object key cannot be passed a prefix.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal
from urllib.parse import quote_from_bytes, unquote_to_bytes

from storage.core.errors import InvalidName


class BucketName(str):
    """A valid bucket name."""

    def __new__(cls, value: str) -> BucketName:
        if not re.fullmatch(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", value):
            why = "it has 3 to 63 characters, small letters, digits, '.' and '-', and so no '/'"
            raise InvalidName(value, "bucket name", why)
        return super().__new__(cls, value)


class ObjectKey(str):
    """An object key, byte for byte as the store lists it; never normalised."""

    __slots__ = ()

    def __new__(cls, value: str) -> ObjectKey:
        if not value:
            raise InvalidName(value, "object key", "it is empty")
        return super().__new__(cls, value)


class Prefix(str):
    """A key prefix: never empty, always ending in '/', so that ``jobs/1/`` does not match ``jobs/10/``."""

    def __new__(cls, value: str) -> Prefix:
        parts = value.split("/")
        if not value or parts[-1] or any(part in ("", ".", "..") for part in parts[:-1]):
            raise InvalidName(value, "prefix", "it is a relative folder that ends in '/', such as 'temp/'")
        return super().__new__(cls, value)


class JobId(str):
    """The id of a row in the pipeline's jobs table; also the name of the job's folders."""

    def __new__(cls, value: str) -> JobId:
        if not value or "/" in value or value in (".", "..") or len(value.encode()) > 255:
            raise InvalidName(value, "job id", "it is one path segment of at most 255 bytes")
        return super().__new__(cls, value)


def owner_of(key: str, prefix: Prefix) -> JobId | None:
    """Return the job whose folder under ``prefix`` holds ``key``; None if no folder does (``temp/x.tmp``)."""
    head, slash, _ = key.removeprefix(prefix).partition("/")
    if not slash or not key.startswith(prefix):
        return None
    try:
        return JobId(head)
    except InvalidName:
        return None


def jobs_of(bucket: str) -> str:
    """Return the ``place`` of a job's tombstone: a job is condemned for its objects in one bucket."""
    return f"jobs of {bucket}"


def path_text(path: bytes) -> str:
    """Encode a file name as printable text; unprintable or non-UTF-8 bytes and '%' are percent-encoded."""
    return "".join(
        quote_from_bytes(os.fsencode(char), safe="") if char == "%" or not char.isprintable() else char
        for char in os.fsdecode(path)
    )


def path_bytes(text: str) -> bytes:
    """Decode a file name: the exact inverse of :func:`path_text`."""
    return unquote_to_bytes(text.encode())


def printable(text: str) -> str:
    """Return a key as one line of text, control characters escaped, so that no key can forge a log line."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


JobStatus = Literal["queued", "processing", "transcoding", "uploading", "completed", "failed", "cleaned_up"]
UNENDED: tuple[JobStatus, ...] = ("queued", "processing", "transcoding", "uploading")
ENDED: tuple[JobStatus, ...] = ("completed", "failed", "cleaned_up")
JOB_PREFIXES = (Prefix("processed/"), Prefix("temp/"), Prefix("uploads/"), Prefix("failed/"))
CONDEMNED = ".condemned"  # folder below the temp folder that holds condemned files until reap
PROTECTED_PREFIXES = (Prefix("backups/"), Prefix("models/"), Prefix("audit/"), Prefix("plans/"))


@dataclass(frozen=True, slots=True)
class Job:
    """The columns of a pipeline job row that maintenance needs.

    ``updated_at`` is None if the row has no time, or one that no clock shows (infinity, year 0). Such a job
    counts as not ended, for nothing tells how long ago it ended.
    """

    id: JobId
    status: str
    updated_at: datetime | None
    completed_at: datetime | None = None

    @property
    def ended(self) -> bool:
        return self.status in ENDED and self.updated_at is not None

    def ended_since(self, instant: datetime) -> bool:
        return self.ended and self.updated_at is not None and self.updated_at >= instant

    @property
    def unended(self) -> str:
        """Return why the job counts as not ended."""
        if self.status in ENDED:
            return f"no time is known of job {self.id}: its updated_at is empty or infinite"
        return f"job {self.id} has not ended ({self.status})"


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """An object as a listing or a HEAD returns it. ``versions``: all version ids, newest first."""

    key: ObjectKey
    size: int
    last_modified: datetime
    etag: str
    storage_class: str = "STANDARD"
    versions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Page:
    """One listing page: objects in key order. ``more``: the store has objects after the last one."""

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
    """One stored part of an incomplete multipart upload."""

    number: int
    size: int
    last_modified: datetime


@dataclass(frozen=True, slots=True)
class LocalFile:
    """An entry below the temp folder. ``path`` is relative, in :func:`path_text` form.

    ``changed`` is max(mtime, ctime): a copy may keep its mtime, but no program can set a ctime. ``size`` is
    what deleting it frees. ``unfit`` says why no job may decide about it; '' if one may.
    """

    path: str
    kind: Literal["file", "link", "folder", "other"]
    size: int
    changed: datetime
    mtime_ns: int
    ctime_ns: int
    inode: int
    links: int = 1
    unfit: str = ""


@dataclass(frozen=True, slots=True)
class Owned:
    """An object, file or upload with its job: ``owner`` is the id in its path, ``job`` the row if any."""

    thing: ObjectInfo | LocalFile | UploadInfo
    owner: JobId | None = None
    job: Job | None = None
    condemned: bool = False
    adopted: bool = False  # by an operator's verdict, after a restore that lost the job row


@dataclass(frozen=True, slots=True)
class Totals:
    """A number of items and their total size."""

    count: int = 0
    bytes: int = 0

    def __add__(self, other: Totals) -> Totals:
        return Totals(self.count + other.count, self.bytes + other.bytes)

    def __sub__(self, other: Totals) -> Totals:
        return Totals(self.count - other.count, self.bytes - other.bytes)


OutcomeStatus = Literal["done", "skipped", "failed"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of an action; ``detail`` is the reason if it was not done.

    ``of_row``: the database refused this one row, which says nothing of other actions.
    """

    status: OutcomeStatus
    detail: str = ""
    bytes: int = 0
    of_row: bool = field(default=False, kw_only=True)


TombstoneState = Literal["condemned", "reaping", "reaped", "undone", "kept"]
TombstoneKind = Literal["job", "object", "file"]


@dataclass(frozen=True, slots=True)
class Tombstone:
    """A scheduled deletion; reversible until ``delete_after`` has passed and reap has begun.

    ``place`` is the bucket or the temp folder. For a file ``key`` is the original path and ``held_at`` the
    path in quarantine; ``seen`` is the etag and time of an object, or the mtime and inode of a file. An
    object with ``goes_with_job`` is deleted only after its owner was set to cleaned_up under a claim. At
    least ``notice_seconds`` pass between condemning and deletion, whatever ``delete_after`` is.
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


RunState = Literal["planned", "refused", "waiting", "rejected", "applying", "verified", "failed"]
ACTED: tuple[RunState, ...] = ("applying", "verified", "failed")  # a run in another state changed nothing


@dataclass(frozen=True, kw_only=True)
class Run:
    """The record of a maintenance run (``maintenance.runs``).

    ``bucket`` is the bucket the run works on; '' in runs recorded before version 0.2.0. ``kept`` counts what
    no rule may decide about, by reason.
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
    kept: Mapping[str, int] = field(default_factory=dict)
    message: str = ""
    approved_by: str = ""
    approved_sha256: str = ""
    requested_by: str = ""
    started_at: datetime | None = None
    finished_at: datetime | None = None
