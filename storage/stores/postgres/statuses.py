"""Check, before a migration, that the pipeline's status column can hold what the platform writes and reads.

Only constraints on the status alone are looked at: of others nothing can be said without a row.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, get_args

from sqlalchemy import Connection

from storage.core.errors import AccessDenied, StatementRefused, StatusRefused
from storage.core.model import JobStatus
from storage.stores.postgres.connection import translated

WRITTEN: tuple[JobStatus, ...] = ("failed", "cleaned_up")
_TABLE = re.compile(r"^FROM (\S+);", re.MULTILINE)
_COLUMN = re.compile(r"^\s+(\w+) AS status,?$", re.MULTILINE)
_FOUND = """
SELECT a.attrelid, a.attnum, quote_ident(a.attname) AS name, format_type(a.atttypid, a.atttypmod) AS type,
    a.attrelid::regclass::text AS "table", 'e' IN (t.typtype, base.typtype) AS is_enum
FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid LEFT JOIN pg_type base ON base.oid = t.typbasetype
WHERE a.attrelid = to_regclass(%(table)s) AND a.attname = %(column)s AND NOT a.attisdropped"""
_CHECKS = """
SELECT quote_ident(conname) AS name, contype AS kind, pg_get_expr(conbin, conrelid) AS expression,
    confrelid::regclass::text AS target,
    (SELECT quote_ident(attname) FROM pg_attribute WHERE attrelid = confrelid AND attnum = confkey[1])
        AS of_target
FROM pg_constraint AS con
WHERE conrelid = %(attrelid)s AND conkey = ARRAY[%(attnum)s::smallint] AND contype IN ('c', 'f')
    AND to_jsonb(con) ->> 'conenforced' IS DISTINCT FROM 'false'"""  # a column of PostgreSQL 18


def check(session: Connection, mapping: str) -> None:
    """Raise StatusRefused if the mapped column would refuse a status. A missing table or column is no fault.

    Only reads: no row is written, no trigger runs. ``mapping`` is the text of ``sql/mapping.sql``.
    """
    table, column = _TABLE.search(mapping), _COLUMN.search(mapping)
    if not table or not column:
        return
    found = session.exec_driver_sql(_FOUND, {"table": table[1], "column": column[1]}).mappings().first()
    if found is None:
        return
    # Comparing with a label that an enum lacks is an error, so there the statuses that are only read count.
    wanted = get_args(JobStatus) if found["is_enum"] else WRITTEN
    refused = [(status, why) for status in wanted if (why := _refusal(session, dict(found), status))]
    if refused:
        raise StatusRefused(
            f"{found['table']}.{found['name']}", ", ".join(status for status, _ in refused), refused[0][1]
        )


def _refusal(session: Connection, column: dict[str, Any], status: str) -> str:
    """Return what would refuse the status; '' if nothing would."""
    value = f"CAST('{status}' AS {column['type']})"
    if not _holds(session, f"SELECT {value}::text = '{status}'"):
        return f"its type {column['type']} does not have it"
    for name, statement in _constraints(session, column, value):
        if not _holds(session, statement):
            return f"the constraint {name} does not allow it"
    return ""


def _constraints(session: Connection, column: dict[str, Any], value: str) -> Iterator[tuple[str, str]]:
    """Yield each constraint's name and a query that tells whether it allows the value."""
    for row in session.exec_driver_sql(_CHECKS, column).mappings().all():
        if row["kind"] == "c":
            sample = f"(SELECT {value} AS {column['name']}) AS sample"
            yield row["name"], f"SELECT ({row['expression']}) IS NOT FALSE FROM {sample}"
        else:
            known = f"{row['target']} AS target WHERE target.{row['of_target']} = {value}"
            yield row["name"], f"SELECT EXISTS (SELECT FROM {known})"


def _holds(session: Connection, statement: str) -> bool:
    """Tell whether the query returns true; a value that the server refuses does not hold.

    What this role may not read, such as the table of a foreign key, counts as true: nothing is known.
    """
    cursor = session.connection.cursor()  # the driver directly, so that '%' in a constraint is literal
    try:
        with translated():
            cursor.execute(statement)
            row = cursor.fetchone()
            return bool(row and row[0])
    except StatementRefused:
        return False
    except AccessDenied:
        return True
    finally:
        cursor.close()
