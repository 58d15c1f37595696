"""Immutable values of a sample: rows, objects, open uploads and temp entries."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

UNENDED = ("queued", "processing", "transcoding", "uploading")
STATUSES = (*UNENDED, "completed", "failed", "cleaned_up")
MARKER = b".transcode-flow-temp"


class BackDate(enum.StrEnum):
    """Method of setting an object's age in the store: a request header, its files, or none."""

    HEADER = "header"  # MinIO and its forks: X-Minio-Source-Mtime on every PUT
    FILES = "files"  # ministack: last_modified in its *.meta.json, edited while it is stopped
    NONE = "none"  # an object's age counts from its upload


@dataclass(frozen=True)
class Content:
    """Content of an object. `kind` selects the renderer: media, text, metadata, filler or log."""

    kind: str
    name: str
    variant: int = 0
    salt: str = ""
    size: int = 0


@dataclass(frozen=True)
class ApiKey:
    """A row of api_keys; the used bytes are computed from the rows of its jobs."""

    key_hash: str
    storage_quota_bytes: int | None


@dataclass(frozen=True)
class Job:
    """A row of jobs. `made` lists the outputs by column stem; sizes are computed from contents at load."""

    id: str
    api_key: str
    status: str
    created_at: datetime
    updated_at: datetime
    completed_at: datetime | None = None
    error_message: str | None = None
    source: Content | None = None
    made: tuple[tuple[str, Content], ...] = ()
    paths: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class StoredObject:
    """An object of the bucket and the age it should have."""

    key: str
    content: Content
    modified: datetime


@dataclass(frozen=True)
class OpenUpload:
    """A native multipart upload that is never completed."""

    key: str
    parts: int


@dataclass(frozen=True)
class TempEntry:
    """One entry of the temp folder; the path is relative and in bytes, because names need not be UTF-8.

    `target` is the target of a symlink or hard link: OUTSIDE stands for the folder beside the temp folder.
    """

    path: bytes
    kind: str
    modified: datetime
    size: int = 0
    target: bytes = b""


@dataclass(frozen=True)
class Sample:
    """All rows, objects, uploads and temp entries of one sample."""

    as_of: datetime
    api_keys: tuple[ApiKey, ...]
    jobs: tuple[Job, ...]
    objects: tuple[StoredObject, ...]
    open_uploads: tuple[OpenUpload, ...]
    temp: tuple[TempEntry, ...]

    def dates(self) -> Mapping[str, datetime]:
        """Return the modification time of each key, as back_date_ministack takes it."""
        return {item.key: item.modified for item in self.objects}


@dataclass(frozen=True)
class Summary:
    """Counts of one load."""

    api_keys: int
    jobs: int
    by_status: tuple[tuple[str, int], ...]
    objects: int
    object_bytes: int
    refused: tuple[str, ...]
    open_uploads: int
    temp_entries: int
    seconds: float
