"""### Restore the database
Restores a proven backup. By default into **a new database beside the live one**, which is not changed:
inspect it, copy from it. With *the live database*, the restored database replaces it by a rename; the old one
is kept for 7 days, and maintenance stays paused until you finish `storage reconcile`.

**If it is red:** the live database is either entirely the old one or entirely the new one; the log's last
line says why. *plan*: there is no such backup, or the typed name is wrong. *approve*: rejected. *restore*:
clear the task to try again. To roll back after a swap: `storage restore --undo --confirm NAME`."""

from airflow.sdk import Param, dag
from storage_airflow.restore import LIVE, NEW, restoring
from storage_airflow.runtime import DEFAULTS


@dag(
    dag_id="restore_database",
    description="Restore a backup of the database, beside the live one or in its place",
    schedule=None,
    tags=["backup", "restore"],
    doc_md=__doc__,
    params={
        "backup": Param("latest", type="string", minLength=1, description="A backup's id, or latest."),
        "into": Param(NEW, type="string", enum=[NEW, LIVE], description="Target database."),
        "confirm": Param(
            None, type=["null", "string"], description="To replace the live one: type its name."
        ),
    },
    **DEFAULTS,
)
def restore_database() -> None:
    restoring()


restore_database()
