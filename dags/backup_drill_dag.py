"""### Backup drill
Every week: the newest backup of the database and one older one, chosen by chance, are restored and compared
once more. With *disaster* the whole way is walked: an empty server, the bucket and its keys, nothing else.

**If it is red:** that backup does not count any more; `storage backup list` shows which still do. Find out
who wrote into the backup bucket (versions, access log). *disaster* red: read its last line; what it lacks
today (a server, a key, a program) would be lacking in the real one."""

from airflow.sdk import Param, dag
from storage_airflow.backup import disaster, prove_newest, prove_older
from storage_airflow.runtime import DEFAULTS, schedule


@dag(
    dag_id="backup_drill",
    description="Restores the newest and an older backup, to see that they still can be",
    schedule=schedule("STORAGE_DRILL_SCHEDULE", "0 5 * * 0"),
    tags=["backup"],
    doc_md=__doc__,
    params={
        "disaster": Param(False, type="boolean", description="Walk the whole way, from an empty server.")
    },
    **DEFAULTS,
)
def backup_drill() -> None:
    prove_newest() >> prove_older() >> disaster()


backup_drill()
