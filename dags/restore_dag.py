"""### Restore the database
Brings a proven backup back. By default into **a new database beside the live one**, which is not touched:
look into it, copy from it. With *the live database* the restored one takes its place by a rename; the old one
is kept for 7 days, and maintenance stays paused until `storage reconcile` was done.

**If it is red:** the live database is wholly the old one or wholly the new one, never half; the last line
says why. *plan*: there is no such backup, or the typed name is wrong. *approve*: rejected. *restore*: clear
it to try again. To go back after a swap: `storage restore --undo --confirm NAME`."""

from airflow.sdk import Param, dag
from storage_airflow.backup import LIVE, NEW, restoring
from storage_airflow.runtime import DEFAULTS


@dag(
    dag_id="restore_database",
    description="Restores a backup of the database, beside the live one or in its place",
    schedule=None,
    tags=["backup", "restore"],
    doc_md=__doc__,
    params={
        "backup": Param("latest", type="string", minLength=1, description="A backup's id, or latest."),
        "into": Param(NEW, type="string", enum=[NEW, LIVE], description="Where to."),
        "confirm": Param(None, type=["null", "string"], description="For the live one: type its name."),
    },
    **DEFAULTS,
)
def restore_database() -> None:
    restoring()


restore_database()
