"""Maintenance job of the records."""

from __future__ import annotations

from storage.engine.guard import Limits
from storage.engine.job import MaintenanceJob
from storage.records.actions import PruneLog, PruneRows, PruneRun
from storage.records.policy import OldRecords
from storage.records.ports import RecordStores

JOBS: tuple[MaintenanceJob[RecordStores], ...] = (
    MaintenanceJob(
        name="prune_records",
        title="Old records of this platform: runs and plans, closed marks, audit, deletion logs",
        resource="database",
        policy=OldRecords,
        verbs=(PruneRows, PruneRun, PruneLog),
        # After a pause of a month there is ten times the usual; the policy bounds each run.
        limits=Limits(max_fraction=None, times_history=float("inf")),
    ),
)
