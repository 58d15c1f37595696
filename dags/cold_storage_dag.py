"""### Cold storage
Every night after the backup, **compresses** objects of completed jobs that have not been read for long, where
that saves space, then **moves** them to a colder tier by the rules of their class (README, *Cold data*).
Keys never change. A run ends cleanly when its budget of bytes or minutes is spent; the next run continues.

**If it is red:** *plan*: a guard refused; the log's last line says why. *compress_cold_objects*,
*transition_tiers*: the log names the first failure; every object still reads as its original bytes, and
clearing the task resumes it. *follow_up_transitions*: transitions are stuck (`storage tier status`).
*record*: a part ended early, or the verification found a change that is not in effect."""

from airflow.sdk import dag
from storage_airflow.cold import maintain_in_parts
from storage_airflow.forms import choices, dry_run, number
from storage_airflow.runtime import DEFAULTS, schedule


@dag(
    dag_id="cold_storage",
    description="Compress cold objects and move them to colder tiers",
    schedule=schedule("STORAGE_COLD_SCHEDULE", "0 4 * * *"),
    tags=["storage", "cold"],
    doc_md=__doc__,
    params={
        "dry_run": dry_run(),
        "days_old": number("cold_storage", "days_old"),
        "classes": choices("cold_storage", "classes"),
        "budget_gib": number("cold_storage", "budget_gib"),
        "budget_minutes": number("cold_storage", "budget_minutes"),
        "max_objects": number("cold_storage", "max_objects"),
    },
    **DEFAULTS,
)
def cold_storage() -> None:
    names = ("days_old", "classes", "budget_gib", "budget_minutes", "max_objects")
    maintain_in_parts("cold_storage", **{name: name for name in names})


cold_storage()
