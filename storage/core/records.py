"""What is recorded, as protocols: runs, switches, tombstones, uploads, backups."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Protocol

from storage.core.capabilities import Capabilities
from storage.core.model import JobId, ObjectKey, Outcome, Run, Tombstone, Totals, UploadInfo


class RunLog(Protocol):
    """The record of runs, their finished batches, and the lock a job is applied under."""

    def save(self, run: Run) -> None: ...

    def get(self, run_id: str) -> Run | None: ...

    def latest(self, job: str | None = None, limit: int = 20, state: str | None = None) -> list[Run]: ...

    def approve(self, run_id: str, sha256: str, by: str) -> None: ...

    def lock(self, job: str, *, shared: bool = False) -> AbstractContextManager[Callable[[], None]]:
        """Hold the job's lock; yields a function that raises LockLost if it no longer is held.

        A shared one stands beside others that are shared, and beside no other.
        """
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


class AuditLog(Protocol):
    """The trail of what was done and decided; it only grows."""

    def record(self, event: str, run_id: str, detail: Mapping[str, Any]) -> None:
        """Add one entry; ``run_id`` is '' for what belongs to no run."""
        ...


class References(Protocol):
    """Who refers to objects of the bucket. The engine asks before it takes an object away."""

    def of(self, keys: Sequence[str]) -> dict[str, str]:
        """Those of the keys that are referred to, each with who refers to it, such as ``job 42``."""
        ...


class ProvenBackups(Protocol):
    """The one fact of backups that other capabilities need."""

    def newest(self) -> datetime | None:
        """The instant whose data the newest proven backup of the database holds; None where there is none."""
        ...


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

    def condemn(self, tombstones: Sequence[Tombstone]) -> dict[str, str]:
        """Record them, but those whose owner is not as seen; {key: why not} of what was left out.

        Condemning twice what the same run condemned is no error.
        """
        ...

    def due(self, as_of: datetime, containers: Sequence[str]) -> Iterator[Tombstone]:
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

    def claim_job(self, tombstone: Tombstone, run_id: str) -> bool:
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


Ruling = Literal["adopt", "condemn"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was decided of a job that a restore left in doubt. ``epoch`` is the instant of that restore."""

    owner: JobId
    ruling: Ruling
    epoch: datetime


#: How the pause begins that a restore makes, and that closing its epoch lifts; anybody else's stays.
PAUSED_BY_RESTORE = ("restored from backup", "put back")


class Verdicts(Protocol):
    """What operators decided after restores. One verdict an owner and epoch."""

    def of(self, owners: Iterable[JobId], epoch: datetime | None = None) -> dict[JobId, Verdict]:
        """The latest verdict on each, or the one of that epoch."""
        ...

    def condemned(self) -> Iterator[Verdict]:
        """Owners condemned in an epoch that is closed and not judged again since, streamed."""
        ...

    def record(self, owners: Iterable[JobId], ruling: Ruling, epoch: datetime, by: str) -> None:
        """Enter a verdict; another one of the same epoch gives way to it."""
        ...

    def close(self, epoch: datetime, by: str, now: datetime) -> None:
        """End epoch and pause, and forget what earlier runs left; one transaction, with its audit."""
        ...
