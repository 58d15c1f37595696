"""
### Probe
Every day, and by hand: finds out what the object store really does (conditional writes, listings, storage
classes, clock) and whether open files in the temp folder can be told. The way to test the connections
`storage_s3` and `storage_db` from here. It writes only below `probe/` in the maintenance bucket, and removes
that.

**If it is red:** the last line says which connection does not work, and why.
"""

from airflow.sdk import dag, task
from storage_airflow.probe import probe
from storage_airflow.runtime import DEFAULTS, schedule


@dag(
    dag_id="storage_probe",
    description="What the object store really does",
    schedule=schedule("STORAGE_PROBE_SCHEDULE", "30 1 * * *"),
    tags=["storage"],
    doc_md=__doc__,
    **DEFAULTS,
)
def storage_probe() -> None:
    task(probe, pool="storage_objects")()


storage_probe()
