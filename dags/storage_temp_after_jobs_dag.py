"""
### Temp things of jobs that ended
Every ten minutes: what jobs that ended within a day left in the temp folder and under `temp/`, once nobody
has touched it for ten minutes. The nightly clean-up takes what this one misses.

**If it is red:** see *Storage clean-up*; nothing is lost by waiting for the night.
"""

from airflow.sdk import dag
from storage_airflow.forms import dry_run
from storage_airflow.maintenance import maintain
from storage_airflow.runtime import DEFAULTS, schedule


@dag(
    dag_id="storage_temp_after_jobs",
    description="Temp things of jobs that ended",
    schedule=schedule("STORAGE_TEMP_SCHEDULE", "*/10 * * * *"),
    tags=["storage", "cleanup"],
    doc_md=__doc__,
    params={"dry_run": dry_run()},
    **DEFAULTS,
)
def storage_temp_after_jobs() -> None:
    maintain("cleanup_ended_temp_files")
    maintain("cleanup_ended_temp_objects")


storage_temp_after_jobs()
