"""Maintenance jobs of backups, one entry each."""

from __future__ import annotations

from storage.backup.actions import PruneBackup
from storage.backup.policy import OldBackups, Rule
from storage.backup.ports import BackupStores
from storage.backup.restore.unreconciled import CondemnUnreconciled
from storage.engine import guard
from storage.engine.actions import CondemnObject
from storage.engine.guard import Limits
from storage.engine.job import MaintenanceJob, days

JOBS: tuple[MaintenanceJob[BackupStores], ...] = (
    MaintenanceJob(
        name="condemn_unreconciled",
        title="Objects of jobs condemned after a restore that have no row, with two weeks' notice",
        resource="objects",
        policy=CondemnUnreconciled,
        verbs=(CondemnObject,),
        limits=Limits(max_fraction=None),  # an operator judged each of these jobs
        checks=(guard.fresh_backup,),
    ),
    MaintenanceJob(
        name="cleanup_old_backups",
        title="Backups that the retention rule no longer keeps, once there is a fresh proven one",
        resource="objects",
        policy=lambda days_old: OldBackups(rule=Rule(daily_days=days_old)),
        verbs=(PruneBackup,),
        parameters=(days(30, "Backups younger than this many days stay.", floor=7),),
        limits=Limits(max_fraction=None),  # the rule itself prunes at most half of a kind at once
    ),
)
