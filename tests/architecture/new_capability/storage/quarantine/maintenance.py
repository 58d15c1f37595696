"""Declare the maintenance job of quarantine."""

from __future__ import annotations

from datetime import timedelta

from storage.engine.guard import UNLIMITED
from storage.engine.job import MaintenanceJob, days
from storage.quarantine.actions import NoteObject
from storage.quarantine.policy import QuarantinedObjects
from storage.quarantine.ports import QuarantineStores

JOBS: tuple[MaintenanceJob[QuarantineStores], ...] = (
    MaintenanceJob(
        name="note_quarantined",
        title="Objects that lie in quarantine for long are noted",
        resource="objects",
        policy=lambda days_old: QuarantinedObjects(older_than=timedelta(days=days_old)),
        verbs=(NoteObject,),
        parameters=(days(30, "Objects younger than so many days are not noted."),),
        limits=UNLIMITED,  # a note deletes nothing
    ),
)
