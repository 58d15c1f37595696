"""### Storage clean-up
Nightly clean-up of temp data, uploads, failed and stuck jobs. **plan** changes nothing, **approve** asks when
a limit is exceeded, **apply** checks again and acts. A manual run only plans unless *dry_run* is *act*.

**If it is red:** the log's last line names the next step. Before *apply*, nothing was changed."""

from airflow.sdk import dag
from storage_airflow.forms import dry_run, number
from storage_airflow.maintenance import maintain
from storage_airflow.runtime import DEFAULTS, schedule


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
        "temp_hours_old": number("cleanup_temp_files", "hours_old", "Keep younger temp files and objects."),
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
