"""The frozen values a sample consists of: rows, objects, open uploads and temp entries."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

UNENDED = ("queued", "processing", "transcoding", "uploading")
STATUSES = (*UNENDED, "completed", "failed", "cleaned_up")
MARKER = b".transcode-flow-temp"


class BackDate(enum.StrEnum):
    """How the store learns the age of an object: a request header, its files, or not at all."""

    HEADER = "header"  # MinIO and its forks: X-Minio-Source-Mtime on every PUT
    FILES = "files"  # ministack: last_modified in its *.meta.json, edited while it is stopped
    NONE = "none"  # every object is as young as its upload


@dataclass(frozen=True)
class Content:
    """What an object holds. `kind` picks the maker: media, text, filler or log."""

    kind: str
    name: str
    variant: int = 0
    salt: str = ""
    size: int = 0


@dataclass(frozen=True)
class ApiKey:
    """A row of api_keys; the used bytes are counted from the rows of its jobs."""

    key_hash: str
    storage_quota_bytes: int | None


@dataclass(frozen=True)
class Job:
    """A row of jobs. `made` names the outputs by column stem; sizes follow from the contents at load."""

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
    """A native multipart upload that nobody finishes."""

    key: str
    parts: int


@dataclass(frozen=True)
class TempEntry:
    """One entry of the temp folder; the path is relative and raw, for names need not be UTF-8.

    `target` is what a symlink or a hard link refers to: OUTSIDE stands for the folder beside the temp folder.
    """

    path: bytes
    kind: str
    modified: datetime
    size: int = 0
    target: bytes = b""


@dataclass(frozen=True)
class Sample:
    """Everything one sample puts into the database, the bucket and the temp folder."""

    as_of: datetime
    api_keys: tuple[ApiKey, ...]
    jobs: tuple[Job, ...]
    objects: tuple[StoredObject, ...]
    open_uploads: tuple[OpenUpload, ...]
    temp: tuple[TempEntry, ...]

    def dates(self) -> Mapping[str, datetime]:
        """The age each key should have: what back_date_ministack takes."""
        return {item.key: item.modified for item in self.objects}


@dataclass(frozen=True)
class Summary:
    """What one load did, counted."""

    api_keys: int
    jobs: int
    by_status: tuple[tuple[str, int], ...]
    objects: int
    object_bytes: int
    refused: tuple[str, ...]
    open_uploads: int
    temp_entries: int
    seconds: float
