"""Protocols of the records: runs, control values, tombstones, uploads, backups."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Protocol

from storage.core.capabilities import Capabilities
from storage.core.model import JobId, ObjectKey, Outcome, Run, Tombstone, Totals, UploadInfo


class RunLog(Protocol):
    """Records of runs and their finished batches, and the lock under which a job is applied."""

    def save(self, run: Run) -> None:
        """Insert a run, or update its variable fields. Raises PlanRejected if it was rejected meanwhile."""
        ...

    def get(self, run_id: str) -> Run | None: ...

    def latest(self, job: str | None = None, limit: int = 20, state: str | None = None) -> list[Run]: ...

    def newest(self, jobs: Sequence[str]) -> list[Run]:
        """Return the newest run of each of these jobs in each state, the newest of all first."""
        ...

    def approve(self, run_id: str, sha256: str, by: str) -> None:
        """Approve the plan with this SHA-256. Raises NoSuchRun, PlanChanged, PlanRejected or Refused."""
        ...

    def reject(self, run_id: str, sha256: str, by: str) -> None:
        """Reject the plan with this SHA-256, for good. Raises NoSuchRun, PlanChanged or PlanBegun."""
        ...

    def ask(self, run_id: str, sha256: str, task: str) -> None:
        """Record that ``task`` asks for approval of the run's plan with this SHA-256. Raises PlanChanged."""
        ...

    def asked(self, task: str) -> tuple[str, str] | None:
        """Return the run, and the SHA-256 of the plan, that ``task`` asked about."""
        ...

    def lock(self, job: str, *, shared: bool = False) -> AbstractContextManager[Callable[[], None]]:
        """Hold the job's lock; yield a function that raises LockLost if it is no longer held.

        Shared locks may be held together; an exclusive lock excludes every other.
        """
        ...

    def finished(self, run_id: str) -> dict[int, tuple[int, ...]]:
        """Return the number of each finished batch with its plan lines that were not done."""
        ...

    def finish_batch(
        self, run_id: str, number: int, outcomes: Sequence[Outcome], not_done: Sequence[int], *, first: int
    ) -> None:
        """Record a finished batch, whose first action is line ``first`` of the plan, counted from 0."""
        ...

    def totals(self, run_id: str) -> tuple[Totals, Totals, Totals]:
        """Sum done, skipped and failed over the finished batches."""
        ...

    def details(self, run_id: str) -> list[tuple[str, str, int]]:
        """Return (status, reason, count) of the skipped and failed actions."""
        ...


@dataclass(frozen=True, slots=True)
class Question:
    """A question to an operator: the thing to approve, and the first answer (``approved`` None: none yet)."""

    what: str
    approved: bool | None = None
    by: str = ""
    at: datetime | None = None


class AuditLog(Protocol):
    """Append-only trail of actions and decisions.

    It also keeps the questions that no run row can hold. ``request`` names who asks, such as a DAG run. An
    approval answers the task that asked; a rejection of a ``what`` is final for the request.
    """

    def ask(self, request: str, task: str, what: str) -> Question:
        """Record that ``task`` asks about ``what``; return the question, perhaps rejected before."""
        ...

    def answer(self, request: str, task: str, approved: bool, by: str) -> Question:
        """Record the answer to what ``task`` asked, unless there is one. Raises Refused if none did."""
        ...

    def question(self, request: str) -> Question | None:
        """Return what was asked last for the request, with its answer."""
        ...

    def record(self, event: str, run_id: str, detail: Mapping[str, Any]) -> None:
        """Append an entry; ``run_id`` is '' for an event outside any run."""
        ...


class References(Protocol):
    """References to objects of the bucket. The engine checks them before it deletes an object."""

    def of(self, keys: Sequence[str]) -> dict[str, str]:
        """Return the referenced keys among ``keys``, each with its referrer, such as ``job 42``."""
        ...


class ProvenBackups(Protocol):
    """Time of the newest proven backup, the only fact of backups that other capabilities need."""

    def newest(self, until: datetime) -> datetime | None:
        """Return the instant of the data in the newest proven database backup; None if there is none.

        One dated after ``until`` does not count: a clock was wrong when it was taken.
        """
        ...


@dataclass(frozen=True, slots=True)
class Pause:
    """A pause of all maintenance. ``reason`` starts with ``by`` and a name if a person set it."""

    since: datetime
    reason: str

    def __str__(self) -> str:
        space = " " if self.reason.startswith("by ") else ": "
        return f"since {self.since:%Y-%m-%d %H:%M} UTC{space}{self.reason}"


