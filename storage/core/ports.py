"""Protocols of the stores. Adapters and in-memory fakes satisfy them structurally."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from storage.core.attributes import Attributes, Document
from storage.core.deletion import DeleteTarget, Failure
from storage.core.model import (
    BucketName,
    Job,
    JobId,
    LocalFile,
    ObjectInfo,
    ObjectKey,
    Page,
    Prefix,
    UploadInfo,
    UploadPart,
)
from storage.core.records import (
    AuditLog,
    Control,
    ProvenBackups,
    References,
    RunLog,
    Tombstones,
    UploadJournal,
    Verdicts,
)


class Writer(Protocol):
    """Sink for an object's bytes; ``size`` and ``sha256`` are of the bytes written so far."""

    @property
    def size(self) -> int: ...

    @property
    def sha256(self) -> str: ...

    def write(self, data: bytes, /) -> int: ...


class ObjectStore(Protocol):
    """One bucket. Listings come in key order; keys are never normalised."""

    @property
    def bucket(self) -> BucketName: ...

    def scan(self, prefix: Prefix) -> Iterator[ObjectInfo]:
        """Stream every object under ``prefix``, page by page."""
        ...

    def page(self, prefix: Prefix, start_after: str = "", limit: int = 1000) -> Page:
        """Read one page (one request) of the objects whose key is greater than ``start_after``."""
        ...

    def head(self, key: ObjectKey) -> ObjectInfo | None:
        """Return the object's current state; None if it does not exist."""
        ...

    def delete(self, targets: Sequence[DeleteTarget]) -> list[Failure]:
        """Delete at most 1,000 objects in one request; return those the store failed to delete.

        A target with versions deletes exactly those versions. Deleting a missing object is not a failure.
        """
        ...

    def inventory(self) -> Iterator[ObjectInfo]:
        """Stream every object of the bucket, for reading only: no action is planned from it."""
        ...

    def put_file(self, key: ObjectKey, path: Path) -> None: ...

    def create(
        self, key: ObjectKey, data: bytes, attributes: Attributes | None = None, *, over: bool = False
    ) -> None:
        """Write a new object. Raises PreconditionFailed if the key exists and the store can check that.

        With ``over`` an existing object is overwritten.
        """
        ...

    def writer(self, key: ObjectKey, size_hint: int = 0) -> AbstractContextManager[Writer]:
        """Open a stream that writes an object; it appears when the block ends, never when it raises."""
        ...

    def open(self, key: ObjectKey) -> AbstractContextManager[BinaryIO]:
        """Open the raw bytes as a stream. Raises ObjectMissing."""
        ...

    def document(self, key: ObjectKey, most: int) -> Document | None:
        """Read the whole object in one request; None if larger than ``most`` bytes. Raises ObjectMissing."""
        ...

    def attributes(self, key: ObjectKey) -> tuple[Attributes, dict[str, str]]:
        """Read the object's attributes and its tags. Raises ObjectMissing."""
        ...

    def configuration(self) -> dict[str, Any]:
        """Read lifecycle, policy and so on as the store returns them; {"unsupported": code} if refused."""
        ...

    def uploads(self) -> Iterator[UploadInfo]:
        """Stream the incomplete multipart uploads that the store lists. Incomplete: some stores omit some."""
        ...

    def parts(self, key: ObjectKey, upload_id: str) -> list[UploadPart] | None:
        """Return the stored parts; None if there is no such upload."""
        ...

    def abort(self, key: ObjectKey, upload_id: str) -> None: ...

    def server_time(self) -> datetime:
        """Return the server's time, to the second (Date header)."""
        ...

    def identity(self) -> str:
        """Return the bucket's unique identity, which a recreated bucket would not have; '' if none yet."""
        ...

    def adopt(self, identity: str) -> None:
        """Write ``identity`` into the bucket."""
        ...


class JobStore(Protocol):
    """The pipeline's jobs. Every change is a compare-and-set on the row as the caller read it."""

    def now(self) -> datetime: ...

    def identity(self) -> str: ...

    def get(self, ids: Iterable[JobId]) -> dict[JobId, Job]:
        """Return the jobs by the id asked for, which may be another spelling of the row's id."""
        ...

    def failed_before(self, instant: datetime) -> Iterator[Job]:
        """Stream failed jobs unchanged since ``instant``, oldest first."""
        ...

    def unended_before(self, instant: datetime) -> Iterator[Job]: ...

    def ended_since(self, instant: datetime) -> Iterator[Job]:
        """Stream completed and failed jobs whose row changed at ``instant`` or later."""
        ...

    def counts(self) -> dict[str, int]:
        """Count the rows by status."""
        ...

    def fail(self, seen: Sequence[Job], message: str) -> set[JobId]:
        """Set jobs to failed if they are still exactly as seen; return the ids that were changed.

        Raises StatementRefused, with none changed, if the database does not accept one of the changes.
        """
        ...


class FileStore(Protocol):
    """The temp folder. Paths are relative, in path_text form; no link is ever followed."""

    @property
    def root(self) -> str: ...

    def check(self) -> None:
        """Raise TempFolderUnsafe unless this folder may be swept."""
        ...

    def now(self) -> datetime:
        """Return the file system's time, read from a newly created file."""
        ...

    def walk(self) -> Iterator[LocalFile]:
        """Stream every entry below the root, folders after their contents, without `.condemned/`.

        Mount points and unreadable folders are among them, marked as unfit, without their contents.
        """
        ...

    def look(self, path: str) -> LocalFile | None: ...

    def busy(self, path: str) -> str | None:
        """Return why the file may be in use; None if no process has it open or it does not exist."""
        ...

    def move(self, source: str, target: str) -> None:
        """Rename within the temp folder without overwriting; create the target's parent folders.

        Raises FileGone, FileInTheWay or FileFault.
        """
        ...

    def unlink(self, path: str) -> None:
        """Remove the file; a missing file is not a failure. Raises FileFault."""
        ...

    def rmdir(self, path: str) -> bool:
        """Remove the folder if it is empty; return True if it no longer exists."""
        ...


@dataclass(frozen=True, kw_only=True)
class EngineStores:
    """The stores that planning and applying need for any job. Passed as a parameter, never global.

    ``objects`` is the bucket a run works on, ``plans`` the bucket that holds plan files.
    """

    objects: ObjectStore
    plans: ObjectStore
    jobs: JobStore
    runs: RunLog
    audit: AuditLog
    control: Control
    references: References
    clock: Callable[[], datetime]

    def identity(self) -> str:
        """Return the identities of bucket and database; a different value means one of them was replaced."""
        return f"{self.objects.identity()} {self.jobs.identity()}"


@dataclass(frozen=True, kw_only=True)
class Stores(EngineStores):
    """The stores of clean-up, which deletes in two steps: also tombstones and the temp folder."""

    files: FileStore
    tombstones: Tombstones
    verdicts: Verdicts
    uploads: UploadJournal
    proven: ProvenBackups
