"""In-memory pipeline rows and platform records, with PostgreSQL's semantics."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from threading import RLock
from typing import Any

from storage.backup.model import Backup, BackupId
from storage.core.capabilities import Capabilities
from storage.core.errors import JobBusy, LockLost, NoSuchRun, PlanBegun, PlanChanged, PlanRejected, Refused
from storage.core.model import UNENDED, Job, JobId, Outcome, Run, Tombstone, Totals, UploadInfo
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


@dataclass(slots=True)
class Journalled:
    """A row of the upload journal."""

    info: UploadInfo
    heartbeat: datetime
    open: bool = True


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
    locks: set[str] = field(default_factory=set)
    sharing: Counter[str] = field(default_factory=Counter)  # number of holders of a shared lock
    control: dict[str, str] = field(default_factory=dict)
    control_changed: dict[str, datetime] = field(default_factory=dict)
    capabilities: Capabilities = Capabilities()
    tombstones: dict[int, Tombstone] = field(default_factory=dict)
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


class MemoryRuns:
    """In-memory RunLog."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def save(self, run: Run) -> None:
        """Insert a run, or update its variable fields: never the requester, never an approval."""
        with self._db.lock:
            known = self._db.runs.get(run.id, replace(run, approved_by="", approved_sha256=""))
            if known.state == "rejected" != run.state:
                raise PlanRejected(run.id, known.message)
            fixed = {name: getattr(known, name) for name in FIXED}
            self._db.runs[run.id] = replace(run, **fixed)

    def get(self, run_id: str) -> Run | None:
        return self._db.runs.get(run_id)

    def latest(self, job: str | None = None, limit: int = 20, state: str | None = None) -> list[Run]:
        with self._db.lock:
            known = self._db.runs.values()
            runs = [run for run in known if job in (None, run.job) and state in (None, run.state)]
        runs.sort(
            key=lambda run: (run.started_at.timestamp() if run.started_at else 0.0, run.id), reverse=True
        )
        return runs[:limit]

    def approve(self, run_id: str, sha256: str, by: str) -> None:
        with self._db.lock:
            run = self._of_plan_asked(run_id, sha256)
            if run.state == "rejected":
                raise PlanRejected(run_id, run.message)
            if run.state == "refused":
                raise Refused("guard", run.message)
            self._db.runs[run_id] = replace(run, approved_sha256=sha256, approved_by=by)
            self._db.audit.append(("approve", run_id, {"sha256": sha256, "by": by}))

    def reject(self, run_id: str, sha256: str, by: str) -> None:
        with self._db.lock:
            run = self._of_plan_asked(run_id, sha256)
            if run.state == "rejected":
                return
            if run.state not in ("planned", "waiting"):
                raise PlanBegun(run_id, run.state)
            now = self._db.now()
            message = f"rejected by {by}, {now:%Y-%m-%d %H:%M} UTC"
            self._db.runs[run_id] = replace(run, state="rejected", message=message, finished_at=now)
            self._db.audit.append(("reject", run_id, {"sha256": sha256, "by": by}))

    def _of_plan_asked(self, run_id: str, sha256: str) -> Run:
        """Return the run if its plan is the one with this SHA-256. Raises NoSuchRun or PlanChanged."""
        run = self._db.runs.get(run_id)
        if run is None:
            raise NoSuchRun(run_id)
        if run.plan_sha256 != sha256:
            raise PlanChanged(run.plan_uri or run_id, run.plan_sha256, sha256)
        return run

    def ask(self, run_id: str, sha256: str, task: str) -> None:
        with self._db.lock:
            if self._db.runs[run_id].plan_sha256 != sha256:
                raise PlanChanged(run_id, "another one", sha256)
            self._db.asked[task] = (run_id, sha256)

    def asked(self, task: str) -> tuple[str, str] | None:
        return self._db.asked.get(task)

    @contextmanager
    def lock(self, job: str, *, shared: bool = False) -> Iterator[Callable[[], None]]:
        sharing = self._db.sharing
        with self._db.lock:
            if job in self._db.locks and not (shared and sharing[job]):
                raise JobBusy(job)
            self._db.locks.add(job)
            sharing[job] += shared

        def still_held() -> None:
            if job not in self._db.locks:
                raise LockLost(job)

        try:
            yield still_held
        finally:
            with self._db.lock:
                sharing[job] -= shared
                if not sharing[job]:
                    self._db.locks.discard(job)

    def finished(self, run_id: str) -> dict[int, tuple[int, ...]]:
        with self._db.lock:
            return {n: batch.not_done for n, batch in self._db.batches.get(self._of_plan(run_id), {}).items()}

    def _of_plan(self, run_id: str) -> tuple[str, str]:
        """Return the key of the run's batches: run and plan, because a run may be planned again."""
        run = self._db.runs.get(run_id)
        return run_id, run.plan_sha256 if run else ""

    def finish_batch(
        self, run_id: str, number: int, outcomes: Sequence[Outcome], not_done: Sequence[int]
    ) -> None:
        self._db.traffic("runs.finish_batch")
        with self._db.lock:
            batches = self._db.batches.setdefault(self._of_plan(run_id), {})
            batches.setdefault(number, Batch(tuple(outcomes), tuple(not_done)))

    def totals(self, run_id: str) -> tuple[Totals, Totals, Totals]:
        sums = {"done": Totals(), "skipped": Totals(), "failed": Totals()}
        for outcome in self._outcomes(run_id):
            sums[outcome.status] += Totals(1, outcome.bytes)
        return sums["done"], sums["skipped"], sums["failed"]

    def details(self, run_id: str) -> list[tuple[str, str, int]]:
        found = Counter((o.status, o.detail) for o in self._outcomes(run_id) if o.status != "done")
        rows = [(status, detail, count) for (status, detail), count in found.items()]
        return sorted(rows, key=lambda row: (-row[2], *row[:2]))

    def _outcomes(self, run_id: str) -> list[Outcome]:
        with self._db.lock:
            batches = self._db.batches.get(self._of_plan(run_id), {})
            return [outcome for batch in batches.values() for outcome in batch.outcomes]
