"""The tasks of a restore: plan, approve, restore."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow.sdk import get_current_context, task

from storage.core.errors import Refused, UsageError
from storage.engine.approvals import approved
from storage_airflow.approval import STRICT, ApproveRequest, request_of
from storage_airflow.backup import POOL
from storage_airflow.connections import backup_context
from storage_airflow.runtime import cancellable

if TYPE_CHECKING:
    from storage.backup.context import BackupContext
    from storage.backup.model import BackupId

NEW, LIVE = "a new database", "the live database"


def restoring() -> None:
    """Define the tasks plan, approve and restore."""

    @task(pool=POOL)
    def plan() -> str:
        with cancellable():
            return _question(get_current_context())[1]

    @task(pool=POOL, retries=0)  # an operator should inspect a failure before retrying
    def restore() -> dict[str, Any]:
        return _restore(get_current_context())

    approve = ApproveRequest(task_id="approve", subject="Restore the database?", question=_question, **STRICT)
    plan() >> approve >> restore()


def _question(context: Any) -> tuple[str, str]:
    with backup_context() as stores:
        return _what_to_restore(stores, context["params"], context["params"]["backup"])


def _what_to_restore(context: BackupContext, params: Mapping[str, Any], word: str) -> tuple[str, str]:
    """Return what is to be restored and where, as text and for the operator. Raises UsageError.

    ``word`` is a backup's id or ``latest``; the text names one backup and the SHA-256 of its manifest.
    """
    from storage import connect
    from storage.backup import manifest as manifests
    from storage.backup.context import as_recorded
    from storage.cli import backup as commands_backup

    backup = commands_backup.of_catalogue(context, word)
    manifest, sha256 = manifests.read(backup.id, context.stores.backup_bucket)
    as_recorded(context, backup.id, sha256)
    live = connect.database_name(context.settings)
    if params["into"] == LIVE and params["confirm"] != live:
        raise UsageError(f"To replace the live database, type its name, {live}, into the field confirm.")
    explained = (
        f"**Backup `{backup.id}`, {backup.state}, taken {backup.taken_at:%Y-%m-%d %H:%M:%S} UTC**: "
        f"{len(manifest.database.tables)} tables, {backup.items:,} rows, into {params['into']}"
        f"{f' {live}' if params['into'] == LIVE else ''}. It lacks everything written since."
    )
    what = {"backup": backup.id, "manifest": sha256, "into": params["into"], "live": live}
    return json.dumps(what, sort_keys=True), explained


def _approved(context: BackupContext, airflow: Any) -> tuple[BackupId, str, str]:
    """Return the approved backup, its manifest's SHA-256 and the approver.

    Raises Refused if form or catalogue say otherwise now.
    """
    from storage.backup.model import BackupId

    answer, params = approved(request_of(airflow), context.stores), airflow["params"]
    what = json.loads(answer.what)
    id = BackupId(what["backup"])
    if params["backup"] not in ("latest", id) or _what_to_restore(context, params, id)[0] != answer.what:
        raise Refused(
            "approval",
            f"{answer.what} was approved, and would no longer be done: the form or the catalogue changed. "
            "Trigger the DAG again.",
        )
    return id, what["manifest"], answer.by


def _restore(airflow: Any) -> dict[str, Any]:
    from storage.backup.connect import open_backup_bucket
    from storage.backup.restore import database as restore
    from storage.backup.restore import swap

    params = airflow["params"]
    with cancellable(), backup_context() as context:
        id, sha256, by = _approved(context, airflow)
        if params["into"] == NEW:
            # Only a backup in the catalogue, not one that another client put into the bucket.
            restore.known(context, id)
            made = restore.restore(context.settings, open_backup_bucket(context.settings), id, sha256=sha256)
            return {"database": made.database, "rows": made.rows, "seconds": made.seconds}
        done = swap.swap(context, id, typed=params["confirm"], by=by)
        return {"database": done.database, "kept": done.kept}
