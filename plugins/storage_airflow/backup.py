"""The tasks of backups: take, prove, check, drill, restore."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import Asset, TriggerRule, get_current_context, task, task_group

from storage.core.errors import UsageError
from storage_airflow.approval import ANSWER_WITHIN
from storage_airflow.connections import opened, settings
from storage_airflow.runtime import cancellable

if TYPE_CHECKING:
    from storage.backup.context import BackupContext

POOL = "storage_backups"
NEW, LIVE = "a new database", "the live database"
#: Produced whenever the database's backup of the night was restored and found equal.
PROVEN = Asset("proven_backup")
TAKES = {"database": "backup_database", "metadata": "backup_minio_metadata"}


@contextmanager
def _context() -> Iterator[BackupContext]:
    """The installation of the connections, as backups see it."""
    from storage.backup.connect import open_context

    with open_context(settings()) as context:
        yield context


def nightly() -> Any:
    """Take both backups, then prove each; the group of proofs."""
    taken = {kind: _take(kind) for kind in TAKES}

    @task_group(group_id="prove", tooltip="Restore what was taken, and compare")
    def proofs() -> None:
        for kind, id in taken.items():
            _prove(kind, id)

    return proofs()


def _take(kind: str) -> Any:
    @task(task_id=TAKES[kind], pool=POOL)
    def take() -> dict[str, Any]:
        from storage.backup.manager import result
        from storage.cli import backup as commands_backup

        accept = get_current_context()["params"].get("accept", False)
        with cancellable(), _context() as context:
            return result(
                commands_backup.take(context, kind, accept=bool(accept)), context.stores.backup_bucket
            )

    return take()


def _prove(kind: str, taken: Any) -> None:
    @task(task_id=kind, pool=POOL, outlets=[PROVEN] if kind == "database" else [])
    def prove_it(taken: dict[str, Any]) -> dict[str, Any]:
        return _proof(taken["id"])

    prove_it(taken)


def _proof(id: str) -> dict[str, Any]:
    """Prove one backup and print its certificate; the part of it that fits an XCom."""
    from storage.backup.model import BackupId
    from storage.backup.prove import prove
    from storage.cli import output_backup

    with cancellable(), _context() as context:
        certificate = dict(prove(context, BackupId(id)).certificate)
    output_backup.show_certificate(certificate)
    return {name: value for name, value in certificate.items() if not isinstance(value, list)}


def all_done_well() -> Any:
    """Green only when every task before was: without it a night whose proof failed would end green."""
    return EmptyOperator(task_id="all_done_well")


def check() -> Any:
    """Red when something is wrong with the backups as a whole, whatever became of the tasks before."""

    @task(task_id="check_backups", trigger_rule=TriggerRule.ALL_DONE)
    def check_backups() -> None:
        from storage.backup import alarms

        with opened() as stores:
            alarms.check(stores)

    return check_backups()


def prove_newest() -> Any:
    """Prove the newest backup of the database again."""
    return _prove_chosen("prove_newest", 0)


def prove_older() -> Any:
    """Prove one older backup of the database, chosen by chance."""
    return _prove_chosen("prove_older", 1)


def _prove_chosen(name: str, skip: int) -> Any:
    @task(task_id=name, pool=POOL)
    def chosen() -> dict[str, Any]:
        import random

        from airflow.sdk.exceptions import AirflowSkipException

        with opened() as stores:
            whole = [b.id for b in stores.catalogue.all("database") if b.state in ("complete", "proven")]
        if not whole[skip:]:
            raise AirflowSkipException("There is no such backup yet.")
        return _proof(whole[0] if not skip else random.choice(whole[skip:]))

    return chosen()


def disaster() -> Any:
    """An empty server and the bucket: how long until the database works. Only when the form asks for it."""

    @task(task_id="disaster", pool=POOL, trigger_rule=TriggerRule.NONE_FAILED)
    def from_nothing() -> dict[str, Any]:
        from airflow.sdk.exceptions import AirflowSkipException

        from storage.backup.connect import open_backup_bucket
        from storage.backup.drill import drill

        if not get_current_context()["params"]["disaster"]:
            raise AirflowSkipException("Not asked for.")
        chosen = settings()
        with cancellable():
            summary = drill(chosen, open_backup_bucket(chosen))
        print("\n".join(f"{name.replace('_', ' ')}: {value}" for name, value in summary.items()))
        return summary

    return from_nothing()


def restoring() -> None:
    """Say what would be restored, ask, restore."""

    @task(pool=POOL)
    def plan() -> dict[str, str]:
        return _what_to_restore(get_current_context()["params"])

    @task(pool=POOL, retries=0)  # a person asked once, and looks before asking again
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
    """The backup's id, and in words what a person is asked to approve. Raises UsageError."""
    from storage import connect
    from storage.backup import manifest as manifests
    from storage.backup.context import as_recorded
    from storage.cli import backup as commands_backup

    chosen = settings()
    with _context() as context:
        backup = commands_backup.of_catalogue(context, params["backup"])
        manifest, sha256 = manifests.read(backup.id, context.stores.backup_bucket)
        as_recorded(context, backup.id, sha256)
    live = connect.database_name(chosen)
    if params["into"] == LIVE and params["confirm"] != live:
        raise UsageError(f"To replace the live database type its name, {live}, into the field confirm.")
    explained = (
        f"**Backup `{backup.id}`, {backup.state}, taken {backup.taken_at:%Y-%m-%d %H:%M:%S} UTC**: "
        f"{len(manifest.database.tables)} tables, {backup.items:,} rows, into {params['into']}"
        f"{f' {live}' if params['into'] == LIVE else ''}. What was written since is not in it."
    )
    return {"backup": backup.id, "explained": explained}


def _restore(backup: str, params: Mapping[str, Any], by: str) -> dict[str, Any]:
    from storage.backup.connect import open_backup_bucket
    from storage.backup.model import BackupId
    from storage.backup.restore import database as restore
    from storage.backup.restore import swap

    id, chosen = BackupId(backup), settings()
    with cancellable(), _context() as context:
        if params["into"] == NEW:
            restore.known(context, id)  # the catalogue's, not what somebody put into the bucket
            made = restore.restore(chosen, open_backup_bucket(chosen), id)
            return {"database": made.database, "rows": made.rows, "seconds": made.seconds}
        done = swap.swap(context, id, typed=params["confirm"], by=by)
        return {"database": done.database, "kept": done.kept}
