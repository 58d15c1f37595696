"""This installation's maintenance jobs, by name."""

from __future__ import annotations

from typing import Any

from storage.backup import maintenance as backup
from storage.cleanup import maintenance as cleanup
from storage.cold import maintenance as cold
from storage.core.errors import UnknownJob
from storage.core.ports import EngineStores
from storage.engine.apply import load
from storage.engine.job import MAX_OBJECTS, MaintenanceJob

__all__ = ["JOBS", "MAX_OBJECTS", "get", "of_run"]

#: A job that is found by its name may need any store: it is run with an Installation, which has them all.
_ALL: tuple[MaintenanceJob[Any], ...] = (
    *cleanup.JOBS,
    *backup.JOBS,
    *cold.JOBS,
)
JOBS = {job.name: job for job in _ALL}


def get(name: str) -> MaintenanceJob[Any]:
    """The job of that name. Raises UnknownJob."""
    if name not in JOBS:
        raise UnknownJob(name)
    return JOBS[name]


def of_run(run_id: str, stores: EngineStores) -> MaintenanceJob[Any]:
    """The job whose run it is. Raises NoSuchRun, UnknownJob."""
    return get(load(run_id, stores).job)
