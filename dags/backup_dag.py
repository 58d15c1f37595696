"""### Daily backup
The database and the bucket's metadata are backed up, **each backup is restored and compared before it
counts**, and what the retention rule lets go is deleted. Clean-up refuses to give up files without a proven
backup younger than 26 hours.

**If it is red:** *backup_...*: nothing was stored that counts; the last line says why. *prove*: the backup
is damaged or differs, and does not count; the one before still does (`storage backup list`).
*cleanup_old_backups*: nothing was deleted unless its *apply* ran. *check_backups*: the sum of it, in words.
Mend the cause, then clear the task. When data is lost: README, *When it has gone wrong*."""

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
