"""### Storage clean-up
Every night: temp things, unfinished uploads, failed and stuck jobs. **plan** changes nothing, **approve**
asks when a limit tripped, **apply** looks again and acts. A manual run only plans; `{"dry_run": false}` acts.

**If it is red:** *plan*: a guard refused, its last line says why and what to do. *approve*: rejected, or not
answered within 20 hours. Either way nothing was changed. *apply*: the log names the first failure; what is
done stays done, clearing the task goes on from there. `storage undo RUN` undoes, `storage pause` stops."""

from airflow.sdk import dag
from storage_tasks import DEFAULTS, dry_run, maintain, number, schedule


@dag(
    dag_id="storage_cleanup",
    description="Daily storage cleanup tasks",
    schedule=schedule("STORAGE_CLEANUP_SCHEDULE", "0 2 * * *"),
    tags=["storage", "cleanup"],
    doc_md=__doc__,
    params={
        "dry_run": dry_run(),
        "days_old": number("cleanup_failed_jobs", "days_old"),
        "hours_old": number("cleanup_stuck_jobs", "hours_old"),
        "temp_hours_old": number("cleanup_temp_files", "hours_old", "Temp things younger than this stay."),
        "upload_hours_old": number("abort_uploads", "hours_old"),
        "orphan_days_old": number("cleanup_orphan_uploads", "days_old"),
        "max_objects": number("cleanup_temp_objects", "max_objects"),
    },
    **DEFAULTS,
)
def storage_cleanup() -> None:
    maintain("cleanup_temp_files", hours_old="temp_hours_old", max_objects="max_objects")
    maintain("cleanup_temp_objects", hours_old="temp_hours_old", max_objects="max_objects")
    maintain("abort_uploads", hours_old="upload_hours_old", max_objects="max_objects")
    maintain("cleanup_orphan_uploads", days_old="orphan_days_old", max_objects="max_objects")
    maintain("condemn_unreconciled", max_objects="max_objects")
    maintain("cleanup_failed_jobs", days_old="days_old", max_objects="max_objects")
    maintain("cleanup_stuck_jobs", hours_old="hours_old", max_objects="max_objects")


storage_cleanup()
