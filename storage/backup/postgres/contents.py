"""Contents of a database beyond those of every new one: whatever was made in it."""

from __future__ import annotations

from dataclasses import dataclass

from psycopg2 import sql

from storage.backup.postgres.copy_rows import opened, run
from storage.stores.postgres.connection import Statements

#: Described are the first five entries; those that come with another one (a table's row type) last. A large
#: object counts whatever its oid is, as it may be chosen; an empty schema that a session's temporary tables
#: have left behind does not.
_MADE = """
WITH made AS (
    SELECT * FROM ({entries}) AS entries WHERE classid <> 'pg_largeobject_metadata'::regclass
    UNION SELECT 'pg_largeobject'::regclass, oid FROM pg_largeobject_metadata
), described AS (
    SELECT CASE classid WHEN 'pg_enum'::regclass THEN 'enum value ' || objid
        ELSE pg_describe_object(classid, objid, 0) END AS name,
        classid = 'pg_enum'::regclass OR EXISTS (SELECT FROM pg_depend AS d
            WHERE d.classid = made.classid AND d.objid = made.objid AND d.deptype IN ('i', 'a')) AS minor
    FROM made LEFT JOIN pg_namespace AS n ON made.classid = 'pg_namespace'::regclass AND n.oid = objid
    WHERE n.nspname IS NULL OR n.nspname !~ '^pg_(toast_)?temp_'
    UNION ALL SELECT format('subscription %I', subname), false
    FROM pg_subscription JOIN pg_database AS d ON d.oid = subdbid WHERE datname = current_database()
    UNION ALL SELECT format('replication slot %I', slot_name), false
    FROM pg_replication_slots WHERE database = current_database()
)
SELECT count(*) OVER (), name FROM described ORDER BY minor, name LIMIT 5"""


@dataclass(frozen=True)
class Contents:
    """Number of entries in the catalogues, and descriptions of the first of them, such as ``table jobs``."""

    count: int = 0
    shown: tuple[str, ...] = ()

    def __str__(self) -> str:
        more = self.count - len(self.shown)
        return ", ".join(self.shown) + (f" and {more:,} more" if more else "")


def contents(url: str) -> Contents:
    """Return what was made in the database of ``url``. No list of kinds: every catalogue it has is asked."""
    with opened(url) as session:
        entries = Statements(session.engine, "contents").rows_in(session, "catalogues")[0]["statement"]
        found = run(session, _MADE, entries=sql.SQL(entries))
    return Contents(found[0][0], tuple(name for _, name in found)) if found else Contents()
