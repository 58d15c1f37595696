"""Maintenance jobs of clean-up, one entry each."""

from __future__ import annotations

from datetime import timedelta

from storage.cleanup.failed_jobs import FailedJobs, StuckJobs
from storage.cleanup.reap import Reap
from storage.cleanup.temp import EndedTempFiles, EndedTempObjects, TempFiles, TempObjects
from storage.cleanup.uploads import OrphanUploads, StaleUploads
from storage.core.ports import EngineStores, Stores
from storage.engine import guard
from storage.engine.actions import (
    AbortUpload,
    CondemnFile,
    CondemnJob,
    CondemnObject,
    DeleteObject,
    FailJob,
    ReapFile,
    ReapJob,
    ReapObject,
    RemoveFolder,
)
from storage.engine.guard import UNLIMITED, Limits
from storage.engine.job import MaintenanceJob, days, hours
from storage.engine.plan import Draft

TEMP_LIMITS = Limits(max_fraction=None)  # emptying temp entirely is normal
QUIET = timedelta(minutes=10)  # minimum age of an ended job's temp file or object before deletion
WINDOW = timedelta(days=1)  # the nightly run covers jobs that ended longer ago


def _all_jobs(draft: Draft, stores: EngineStores) -> int:
    return sum(stores.jobs.counts().values())


def _considered(draft: Draft, stores: EngineStores) -> int:
    return draft.considered.count


JOBS: tuple[MaintenanceJob[Stores], ...] = (
    MaintenanceJob(
        name="cleanup_temp_files",
        title="Temp folder: files unchanged for a day, condemned for an hour, then unlinked",
        resource="files",
        policy=lambda hours_old: TempFiles(older_than=timedelta(hours=hours_old)),
        verbs=(CondemnFile, RemoveFolder),
        parameters=(hours(24, 1 / 120, 8760, "Files changed within this many hours are kept."),),
        limits=TEMP_LIMITS,
        checks=(guard.file_clock,),
    ),
    MaintenanceJob(
        name="cleanup_temp_objects",
        title="Objects under temp/ unchanged for a day",
        resource="objects",
        policy=lambda hours_old: TempObjects(older_than=timedelta(hours=hours_old)),
        verbs=(DeleteObject,),
        parameters=(hours(24, 1 / 120, 8760, "Objects written within this many hours are kept."),),
        limits=TEMP_LIMITS,
    ),
    MaintenanceJob(
        name="cleanup_ended_temp_files",
        title="Temp folder: files of jobs that ended within a day",
        resource="files",
        policy=lambda: EndedTempFiles(older_than=QUIET, window=WINDOW),
        verbs=(CondemnFile, RemoveFolder),
        limits=TEMP_LIMITS,
        checks=(guard.file_clock,),
    ),
    MaintenanceJob(
        name="cleanup_ended_temp_objects",
        title="Objects under temp/ of jobs that ended within a day",
        resource="objects",
        policy=lambda: EndedTempObjects(older_than=QUIET, window=WINDOW),
        verbs=(DeleteObject,),
        limits=TEMP_LIMITS,
    ),
    MaintenanceJob(
        name="abort_uploads",
        title="Unfinished multipart uploads, and stale *.partN groups",
        resource="objects",
        policy=lambda hours_old: StaleUploads(older_than=timedelta(hours=hours_old)),
        verbs=(AbortUpload, CondemnObject),
        parameters=(hours(48, 24, 8760, "Uploads begun within this many hours are kept."),),
        limits=Limits(max_fraction=None),  # most open uploads are usually stale
    ),
    MaintenanceJob(
        name="cleanup_orphan_uploads",
        title="Objects under uploads/ whose job does not exist",
        resource="objects",
        policy=lambda days_old: OrphanUploads(older_than=timedelta(days=days_old)),
        verbs=(CondemnObject,),
        parameters=(days(14, "Orphans are deleted this many days after they were written."),),
        counted=("condemn",),
        population=_considered,
        checks=(guard.shrunk, guard.fresh_backup),
    ),
    MaintenanceJob(
        name="cleanup_failed_jobs",
        title="Objects of failed jobs, a week after the failure",
        resource="objects",
        policy=lambda days_old: FailedJobs(older_than=timedelta(days=days_old)),
        verbs=(CondemnJob, CondemnObject),
        parameters=(days(7, "Files are deleted this many days after the failure."),),
        counted=("condemn-job",),
        population=_all_jobs,
        checks=(guard.fresh_backup,),
    ),
    MaintenanceJob(
        name="cleanup_stuck_jobs",
        title="Stuck jobs: jobs without an update are set to failed",
        resource="database",
        policy=lambda hours_old: StuckJobs(older_than=timedelta(hours=hours_old)),
        verbs=(FailJob,),
        parameters=(hours(24, 1, 8760, "Jobs whose row changed within this many hours are kept."),),
        counted=("fail",),
        population=_all_jobs,
        checks=(guard.backlog,),
    ),
    MaintenanceJob(
        name="reap",
        title="Deletes condemned objects and files that are due",
        resource="files",
        policy=Reap,
        verbs=(ReapJob, ReapObject, ReapFile),
        checks=(guard.fresh_backup,),
        limits=UNLIMITED,  # each tombstone passed the guard of the run that wrote it
    ),
)
