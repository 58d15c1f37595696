"""
### Probe
Every day, and by hand, detects what the object store really supports (conditional writes, listings, storage
classes, clock) and whether open files in the temp folder can be detected. Run it to test the connections
`storage_s3` and `storage_db` from Airflow. It writes only below `probe/` in the maintenance bucket, and
deletes what it wrote.

**If it is red:** the log's last line says which connection does not work, and why.
"""

from airflow.sdk import dag, task
from storage_airflow.probe import probe
from storage_airflow.runtime import DEFAULTS, schedule


@dag(
    dag_id="storage_probe",
    description="Detect the capabilities of the object store",
    schedule=schedule("STORAGE_PROBE_SCHEDULE", "30 1 * * *"),
    tags=["storage"],
    doc_md=__doc__,
    **DEFAULTS,
)
def storage_probe() -> None:
    task(probe, pool="storage_objects")()


storage_probe()
