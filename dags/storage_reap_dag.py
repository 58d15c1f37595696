"""
### Reap
Every hour, deletes condemned objects, files and jobs (tombstones) that are due, if they are unchanged and no
longer referenced. A failed job becomes cleaned_up before its first object is deleted; a job that was retried
keeps its files.

**If it is red:** *plan*: a guard refused; the log's last line says why. *apply*: the log names the first
failure; the next run completes the deletions that were begun. *plan* skipped: maintenance is paused.
"""

from airflow.sdk import dag
from storage_airflow.forms import dry_run
from storage_airflow.maintenance import maintain
from storage_airflow.runtime import DEFAULTS, schedule


@dag(
    dag_id="storage_reap",
    description="Delete what was condemned and is due",
    schedule=schedule("STORAGE_REAP_SCHEDULE", "15 * * * *"),
    tags=["storage", "cleanup"],
    doc_md=__doc__,
    params={"dry_run": dry_run()},
    **DEFAULTS,
)
def storage_reap() -> None:
    maintain("reap")


storage_reap()
