"""### Daily backup
Backs up the database and the bucket's metadata, **proves each backup (verifies it by restoring and comparing
it) before it counts**, and deletes the backups past retention. The clean-up jobs refuse to delete files
unless there is a proven backup younger than 26 hours.

**If it is red:** *backup_...*: no usable backup was stored; the log's last line says why. *prove*: the
backup is damaged or differs and does not count; the previous one still does (`storage backup list`).
*cleanup_old_backups*: nothing was deleted unless its *apply* ran. *check_backups*: its error lists every
problem. Fix the cause, then clear the task. After data loss: README, *When it has gone wrong*."""

from airflow.sdk import Param, dag
from storage_airflow.backup import all_done_well, check, nightly
from storage_airflow.forms import dry_run, number
from storage_airflow.maintenance import maintain
from storage_airflow.runtime import DEFAULTS, schedule


@dag(
    dag_id="daily_backup",
    description="Daily backup of database and metadata",
    schedule=schedule("STORAGE_BACKUP_SCHEDULE", "0 3 * * *"),
    tags=["backup"],
    doc_md=__doc__,
    params={
        "dry_run": dry_run(),
        "days_old": number("cleanup_old_backups", "days_old"),
        "accept": Param(False, type="boolean", description="Accept a listing far off the last one."),
    },
    **DEFAULTS,
)
def daily_backup() -> None:
    pruned = maintain("cleanup_old_backups", days_old="days_old")
    nightly() >> pruned >> [all_done_well(), check()]


daily_backup()
