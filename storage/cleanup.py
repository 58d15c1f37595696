"""The clean-up face applications know: the pipeline documents' methods and result keys, over the engine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from minio import Minio
from sqlalchemy.orm import Session

from storage import catalog, connect
from storage.clock import utcnow
from storage.engine import sweep
from storage.engine.apply import done_by_verb
from storage.model import Run, Totals
from storage.ports import Stores

GIB = 1 << 30


class StorageCleanup:
    """Clean-up tasks on the pipeline's own session and client. Each call plans, guards, applies, verifies.

    Raises NotApproved when a limit trips (nothing is done then) and Refused when the world looks wrong.
    Times are the database's; ``bucket`` and ``temp_dir`` default to the documents' names.
    """

    def __init__(
        self,
        db_session: Session,
        minio_client: Minio,
        *,
        bucket: str = "videos",
        maintenance_bucket: str = "maintenance",
        temp_dir: str = "/data/temp",
    ) -> None:
        self.db, self.minio = db_session, minio_client
        self._names = {"bucket": bucket, "maintenance_bucket": maintenance_bucket, "temp_dir": temp_dir}

    def cleanup_temp_files(self, hours_old: float = 24) -> dict[str, Any]:
        """Set temp files untouched for ``hours_old`` aside, unlinked by reap an hour later.

        Keys ``deleted_folders freed_bytes freed_gb``.
        """
        return self._run("cleanup_temp_files", {"hours_old": hours_old})

    def cleanup_failed_jobs(self, days_old: int = 7) -> dict[str, Any]:
        """Condemn the files of jobs that failed ``days_old`` ago, and delete those whose notice is over.

        Keys ``deleted_jobs`` (now cleaned up) and ``condemned_jobs``.
        """
        condemned = self._run("cleanup_failed_jobs", {"days_old": days_old})
        return condemned | {"deleted_jobs": self._run("reap", {})["deleted_jobs"]}

    def cleanup_incomplete_jobs(self, hours_old: float = 24) -> dict[str, Any]:
        """Jobs that have not moved for ``hours_old`` become failed. Key ``marked_as_failed``."""
        return self._run("cleanup_stuck_jobs", {"hours_old": hours_old})

    def _run(self, job: str, params: Mapping[str, float]) -> dict[str, Any]:
        with connect.of_clients(self.db, self.minio, self._names) as stores:
            run = sweep.run(catalog.get(job), stores, utcnow(), params, requested_by="StorageCleanup")
            return result(run, stores)


def result(run: Run, stores: Stores) -> dict[str, Any]:
    """A run as plain numbers: its own record, and the documents' keys for what it did."""
    done = done_by_verb(run, stores)
    told: dict[str, Any] = {"run": run.id, "job": run.job, "state": run.state, "as_of": run.as_of.isoformat()}
    for name in ("considered", "planned", "done", "skipped", "failed"):
        total: Totals = getattr(run, name)
        told |= {name: total.count, f"{name}_bytes": total.bytes}
    return told | _document_keys(done)


def _document_keys(done: Mapping[str, Totals]) -> dict[str, Any]:
    freed = sum(
        done.get(verb, Totals()).bytes for verb in ("delete", "reap", "condemn-file", "unlink", "abort")
    )
    return {
        "deleted_folders": done.get("remove-folder", Totals()).count,
        "freed_bytes": freed,
        "freed_gb": round(freed / GIB, 2),
        "deleted_jobs": done.get("clean-job", Totals()).count,
        "condemned_jobs": done.get("condemn-job", Totals()).count,
        "marked_as_failed": done.get("fail", Totals()).count,
    }
