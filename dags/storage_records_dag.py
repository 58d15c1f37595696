"""### Records
Every night, removes this platform's own old records: runs with their plans, closed marks, audit entries. What
a run deleted is first written to a deletion log, which `storage deleted KEY` searches.

**If it is red:** *plan*: a guard refused; the log's last line says why. *apply*: the log names the first
failure. Nothing is lost: a record that could not be removed stays, and the next night tries again."""

from airflow.sdk import dag
from storage_airflow.forms import dry_run, number
from storage_airflow.maintenance import maintain
from storage_airflow.runtime import DEFAULTS, schedule


@dag(
    dag_id="storage_records",
    description="Remove this platform's own old records",
    schedule=schedule("STORAGE_RECORDS_SCHEDULE", "30 5 * * *"),
    tags=["storage", "cleanup"],
    doc_md=__doc__,
    params={"dry_run": dry_run(), "max_objects": number("prune_records", "max_objects")},
    **DEFAULTS,
)
def storage_records() -> None:
    maintain("prune_records", max_objects="max_objects")


storage_records()
