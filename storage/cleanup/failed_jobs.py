"""Policies for expired failed jobs and for stuck jobs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice

from storage.core.model import JOB_PREFIXES, Job, ObjectInfo, Prefix, jobs_of
from storage.core.ports import Stores
from storage.engine.actions import Action, CondemnJob, FailJob, Keep
from storage.engine.policy import LOOK_UP, NOTICE, condemn, span

NIGHT = timedelta(days=1)  # time until the next nightly run


@dataclass(frozen=True, slots=True)
class FailedJob:
    """A failed job with its objects, streamed; ``condemned``: it already has an open tombstone."""

    job: Job
    condemned: bool
    objects: Iterable[ObjectInfo]


@dataclass(frozen=True, kw_only=True)
class FailedJobs:
    """Policy that condemns the objects of jobs that failed ``older_than`` ago.

    They are condemned by the last nightly run that leaves a full day's notice, and deleted ``older_than``
    after the failure. A retry before that wins.
    """

    older_than: timedelta

    def select(self, stores: Stores, as_of: datetime) -> Iterator[FailedJob]:
        lead = min(self.older_than, NOTICE + NIGHT)
        stream = stores.jobs.failed_before(as_of - self.older_than + lead)
        while chunk := list(islice(stream, LOOK_UP)):
            condemned = stores.tombstones.open_keys(jobs_of(stores.objects.bucket), [job.id for job in chunk])
            for job in chunk:
                yield FailedJob(job, job.id in condemned, own_objects(job, stores))

    def plan(self, items: Iterable[FailedJob], as_of: datetime) -> Iterator[Action[Stores] | Keep]:
        """Condemn objects before their jobs: when a job is condemned, all its objects are."""
        jobs: list[CondemnJob] = []
        for item in items:
            job = item.job
            if item.condemned:
                yield Keep(job.id, 0, "already condemned")
                continue
            assert job.updated_at, "the store selects by it"
            due = max(job.updated_at + self.older_than, as_of + NOTICE)
            reason = f"job {job.id} failed {span(as_of - job.updated_at)} ago and was not retried"
            notice = NOTICE.total_seconds()
            jobs.append(
                CondemnJob(
                    key=job.id,
                    updated_at=job.updated_at,
                    delete_after=due,
                    notice_seconds=notice,
                    reason=reason,
                )
            )
            for info in item.objects:
                yield condemn(info, due, reason, job.id, job, with_job=True)
            if len(jobs) >= CondemnJob.batch_size.actions:
                yield from jobs
                jobs.clear()
        yield from jobs


def own_objects(job: Job, stores: Stores) -> Iterator[ObjectInfo]:
    """Stream exactly the job's own objects: those in the folders named after it."""
    for prefix in JOB_PREFIXES:
        yield from stores.objects.scan(Prefix(f"{prefix}{job.id}/"))


@dataclass(frozen=True, kw_only=True)
class StuckJobs:
    """Policy that fails jobs which have not ended and whose row is unchanged for ``older_than``."""

    older_than: timedelta

    def select(self, stores: Stores, as_of: datetime) -> Iterator[Job]:
        return stores.jobs.unended_before(as_of - self.older_than)

    def plan(self, items: Iterable[Job], as_of: datetime) -> Iterator[Action[Stores] | Keep]:
        for job in items:
            assert job.updated_at, "the store selects by it"
            yield FailJob(
                key=job.id,
                status=job.status,
                updated_at=job.updated_at,
                reason=f"{job.status} without an update for {span(as_of - job.updated_at)}",
            )
