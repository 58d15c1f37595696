"""Backup API for applications: methods and result keys of the pipeline documents, over proven backups."""

from __future__ import annotations

import os
from typing import Any

from storage.backup import manifest as manifests
from storage.backup.connect import open_backup_bucket, open_context, open_stores
from storage.backup.database import backup_database
from storage.backup.maintenance import JOBS
from storage.backup.metadata import backup_minio_metadata
from storage.backup.model import Backup, BackupId
from storage.backup.prove import prove
from storage.backup.restore.database import restore
from storage.core.ports import ObjectStore
from storage.core.settings import Settings
from storage.engine import sweep
from storage.engine.report import result as run_result

MB = 1_000_000
_JOBS = {job.name: job for job in JOBS}


class BackupManager:
    """Backups of the configured installation; each is proven before its method returns.

    The configuration is the environment's, or ``settings``. ``backup_dir`` is accepted because the documents
    have it, and not used: backups are streams into the backup bucket.
    """

    def __init__(self, backup_dir: str = "/data/backups", *, settings: Settings | None = None) -> None:
        self.backup_dir = backup_dir
        self._settings = settings or Settings.from_env(os.environ)

    def backup_database(self) -> dict[str, Any]:
        """Back up and prove the database. Keys ``backup_file size_mb timestamp id state``."""
        with open_context(self._settings) as context:
            return result(prove(context, backup_database(context).id), context.stores.backup_bucket)

    def backup_minio_metadata(self) -> dict[str, Any]:
        """Back up and prove metadata. Keys ``backup_file metadata_files size_mb timestamp id state``."""
        with open_context(self._settings) as context:
            return result(prove(context, backup_minio_metadata(context).id), context.stores.backup_bucket)

    def restore_database(self, backup_file: str) -> dict[str, Any]:
        """Restore into a new database on the live one's server. The live database is not touched.

        ``backup_file`` is that of :meth:`backup_database`'s result, or a backup's id. Keys ``status
        backup_file database``; ``status`` is ``restored`` only once the content was found equal, else an
        error is raised.
        """
        id = BackupId(backup_file.rstrip("/").rsplit("/", 1)[-1])
        made = restore(self._settings, open_backup_bucket(self._settings), id)
        return {"status": "restored", "backup_file": backup_file, "database": made.database}

    def cleanup_old_backups(self, days: int = 30) -> dict[str, Any]:
        """Prune backups by the retention rule: none younger than ``days``, never the last proven ones."""
        with open_stores(self._settings) as stores:
            job = _JOBS["cleanup_old_backups"]
            done = sweep.run(job, stores, stores.clock(), {"days_old": days}, requested_by="BackupManager")
            return run_result(job, done, stores)


def result(backup: Backup, backup_bucket: ObjectStore) -> dict[str, Any]:
    """Return a backup as plain values: the documents' keys, its id and its state."""
    answer: dict[str, Any] = {
        "backup_file": f"{backup.kind}/{backup.id}",
        "size_mb": round(backup.size / MB, 2),
        "timestamp": backup.taken_at.isoformat(),
        "id": backup.id,
        "kind": backup.kind,
        "state": backup.state,
        "items": backup.items,
    }
    if backup.kind == "metadata":
        answer["metadata_files"] = manifests.read(backup.id, backup_bucket)[0].metadata.documents
    return answer
