"""The tasks of a restore: plan, approve, restore."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import get_current_context, task

from storage.core.errors import UsageError
from storage_airflow.approval import ANSWER_WITHIN
from storage_airflow.backup import POOL
from storage_airflow.connections import backup_context, settings
from storage_airflow.runtime import cancellable

NEW, LIVE = "a new database", "the live database"


def restoring() -> None:
    """Define the tasks plan, approve and restore."""

    @task(pool=POOL)
    def plan() -> dict[str, str]:
        return _what_to_restore(get_current_context()["params"])

    @task(pool=POOL, retries=0)  # an operator should inspect a failure before retrying
    def restore(planned: dict[str, str]) -> dict[str, Any]:
        context = get_current_context()
        return _restore(planned["backup"], context["params"], f"{context['dag_run'].run_id} (Airflow)")

    planned = plan()
    approve = ApprovalOperator(
        task_id="approve",
        subject="Restore the database?",
        body="{{ ti.xcom_pull(task_ids='plan')['explained'] }}",
        defaults="Reject",
        fail_on_reject=True,
        response_timeout=ANSWER_WITHIN,
    )
    planned >> approve >> restore(planned)


def _what_to_restore(params: Mapping[str, Any]) -> dict[str, str]:
    """Return the backup's id and the description that the operator is asked to approve. Raises UsageError."""
    from storage import connect
    from storage.backup import manifest as manifests
    from storage.backup.context import as_recorded
    from storage.cli import backup as commands_backup

    chosen = settings()
    with backup_context() as context:
        backup = commands_backup.of_catalogue(context, params["backup"])
        manifest, sha256 = manifests.read(backup.id, context.stores.backup_bucket)
        as_recorded(context, backup.id, sha256)
    live = connect.database_name(chosen)
    if params["into"] == LIVE and params["confirm"] != live:
        raise UsageError(f"To replace the live database, type its name, {live}, into the field confirm.")
    explained = (
        f"**Backup `{backup.id}`, {backup.state}, taken {backup.taken_at:%Y-%m-%d %H:%M:%S} UTC**: "
        f"{len(manifest.database.tables)} tables, {backup.items:,} rows, into {params['into']}"
        f"{f' {live}' if params['into'] == LIVE else ''}. It lacks everything written since."
    )
    return {"backup": backup.id, "explained": explained}


def _restore(backup: str, params: Mapping[str, Any], by: str) -> dict[str, Any]:
    from storage.backup.connect import open_backup_bucket
    from storage.backup.model import BackupId
    from storage.backup.restore import database as restore
    from storage.backup.restore import swap

    id, chosen = BackupId(backup), settings()
    with cancellable(), backup_context() as context:
        if params["into"] == NEW:
            # Only a backup in the catalogue, not one that another client put into the bucket.
            restore.known(context, id)
            made = restore.restore(chosen, open_backup_bucket(chosen), id)
            return {"database": made.database, "rows": made.rows, "seconds": made.seconds}
        done = swap.swap(context, id, typed=params["confirm"], by=by)
        return {"database": done.database, "kept": done.kept}
