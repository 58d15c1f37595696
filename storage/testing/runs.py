"""Run records in memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from storage.core.errors import (
    JobBusy,
    LockLost,
    NoSuchRun,
    PlanBegun,
    PlanChanged,
    PlanRejected,
    Refused,
    RunBegun,
)
from storage.core.model import ACTED, Outcome, Run, Totals
from storage.testing.database import FIXED, Batch, Database


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
            if known.state in ACTED and run.state not in ACTED:
                raise RunBegun(run.id, known.state)
            fixed = {name: getattr(known, name) for name in FIXED}
            self._db.runs[run.id] = replace(run, **fixed)

    def get(self, run_id: str) -> Run | None:
        return self._db.runs.get(run_id)

    def latest(self, job: str | None = None, limit: int = 20, state: str | None = None) -> list[Run]:
        with self._db.lock:
            known = self._db.runs.values()
            runs = [run for run in known if job in (None, run.job) and state in (None, run.state)]
        return sorted(runs, key=_when, reverse=True)[:limit]

    def newest(self, jobs: Sequence[str]) -> list[Run]:
        with self._db.lock:
            runs = sorted((run for run in self._db.runs.values() if run.job in jobs), key=_when)
        return sorted({(run.job, run.state): run for run in runs}.values(), key=_when, reverse=True)

    def approve(self, run_id: str, sha256: str, by: str) -> None:
        with self._db.lock:
            run = self._of_plan_asked(run_id, sha256)
            if run.state == "rejected":
                raise PlanRejected(run_id, run.message)
            if run.state == "refused":
                raise Refused("guard", run.message)
            self._db.runs[run_id] = replace(run, approved_sha256=sha256, approved_by=by)
            self._db.enter("approve", run_id, {"sha256": sha256, "by": by})

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
            self._db.enter("reject", run_id, {"sha256": sha256, "by": by})

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
        self, run_id: str, number: int, outcomes: Sequence[Outcome], not_done: Sequence[int], *, first: int
    ) -> None:
        self._db.traffic("runs.finish_batch")
        with self._db.lock:
            batches = self._db.batches.setdefault(self._of_plan(run_id), {})
            batches.setdefault(number, Batch(tuple(outcomes), tuple(not_done), first, self._db.now()))

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


def _when(run: Run) -> tuple[float, str]:
    return run.started_at.timestamp() if run.started_at else 0.0, run.id
