"""The platform's functions that the upgrade test calls directly, in one file in case they are moved.

All other calls go through the command line, as an operator's would.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

from storage import catalog, connect
from storage.backup.postgres import programs
from storage.cli.parser import main
from storage.cold import tiering
from storage.core.clock import utcnow
from storage.core.settings import Settings
from storage.engine import sweep
from storage.installation import open_installation
from tests.support.runs import apply

AHEAD = timedelta(seconds=50)  # within the allowed clock skew: a file made just now has this age
HALF_A_MINUTE = {"hours_old": 1 / 120}  # the least age that jobs on temp files accept


def temp_files_run(settings: Settings, *, only_plan: bool = False) -> str:
    """Run, or only plan, the job on temp files as if half a minute had passed; return the run's id.

    The age of a file is that of its change time, which no program can set back.
    """
    with open_installation(settings) as stores:
        does = sweep.plan if only_plan else sweep.run
        job = catalog.get("cleanup_temp_files")
        return does(job, stores, utcnow() + AHEAD, HALF_A_MINUTE, requested_by="maintainer").id


def apply_until(settings: Settings, run_id: str, die: Callable[[], object], point: str) -> None:
    """Apply a run and call ``die`` after its first batch, or instead of its first delete."""
    with open_installation(settings) as stores:
        if point == "delete":
            stores.objects.delete = lambda targets: die()  # type: ignore[method-assign,assignment,return-value]
            apply(run_id, stores)
        else:
            apply(run_id, stores, progress=lambda stage, count: die())


def approve(settings: Settings, run_id: str, sha256: str) -> None:
    """Approve a plan without applying it, as the approval task in Airflow does."""
    with open_installation(settings) as stores:
        stores.runs.approve(run_id, sha256, "an operator")


def identity(settings: Settings) -> str:
    """Return the identity that the guard compares: the bucket's marker and the database's identity."""
    with open_installation(settings) as stores:
        return stores.identity()


def control(settings: Settings, name: str, value: str) -> None:
    """Write a control row."""
    with open_installation(settings) as stores:
        stores.control.write(name, value)


def temp_root(settings: Settings) -> str:
    """Return the temp folder's path as tombstones store it."""
    with open_installation(settings) as stores:
        return stores.files.root


def journal_upload(settings: Settings, key: str, upload_id: str) -> None:
    """Record an upload in the journal, as the pipeline reports it."""
    with open_installation(settings) as stores:
        stores.uploads.record(key, upload_id)  # type: ignore[arg-type]


def client(settings: Settings) -> Any:
    """Return a boto3 client for the object store."""
    return connect.endpoint(settings).boto()


def program(name: str, major: int) -> Path:
    """Return one of PostgreSQL's own programs of that version."""
    return programs.client(name, major)


__all__ = ["Settings", "main", "tiering"]
