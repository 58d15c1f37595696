"""Verbs on rows of the pipeline's jobs: fail, condemn, clean up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import ClassVar

from storage.core.errors import StatementRefused
from storage.core.model import Job, JobId, Outcome, Tombstone, jobs_of
from storage.core.ports import EngineStores, Stores
from storage.engine.actions.base import BatchSize, Touches, Work, tombstone_of

TIMEOUT_MESSAGE = "Job timeout - stuck in processing"


@dataclass(frozen=True, slots=True, kw_only=True)
class FailJob:
    """Set a stuck job to failed if it is still exactly as seen: a job that finishes meanwhile wins."""

    verb: ClassVar[str] = "fail"
    touches: ClassVar[Touches] = "job"
    batch_size: ClassVar[BatchSize] = BatchSize(1000)

    key: str
    status: str
    updated_at: datetime
    reason: str
    size: int = 0

    @classmethod
    def apply(cls, batch: Sequence[FailJob], work: Work[EngineStores]) -> list[Outcome]:
        """Set the jobs to failed in one statement; a batch with a refused row is halved until it is alone."""
        seen = [Job(JobId(action.key), action.status, action.updated_at) for action in batch]
        try:
            turned = work.stores.jobs.fail(seen, TIMEOUT_MESSAGE)
        except StatementRefused as error:
            if len(batch) == 1:
                return [_refused(error, "failed")]
            half = len(batch) // 2
            return [*cls.apply(batch[:half], work), *cls.apply(batch[half:], work)]
        moved_on = Outcome("skipped", "the job has moved on since the plan")
        return [Outcome("done") if action.key in turned else moved_on for action in batch]

    def holds(self, stores: EngineStores) -> bool:
        row = stores.jobs.get([JobId(self.key)]).get(JobId(self.key))
        return row is None or (row.status, row.updated_at) != (self.status, self.updated_at)


@dataclass(frozen=True, slots=True, kw_only=True)
class CondemnJob:
    """Write the tombstone of a failed job: from ``delete_after`` on reap may set it to cleaned_up."""

    verb: ClassVar[str] = "condemn-job"
    touches: ClassVar[Touches] = "job"
    batch_size: ClassVar[BatchSize] = BatchSize(1000)

    key: str
    updated_at: datetime
    delete_after: datetime
    notice_seconds: float
    reason: str
    size: int = 0

    @classmethod
    def apply(cls, batch: Sequence[CondemnJob], work: Work[Stores]) -> list[Outcome]:
        refused = work.stores.tombstones.condemn([_tombstone(action, work) for action in batch])
        return [
            Outcome("skipped", refused[action.key]) if action.key in refused else Outcome("done")
            for action in batch
        ]

    def holds(self, stores: Stores) -> bool:
        return self.key in stores.tombstones.open_keys(jobs_of(stores.objects.bucket), [self.key])


@dataclass(frozen=True, slots=True, kw_only=True)
class ReapJob:
    """Set a failed job to cleaned_up by compare-and-set, before its first object is deleted."""

    verb: ClassVar[str] = "clean-job"
    touches: ClassVar[Touches] = "job"
    batch_size: ClassVar[BatchSize] = BatchSize(100)

    tombstone: int
    key: str
    updated_at: datetime
    reason: str
    size: int = 0

    @classmethod
    def apply(cls, batch: Sequence[ReapJob], work: Work[Stores]) -> list[Outcome]:
        begun = work.stores.tombstones.begin([action.tombstone for action in batch])
        return [cls._claim(begun.get(action.tombstone), work) for action in batch]

    @staticmethod
    def _claim(tombstone: Tombstone | None, work: Work[Stores]) -> Outcome:
        if tombstone is None:
            return Outcome("skipped", "no longer condemned")
        try:
            if work.stores.tombstones.claim_job(tombstone, work.run_id):
                return Outcome("done")
        except StatementRefused as error:
            work.stores.tombstones.finish([tombstone.id], "kept", str(error))
            return _refused(error, "cleaned_up")
        work.stores.tombstones.finish([tombstone.id], "kept", "the job was retried")
        return Outcome("skipped", "the job was retried")

    def holds(self, stores: Stores) -> bool:
        row = stores.jobs.get([JobId(self.key)]).get(JobId(self.key))
        return row is None or (row.status, row.updated_at) != ("failed", self.updated_at)


def _refused(error: StatementRefused, status: str) -> Outcome:
    why = f"{error}; let the constraints, triggers and rules of the table allow the status {status!r}"
    return Outcome("failed", why, of_row=True)


def _tombstone(action: CondemnJob, work: Work[Stores]) -> Tombstone:
    tombstone = tombstone_of(
        action, work, "job", jobs_of(work.stores.objects.bucket), action.updated_at.isoformat()
    )
    return replace(tombstone, owner=JobId(action.key), owner_updated_at=action.updated_at)
