"""### Quarantine
Every night: objects that lie under `quarantine/` for long are noted. Nothing is changed or deleted.

**If it is red:** *plan*: a guard refused, its last line says why. *apply*: the log names the first failure;
clearing the task notes the rest."""

from airflow.sdk import dag
from storage_airflow.forms import dry_run, number
from storage_airflow.maintenance import maintain
from storage_airflow.runtime import DEFAULTS, schedule


@dag(
    dag_id="quarantine",
    description="Notes objects that lie in quarantine for long",
    schedule=schedule("STORAGE_QUARANTINE_SCHEDULE", "0 6 * * *"),
    tags=["storage"],
    doc_md=__doc__,
    params={"dry_run": dry_run(), "days_old": number("note_quarantined", "days_old")},
    **DEFAULTS,
)
def quarantine() -> None:
    maintain("note_quarantined", days_old="days_old")


quarantine()
