"""Airflow tasks of backups: take, prove, check, drill, restore."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import Asset, TriggerRule, get_current_context, task, task_group

from storage_airflow.connections import backup_context, opened, settings
from storage_airflow.runtime import cancellable

if TYPE_CHECKING:
    pass

POOL = "storage_backups"
#: Asset event emitted when the nightly backup of the database is proven (restored and found equal).
PROVEN = Asset("proven_backup")
TAKES = {"database": "backup_database", "metadata": "backup_minio_metadata"}


def nightly() -> Any:
    """Define the tasks that take both backups, then prove each; return the group of proofs."""
    taken = {kind: _take(kind) for kind in TAKES}

    @task_group(group_id="prove", tooltip="Verify each backup by restoring and comparing it")
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
        with cancellable(), backup_context() as context:
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
    """Prove a backup and print its certificate; return the part that fits into an XCom."""
    from storage.backup.model import BackupId
    from storage.backup.prove import prove
    from storage.cli import output_backup

    with cancellable(), backup_context() as context:
        certificate = dict(prove(context, BackupId(id)).certificate)
    output_backup.show_certificate(certificate)
    return {name: value for name, value in certificate.items() if not isinstance(value, list)}


def all_done_well() -> Any:
    """Return a task that succeeds only if all before it did: else a run with a failed proof would succeed."""
    return EmptyOperator(task_id="all_done_well")


def check() -> Any:
    """Return the task that checks all backups and fails on any alarm, even after failed upstream tasks."""

    @task(task_id="check_backups", trigger_rule=TriggerRule.ALL_DONE)
    def check_backups() -> None:
        from storage.backup import alarms

        with opened() as stores:
            alarms.check(stores)

    return check_backups()


def prove_newest() -> Any:
    """Return the task that proves the newest backup of the database again."""
    return _prove_chosen("prove_newest", 0)


def prove_older() -> Any:
    """Return the task that proves a random older backup of the database."""
    return _prove_chosen("prove_older", 1)


def _prove_chosen(name: str, skip: int) -> Any:
    @task(task_id=name, pool=POOL)
    def chosen() -> dict[str, Any]:
        import random

        from airflow.sdk.exceptions import AirflowSkipException

        with opened() as stores:
            ids = [b.id for b in stores.catalogue.all("database") if b.state in ("complete", "proven")]
        if not ids[skip:]:
            raise AirflowSkipException("There is no such backup yet.")
        return _proof(ids[0] if not skip else random.choice(ids[skip:]))

    return chosen()


def disaster() -> Any:
    """Return the task that times a recovery on an empty server; skipped unless the form asks for it."""

    @task(task_id="disaster", pool=POOL, trigger_rule=TriggerRule.NONE_FAILED)
    def from_nothing() -> dict[str, Any]:
        from airflow.sdk.exceptions import AirflowSkipException

        from storage.backup.connect import open_backup_bucket
        from storage.backup.drill import drill

        if not get_current_context()["params"]["disaster"]:
            raise AirflowSkipException("Skipped: the form field disaster is off.")
        chosen = settings()
        with cancellable():
            summary = drill(chosen, open_backup_bucket(chosen))
        print("\n".join(f"{name.replace('_', ' ')}: {value}" for name, value in summary.items()))
        return summary

    return from_nothing()
