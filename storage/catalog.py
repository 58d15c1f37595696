"""Catalog of this installation's maintenance jobs by name."""

from __future__ import annotations

from typing import Any

from storage.backup import maintenance as backup
from storage.cleanup import maintenance as cleanup
from storage.cold import maintenance as cold
from storage.core.errors import UnknownJob
from storage.core.ports import EngineStores
from storage.engine.apply import load
from storage.engine.job import MAX_OBJECTS, MaintenanceJob
from storage.records import maintenance as records

__all__ = ["JOBS", "MAX_OBJECTS", "get", "of_run"]

#: A job looked up by name may need any store, so it runs with an Installation, which has all stores.
_ALL: tuple[MaintenanceJob[Any], ...] = (
    *cleanup.JOBS,
    *backup.JOBS,
    *cold.JOBS,
    *records.JOBS,
)
JOBS = {job.name: job for job in _ALL}


def get(name: str) -> MaintenanceJob[Any]:
    """Return the job with this name. Raises UnknownJob."""
    if name not in JOBS:
        raise UnknownJob(name)
    return JOBS[name]


def of_run(run_id: str, stores: EngineStores) -> MaintenanceJob[Any]:
    """Return the job that the run belongs to. Raises NoSuchRun, UnknownJob."""
    return get(load(run_id, stores).job)
