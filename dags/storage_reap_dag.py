"""
### Reap
Every hour: deletes what was condemned and is due, if it is unchanged and nobody refers to it any more. A
failed job turns to cleaned_up before its first object goes; a job that was retried keeps its files.

**If it is red:** *plan* red: a guard refused, its last line says why. *apply* red: the log names the first
failure; what was begun is completed by the next run.
"""

from airflow.sdk import dag
from storage_airflow.forms import dry_run
from storage_airflow.maintenance import maintain
from storage_airflow.runtime import DEFAULTS, schedule


@dag(
    dag_id="storage_reap",
    description="Deletes what was condemned and is due",
    schedule=schedule("STORAGE_REAP_SCHEDULE", "15 * * * *"),
    tags=["storage", "cleanup"],
    doc_md=__doc__,
    params={"dry_run": dry_run()},
    **DEFAULTS,
)
def storage_reap() -> None:
    maintain("reap")


storage_reap()
