"""What the world must offer, as protocols. Adapters and the fake satisfy them by shape."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from storage.core.model import (
    Attributes,
    BucketName,
    DeleteTarget,
    Document,
    Failure,
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
    """Where an object's bytes are written to; ``size`` and ``sha256`` are of those written so far."""

    @property
    def size(self) -> int: ...

    @property
    def sha256(self) -> str: ...

    def write(self, data: bytes, /) -> int: ...


class ObjectStore(Protocol):
    """One bucket. Listings come in key order; nothing here normalises a key."""

    @property
    def bucket(self) -> BucketName: ...

    def scan(self, prefix: Prefix) -> Iterator[ObjectInfo]:
        """Every object under ``prefix``, streamed page by page."""
        ...

    def page(self, prefix: Prefix, start_after: str = "", limit: int = 1000) -> Page:
        """One page (one request) of the objects whose key is greater than ``start_after``."""
        ...

    def head(self, key: ObjectKey) -> ObjectInfo | None:
        """The object as it is now; None when there is none."""
        ...

    def delete(self, targets: Sequence[DeleteTarget]) -> list[Failure]:
        """Delete at most 1,000 objects by one request; what the store would not delete comes back.

        With versions, exactly those versions go. Deleting what is gone is not a failure.
        """
        ...

    def inventory(self) -> Iterator[ObjectInfo]:
        """Every object of the bucket, streamed: for reading only, no action is made of it."""
        ...

    def put_file(self, key: ObjectKey, path: Path) -> None: ...

    def create(
        self, key: ObjectKey, data: bytes, attributes: Attributes | None = None, *, over: bool = False
    ) -> None:
        """Write a new object. Raises PreconditionFailed where there is another, if the store can tell.

        With ``over`` it takes the place of another.
        """
        ...

    def writer(self, key: ObjectKey, size_hint: int = 0) -> AbstractContextManager[Writer]:
        """A stream to write one object by: there when the block ends, never when it raises."""
        ...

    def open(self, key: ObjectKey) -> AbstractContextManager[BinaryIO]:
        """The raw bytes, streamed. Raises ObjectMissing."""
        ...

    def document(self, key: ObjectKey, most: int) -> Document | None:
        """The whole object by one request; None for more than ``most`` bytes. Raises ObjectMissing."""
        ...

    def attributes(self, key: ObjectKey) -> tuple[Attributes, dict[str, str]]:
        """What the object carries beside its bytes, and its tags. Raises ObjectMissing."""
        ...

    def configuration(self) -> dict[str, Any]:
        """Lifecycle, policy and so on as the store answers; {"unsupported": code} where it refuses."""
        ...

    def uploads(self) -> Iterator[UploadInfo]:
        """Incomplete multipart uploads the store shows. A hint: some stores forget them."""
        ...

    def parts(self, key: ObjectKey, upload_id: str) -> list[UploadPart] | None:
        """The stored parts; None when there is no such upload."""
        ...

    def abort(self, key: ObjectKey, upload_id: str) -> None: ...

    def server_time(self) -> datetime:
        """The server's clock, to the second (Date header)."""
        ...

    def identity(self) -> str:
        """A name that another bucket, or this one made anew, would not have; '' if none yet."""
        ...

    def adopt(self, identity: str) -> None:
        """Write ``identity`` into the bucket."""
        ...


class JobStore(Protocol):
    """The pipeline's jobs. Every change is a compare-and-set on what the caller saw."""

    def now(self) -> datetime: ...

    def identity(self) -> str: ...

    def get(self, ids: Iterable[JobId]) -> dict[JobId, Job]: ...

    def failed_before(self, instant: datetime) -> Iterator[Job]:
        """Failed jobs untouched since ``instant``, oldest first, streamed."""
        ...

    def unended_before(self, instant: datetime) -> Iterator[Job]: ...

    def ended_since(self, instant: datetime) -> Iterator[Job]:
        """Completed and failed jobs whose row changed at ``instant`` or later, streamed."""
        ...

    def counts(self) -> dict[str, int]:
        """Rows by status."""
        ...

    def fail(self, seen: Sequence[Job], message: str) -> set[JobId]:
        """Turn those jobs to failed that still are exactly as seen; the ids that were turned."""
        ...


class FileStore(Protocol):
    """The temp folder. Paths are relative, in path_text form; no link is ever followed."""

    @property
    def root(self) -> str: ...

    def check(self) -> None:
        """Raise TempFolderUnsafe unless this folder may be swept."""
        ...

    def now(self) -> datetime:
        """The file system's clock, by a file just touched."""
        ...

    def walk(self) -> Iterator[LocalFile]:
        """Every entry below the root, folders after what they hold; `.condemned/` left out."""
        ...

    def look(self, path: str) -> LocalFile | None: ...

    def busy(self, path: str) -> str | None:
        """Why the file may be in use; None when nobody has it open, or there is none."""
        ...

    def move(self, source: str, target: str) -> None:
        """Rename within the folder, never over something; makes the target's folders.

        Raises FileGone, FileInTheWay or FileFault.
        """
        ...

    def unlink(self, path: str) -> None:
        """Remove the file; one that is gone is no failure. Raises FileFault."""
        ...

    def rmdir(self, path: str) -> bool:
        """Remove the folder if it is empty; whether it is gone."""
        ...


@dataclass(frozen=True, kw_only=True)
class EngineStores:
    """The stores that planning and applying need, whatever the job. Handed down; there are no globals.

    ``objects`` is the bucket that a run works on, ``plans`` the one that plan files lie in.
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
        """Bucket and database in one text; another one than before means that either was exchanged."""
        return f"{self.objects.identity()} {self.jobs.identity()}"


@dataclass(frozen=True, kw_only=True)
class Stores(EngineStores):
    """The stores of clean-up, which deletes in two steps: with tombstones and the temp folder."""

    files: FileStore
    tombstones: Tombstones
    verdicts: Verdicts
    uploads: UploadJournal
    proven: ProvenBackups
