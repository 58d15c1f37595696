"""
### Temp files and objects of ended jobs
Every ten minutes, cleans up what jobs that ended within the last day left in the temp folder and under
`temp/`, once it has been unchanged for ten minutes. The nightly clean-up covers what this DAG misses.

**If it is red:** see *Storage clean-up*; waiting for the nightly clean-up does no harm.
"""

from airflow.sdk import dag
from storage_airflow.forms import dry_run
from storage_airflow.maintenance import maintain
from storage_airflow.runtime import DEFAULTS, schedule


@dag(
    dag_id="storage_temp_after_jobs",
    description="Clean up temp files and objects of ended jobs",
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