def pause_of(value: str | None, since: datetime) -> Pause | None:
    """Return the pause that the control row "paused" sets; None without a row. An empty row is a pause."""
    return None if value is None else Pause(since, value.strip() or "no reason was given")


def pause_reason(by: str, reason: str) -> str:
    """Return the text of the control row for a pause by a person."""
    return f"by {by}: {reason}" if reason else f"by {by}"


class Control(Protocol):
    """Switches and values that persist across runs."""

    def read(self, name: str) -> str | None: ...

    def write(self, name: str, value: str | None) -> None: ...

    def paused(self) -> Pause | None:
        """Return the pause of all maintenance; None if there is none. The row counts, whatever is in it."""
        ...

    def capabilities(self) -> Capabilities: ...

    def save_capabilities(self, found: Capabilities) -> None: ...


class Tombstones(Protocol):
    """Tombstones of jobs, objects and files; at most one open tombstone for each."""

    def condemn(self, tombstones: Sequence[Tombstone]) -> dict[str, str]:
        """Record tombstones unless the owner has changed; return {key: reason} for those not recorded.

        Repeating a tombstone of the same run is not an error.
        """
        ...

    def due(self, as_of: datetime, containers: Sequence[str]) -> Iterator[Tombstone]:
        """Stream the due open tombstones of these places: jobs first, then objects by key, then files.

        An object that goes with a job is due only once the job's tombstone is due or claimed, or the job
        has changed.
        """
        ...

    def begin(self, ids: Sequence[int]) -> dict[int, Tombstone]:
        """Set condemned tombstones to reaping; return all now reaping, also from an interrupted run."""
        ...

    def finish(self, ids: Sequence[int], state: str, note: str = "") -> None:
        """Close open tombstones; the last one of a job also ends its claim, in the same transaction."""
        ...

    def postpone(self, ids: Sequence[int], until: datetime, note: str) -> None:
        """Set reaping tombstones back to condemned, due at ``until``: their objects are locked."""
        ...

    def claim_job(self, tombstone: Tombstone, run_id: str) -> bool:
        """Set a failed job to cleaned_up and claim it in one transaction, if the row is as condemned.

        Also True if an earlier run claimed the job and did not finish. Raises StatementRefused if the
        database does not accept the change.
        """
        ...

    def claimed(self, ids: Iterable[JobId]) -> set[JobId]: ...

    def of_run(self, run_id: str) -> Iterator[Tombstone]: ...

    def undo(self, ids: Sequence[int], *, dry_run: bool = False) -> set[int]:
        """Set condemned tombstones to undone; return the ids that were changed, or with ``dry_run`` would be.

        A tombstone that goes with a job is not undone once reap has begun on the job: all or nothing.
        """
        ...

    def open_keys(self, place: str, keys: Sequence[str]) -> set[str]: ...

    def open(self) -> dict[str, Totals]:
        """Sum the open tombstones by kind."""
        ...


class UploadJournal(Protocol):
    """Multipart uploads started by this platform or the pipeline, for stores that do not list them."""

    def record(self, key: ObjectKey, upload_id: str) -> None: ...

    def open(self) -> Iterator[UploadInfo]: ...

    def heartbeats(self, upload_ids: Sequence[str]) -> dict[str, datetime]: ...

    def close(self, upload_id: str) -> None: ...


Ruling = Literal["adopt", "condemn"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """The decision on a job that a restore left unclear. ``epoch`` is the instant of that restore."""

    owner: JobId
    ruling: Ruling
    epoch: datetime


#: A pause set by a restore starts with one of these; closing the epoch lifts it, but no other pause.
PAUSED_BY_RESTORE = ("restored from backup", "put back")


class Verdicts(Protocol):
    """Operators' verdicts after restores; at most one per owner and epoch."""

    def of(self, owners: Iterable[JobId], epoch: datetime | None = None) -> dict[JobId, Verdict]:
        """Return the latest verdict on each owner, or the verdict of the given epoch."""
        ...

    def condemned(self) -> Iterator[Verdict]:
        """Stream the owners condemned in a closed epoch that have no later verdict."""
        ...

    def record(self, owners: Iterable[JobId], ruling: Ruling, epoch: datetime, by: str) -> None:
        """Record a verdict; it replaces an earlier one of the same epoch."""
        ...

    def close(self, epoch: datetime, by: str, now: datetime) -> None:
        """Close the epoch, lift its pause and reset run history, in one transaction with its audit entry."""
        ...
