"""This installation's maintenance jobs, one entry each."""

from __future__ import annotations

from datetime import timedelta

from storage.cold_model import CLASSES
from storage.engine import guard
from storage.engine.apply import MINUTES
from storage.engine.guard import UNLIMITED, Limits
from storage.engine.job import MAX_OBJECTS, Choices, MaintenanceJob, Parameter
from storage.engine.plan import Draft
from storage.errors import UnknownJob
from storage.policies.cold import ColdObjects
from storage.policies.jobs import FailedJobs, StuckJobs
from storage.policies.reap import Reap
from storage.policies.retention import OldBackups, Rule
from storage.policies.temp import EndedTempFiles, EndedTempObjects, TempFiles, TempObjects
from storage.policies.unreconciled import CondemnUnreconciled
from storage.policies.uploads import OrphanUploads, StaleUploads
from storage.ports import Stores

__all__ = ["JOBS", "MAX_OBJECTS", "get"]
TEMP_LIMITS = Limits(max_fraction=None)  # temp is there to be emptied
QUIET = timedelta(minutes=10)  # a temp thing of an ended job goes once untouched for this long
WINDOW = timedelta(days=1)  # jobs ended longer ago than this are the nightly run's


def _all_jobs(draft: Draft, stores: Stores) -> int:
    return sum(stores.jobs.counts().values())


def _considered(draft: Draft, stores: Stores) -> int:
    return draft.considered.count


def _hours(default: float, floor: float, ceiling: float, help: str) -> Parameter:
    return Parameter(name="hours_old", default=default, floor=floor, ceiling=ceiling, help=help)


def _days(default: float, help: str, floor: float = 1) -> Parameter:
    return Parameter(name="days_old", default=default, floor=floor, ceiling=3650, help=help)


def _night(name: str, default: float, ceiling: float, help: str) -> Parameter:
    return Parameter(name=name, default=default, floor=0.001, ceiling=ceiling, help=help)


_ALL = (
    MaintenanceJob(
        name="cleanup_temp_files",
        title="Temp folder: files untouched for a day, set aside for an hour, then unlinked",
        resource="files",
        policy=lambda hours_old: TempFiles(older_than=timedelta(hours=hours_old)),
        parameters=(_hours(24, 1 / 120, 8760, "Files touched within so many hours stay."),),
        limits=TEMP_LIMITS,
        checks=(guard.file_clock,),
    ),
    MaintenanceJob(
        name="cleanup_temp_objects",
        title="Objects under temp/ untouched for a day",
        resource="objects",
        policy=lambda hours_old: TempObjects(older_than=timedelta(hours=hours_old)),
        parameters=(_hours(24, 1 / 120, 8760, "Objects written within so many hours stay."),),
        limits=TEMP_LIMITS,
    ),
    MaintenanceJob(
        name="cleanup_ended_temp_files",
        title="Temp folder: what jobs that ended within a day left behind",
        resource="files",
        policy=lambda: EndedTempFiles(older_than=QUIET, window=WINDOW),
        limits=TEMP_LIMITS,
        checks=(guard.file_clock,),
    ),
    MaintenanceJob(
        name="cleanup_ended_temp_objects",
        title="Objects under temp/ of jobs that ended within a day",
        resource="objects",
        policy=lambda: EndedTempObjects(older_than=QUIET, window=WINDOW),
        limits=TEMP_LIMITS,
    ),
    MaintenanceJob(
        name="abort_uploads",
        title="Multipart uploads nobody finished, and stale *.partN groups",
        resource="objects",
        policy=lambda hours_old: StaleUploads(older_than=timedelta(hours=hours_old)),
        parameters=(_hours(48, 24, 8760, "Uploads begun within so many hours stay."),),
        limits=Limits(max_fraction=None),  # most of what is open is usually stale
    ),
    MaintenanceJob(
        name="cleanup_orphan_uploads",
        title="Objects under uploads/ whose job does not exist",
        resource="objects",
        policy=lambda days_old: OrphanUploads(older_than=timedelta(days=days_old)),
        parameters=(_days(14, "Orphans go so many days after they came."),),
        counted=("condemn",),
        population=_considered,
        checks=(guard.shrunk, guard.fresh_backup),
    ),
    MaintenanceJob(
        name="condemn_unreconciled",
        title="Objects of jobs that were condemned after a restore and have no row, two weeks ahead",
        resource="objects",
        policy=CondemnUnreconciled,
        limits=Limits(max_fraction=None),  # a person judged each of these jobs
        checks=(guard.fresh_backup,),
    ),
    MaintenanceJob(
        name="cleanup_failed_jobs",
        title="Objects of failed jobs, a week after the failure",
        resource="objects",
        policy=lambda days_old: FailedJobs(older_than=timedelta(days=days_old)),
        parameters=(_days(7, "Files go so many days after the failure."),),
        counted=("condemn-job",),
        population=_all_jobs,
        checks=(guard.fresh_backup,),
    ),
    MaintenanceJob(
        name="cleanup_stuck_jobs",
        title="Jobs without a sign of life become failed",
        resource="database",
        policy=lambda hours_old: StuckJobs(older_than=timedelta(hours=hours_old)),
        parameters=(_hours(24, 1, 8760, "Jobs whose row moved within so many hours stay."),),
        counted=("fail",),
        population=_all_jobs,
        checks=(guard.backlog,),
    ),
    MaintenanceJob(
        name="cleanup_old_backups",
        title="Backups that the retention rule no longer keeps, once there is a fresh proven one",
        resource="objects",
        policy=lambda days_old: OldBackups(rule=Rule(daily_days=days_old)),
        parameters=(_days(30, "Backups younger than so many days stay.", floor=7),),
        limits=Limits(max_fraction=None),  # the rule itself gives up at most half of a kind at once
    ),
    MaintenanceJob(
        name="cold_storage",
        title="Objects nobody used for long: compressed, then moved to a colder tier",
        resource="objects",
        policy=lambda days_old, classes, budget_gib, budget_minutes: ColdObjects(
            older_than=timedelta(days=days_old), classes=tuple(classes), budget=int(budget_gib * guard.GIB)
        ),
        parameters=(
            _days(0, "Younger objects stay as they are; 0: as the rule of each class says.", floor=0),
            Choices(name="classes", among=CLASSES, help="Classes of objects that are looked at."),
            _night("budget_gib", 500, 100_000, "Bytes (GiB) compressed or moved in one night."),
            _night(MINUTES, 240, 1_320, "Minutes after which a night begins nothing more."),
        ),
        limits=UNLIMITED,  # nothing is lost by it, and the budgets bound a night
        checks=(guard.replaces,),
        steps=(
            ("follow", "follow_up_transitions"),
            ("compress", "compress_cold_objects"),
            ("transition", "transition_tiers"),
        ),
    ),
    MaintenanceJob(
        name="reap",
        title="Deletes what was condemned and is due",
        resource="files",
        policy=Reap,
        checks=(guard.fresh_backup,),
        limits=UNLIMITED,  # each tombstone passed the guard of the run that wrote it
    ),
)
JOBS = {job.name: job for job in _ALL}


def get(name: str) -> MaintenanceJob:
    if name not in JOBS:
        raise UnknownJob(name)
    return JOBS[name]
