"""In-memory pipeline rows and platform records, with PostgreSQL's semantics."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from threading import RLock
from typing import Any

from storage.backup.model import Backup, BackupId
from storage.core.capabilities import Capabilities
from storage.core.model import UNENDED, Job, JobId, Outcome, Run, Tombstone, UploadInfo
from storage.core.records import Question, Verdict
from storage.testing.traffic import Traffic

OUTPUTS = (
    "output_360p_path",
    "output_720p_path",
    "output_audio_path",
    "transcription_txt_path",
    "transcription_srt_path",
    "transcription_vtt_path",
    "transcription_json_path",
)
FIXED = ("job", "as_of", "params", "requested_by", "started_at", "approved_by", "approved_sha256")


@dataclass(slots=True)
class Batch:
    """The outcomes of a finished batch."""

    outcomes: tuple[Outcome, ...]
    not_done: tuple[int, ...]
    first: int
    finished_at: datetime


@dataclass(slots=True)
class Journalled:
    """A row of the upload journal."""

    info: UploadInfo
    heartbeat: datetime
    closed_at: datetime | None = None


@dataclass(slots=True)
class Judged:
    """A verdict; it condemns nothing until its epoch is closed."""

    verdict: Verdict
    closed: bool = False


@dataclass
class Database:
    """The tables shared by the fakes, which see each other's rows as in a single database."""

    now: Callable[[], datetime]
    identity: str = field(default_factory=lambda: secrets.token_hex(8))
    jobs: dict[JobId, Job] = field(default_factory=dict)
    columns: dict[JobId, dict[str, Any]] = field(default_factory=dict)
    runs: dict[str, Run] = field(default_factory=dict)
    asked: dict[str, tuple[str, str]] = field(default_factory=dict)  # task -> run and SHA-256 of its plan
    batches: dict[tuple[str, str], dict[int, Batch]] = field(default_factory=dict)
    audit: list[tuple[str, str, Mapping[str, Any]]] = field(default_factory=list)
    #: Answers by request, what was asked, and the task that asked: "" for a rejection, which all tasks share.
    answered: dict[tuple[str, str, str], Question] = field(default_factory=dict)
    audited_at: list[datetime] = field(default_factory=list)  # of each entry of ``audit``
    locks: set[str] = field(default_factory=set)
    sharing: Counter[str] = field(default_factory=Counter)  # number of holders of a shared lock
    control: dict[str, str] = field(default_factory=dict)
    control_changed: dict[str, datetime] = field(default_factory=dict)
    capabilities: Capabilities = Capabilities()
    tombstones: dict[int, Tombstone] = field(default_factory=dict)
    changed_at: dict[int, datetime] = field(default_factory=dict)  # of closed tombstones
    notes: dict[int, str] = field(default_factory=dict)
    claims: dict[JobId, str] = field(default_factory=dict)  # open claims: job -> the run that claimed it
    uploads: dict[str, Journalled] = field(default_factory=dict)
    backups: dict[BackupId, Backup] = field(default_factory=dict)
    verdicts: dict[tuple[JobId, datetime], Judged] = field(default_factory=dict)
    traffic: Traffic = field(default_factory=Traffic)
    lock: RLock = field(default_factory=RLock)

    @property
    def requests(self) -> Counter[str]:
        return self.traffic.requests

    def add_job(self, id: str, status: str, updated_at: datetime, **columns: Any) -> Job:
        """Insert or replace a row, as the pipeline would."""
        job = Job(JobId(id), status, updated_at, columns.pop("completed_at", None))
        with self.lock:
            self.jobs[job.id], self.columns[job.id] = job, columns
        return job

    def enter(self, event: str, run_id: str, detail: Mapping[str, Any]) -> None:
        """Append an entry to the audit trail."""
        self.audit.append((event, run_id, detail))
        self.audited_at.append(self.now())

    def turn(self, job: Job, status: str, **columns: Any) -> None:
        with self.lock:
            self.jobs[job.id] = replace(job, status=status, updated_at=self.now())
            self.columns.setdefault(job.id, {}).update(columns)


class MemoryJobs:
    """In-memory JobStore."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def now(self) -> datetime:
        return self._db.now()

    def identity(self) -> str:
        return self._db.identity

    def get(self, ids: Iterable[JobId]) -> dict[JobId, Job]:
        wanted = set(ids)
        if wanted:
            self._db.traffic("jobs.get")
        with self._db.lock:
            return {id: self._db.jobs[id] for id in wanted if id in self._db.jobs}

    def failed_before(self, instant: datetime) -> Iterator[Job]:
        yield from self._rows(lambda job: job.status == "failed" and _moved_before(job, instant))

    def unended_before(self, instant: datetime) -> Iterator[Job]:
        yield from self._rows(lambda job: job.status in UNENDED and _moved_before(job, instant))

    def ended_since(self, instant: datetime) -> Iterator[Job]:
        yield from self._rows(lambda job: job.status in ("completed", "failed") and job.ended_since(instant))

    def counts(self) -> dict[str, int]:
        with self._db.lock:
            return dict(Counter(job.status for job in self._db.jobs.values()))

    def fail(self, seen: Sequence[Job], message: str) -> set[JobId]:
        self._db.traffic("jobs.fail")
        turned = set()
        with self._db.lock:
            for job in seen:
                row = self._db.jobs.get(job.id)
                if row and (row.status, row.updated_at) == (job.status, job.updated_at):
                    self._db.turn(row, "failed", error_message=message)
                    turned.add(job.id)
        return turned

    def _rows(self, wanted: Callable[[Job], bool]) -> list[Job]:
        self._db.traffic("jobs.list")
        with self._db.lock:
            found = [job for job in self._db.jobs.values() if wanted(job)]
        return sorted(found, key=lambda job: (job.updated_at or self.now(), job.id))


def _moved_before(job: Job, instant: datetime) -> bool:
    return job.updated_at is not None and job.updated_at <= instant
