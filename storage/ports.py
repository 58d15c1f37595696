"""What the world must offer, as protocols. Adapters and the fake satisfy them by shape."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from storage.model import (
    BucketName,
    Capabilities,
    DeleteTarget,
    Failure,
    Job,
    JobId,
    LocalFile,
    ObjectInfo,
    ObjectKey,
    Outcome,
    Page,
    Prefix,
    Run,
    Tombstone,
    Totals,
    UploadInfo,
    UploadPart,
)


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

    def put_file(self, key: ObjectKey, path: Path) -> None: ...

    def open(self, key: ObjectKey) -> AbstractContextManager[BinaryIO]:
        """The raw bytes, streamed. Raises ObjectMissing."""
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

    def referenced(self, keys: Sequence[str]) -> set[str]:
        """Those keys that the row of a job not cleaned up names as an output."""
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


class RunLog(Protocol):
    """The record of runs, their finished batches, and the lock a job is applied under."""

    def save(self, run: Run) -> None: ...

    def get(self, run_id: str) -> Run | None: ...

    def latest(self, job: str | None = None, limit: int = 20, state: str | None = None) -> list[Run]: ...

    def approve(self, run_id: str, sha256: str, by: str) -> None: ...

    def lock(self, job: str) -> AbstractContextManager[Callable[[], None]]:
        """Hold the job's lock; yields a function that raises LockLost if it no longer is held."""
        ...

    def finished(self, run_id: str) -> dict[int, tuple[int, ...]]:
        """Number of each finished batch, with the plan lines in it that were not done."""
        ...

    def finish_batch(
        self, run_id: str, number: int, outcomes: Sequence[Outcome], not_done: Sequence[int]
    ) -> None: ...

    def totals(self, run_id: str) -> tuple[Totals, Totals, Totals]:
        """Done, skipped and failed over the finished batches."""
        ...

    def details(self, run_id: str) -> list[tuple[str, str, int]]:
        """(status, reason, count) of what was skipped or failed."""
        ...

    def audit(self, event: str, run_id: str, detail: Mapping[str, Any]) -> None: ...


class Control(Protocol):
    """Switches and facts that outlive a run."""

    def read(self, name: str) -> str | None: ...

    def write(self, name: str, value: str | None) -> None: ...

    def paused(self) -> str | None:
        """Why maintenance is paused; None when it is not."""
        ...

    def capabilities(self) -> Capabilities: ...

    def save_capabilities(self, found: Capabilities) -> None: ...


class Tombstones(Protocol):
    """Condemned things. One open tombstone a thing."""

    def condemn(self, stones: Sequence[Tombstone]) -> dict[str, str]:
        """Record them, but those whose owner is not as seen; {key: why not} of what was left out.

        Condemning twice what the same run condemned is no error.
        """
        ...

    def due(self, as_of: datetime, places: Sequence[str]) -> Iterator[Tombstone]:
        """Open ones of these places whose time has come, jobs first, then objects by key, then files.

        What goes with a job waits for it: until the job's own tombstone is due or claimed, or the job
        has moved on.
        """
        ...

    def begin(self, ids: Sequence[int]) -> dict[int, Tombstone]:
        """Turn condemned ones to reaping; those now reaping (also from an earlier, interrupted run)."""
        ...

    def finish(self, ids: Sequence[int], state: str, note: str = "") -> None:
        """End open ones; a claim ends with the last tombstone of its job, in the same transaction."""
        ...

    def claim_job(self, stone: Tombstone, run_id: str) -> bool:
        """failed -> cleaned_up if the row is as condemned, with the claim, in one transaction; also true
        when an earlier run claimed it and did not finish."""
        ...

    def claimed(self, ids: Iterable[JobId]) -> set[JobId]: ...

    def of_run(self, run_id: str) -> Iterator[Tombstone]: ...

    def undo(self, ids: Sequence[int]) -> set[int]:
        """Turn condemned ones to undone; the ids that were.

        What goes with a job stays once reap has begun on the job: it is all or nothing.
        """
        ...

    def open_keys(self, place: str, keys: Sequence[str]) -> set[str]: ...

    def open(self) -> dict[str, Totals]:
        """Open tombstones by kind."""
        ...


class UploadJournal(Protocol):
    """Multipart uploads this platform or the pipeline started, for stores that forget them."""

    def record(self, key: ObjectKey, upload_id: str) -> None: ...

    def open(self) -> Iterator[UploadInfo]: ...

    def heartbeats(self, upload_ids: Sequence[str]) -> dict[str, datetime]: ...

    def close(self, upload_id: str) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Stores:
    """Everything a job may touch, handed down; no globals."""

    objects: ObjectStore
    plans: ObjectStore
    jobs: JobStore
    files: FileStore
    runs: RunLog
    control: Control
    tombstones: Tombstones
    uploads: UploadJournal
    clock: Callable[[], datetime]
