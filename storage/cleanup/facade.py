"""Clean-up facade for applications: methods and result keys of the pipeline's documents, on the engine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from storage import connect
from storage.cleanup.maintenance import JOBS
from storage.core.clock import utcnow
from storage.engine import sweep
from storage.engine.report import result

if TYPE_CHECKING:
    from minio import Minio
    from sqlalchemy.orm import Session

_JOBS = {job.name: job for job in JOBS}


class StorageCleanup:
    """Clean-up tasks on the pipeline's own session and client. Each call plans, guards, applies, verifies.

    Raises NotApproved if a limit trips (nothing is done then) and Refused if a guard check fails.
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
        """Condemn temp files unchanged for ``hours_old``; reap unlinks them an hour later.

        Keys ``deleted_folders freed_bytes freed_gb``.
        """
        return self._run("cleanup_temp_files", {"hours_old": hours_old})

    def cleanup_failed_jobs(self, days_old: int = 7) -> dict[str, Any]:
        """Condemn the files of jobs that failed ``days_old`` ago, and reap those whose notice is over.

        Keys ``deleted_jobs`` (now cleaned up) and ``condemned_jobs``.
        """
        condemned = self._run("cleanup_failed_jobs", {"days_old": days_old})
        return condemned | {"deleted_jobs": self._run("reap", {})["deleted_jobs"]}

    def cleanup_incomplete_jobs(self, hours_old: float = 24) -> dict[str, Any]:
        """Set jobs unchanged for ``hours_old`` to failed. Key ``marked_as_failed``."""
        return self._run("cleanup_stuck_jobs", {"hours_old": hours_old})

    def _run(self, job: str, params: Mapping[str, float]) -> dict[str, Any]:
        with connect.of_clients(self.db, self.minio, self._names) as stores:
            task = _JOBS[job]
            run = sweep.run(task, stores, utcnow(), params, requested_by="StorageCleanup")
            return result(task, run, stores)
