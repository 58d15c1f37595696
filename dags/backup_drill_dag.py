"""### Backup drill
Every week, restores and compares again the newest backup of the database and a random older one. With
*disaster*, rehearses the full recovery from only an empty server, the backup bucket and its keys.

**If it is red:** the backup that failed no longer counts; `storage backup list` shows the proven ones. Find
out who wrote to the backup bucket (object versions, access log). *disaster* red: the log's last line names
what is missing (a server, a key, a program); provide it, or a real recovery would fail the same way."""

from airflow.sdk import Param, dag
from storage_airflow.backup import disaster, prove_newest, prove_older
from storage_airflow.runtime import DEFAULTS, schedule


@dag(
    dag_id="backup_drill",
    description="Restore the newest and an older backup to verify that they are still restorable",
    schedule=schedule("STORAGE_DRILL_SCHEDULE", "0 5 * * 0"),
    tags=["backup"],
    doc_md=__doc__,
    params={"disaster": Param(False, type="boolean", description="Also rehearse a full disaster recovery.")},
    **DEFAULTS,
)
def backup_drill() -> None:
    prove_newest() >> prove_older() >> disaster()


backup_drill()
