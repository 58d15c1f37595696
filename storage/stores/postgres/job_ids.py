"""Spellings of a job id: a folder names a job by any text that the type of the id column reads as its value.

A ``uuid`` reads upper case, braces and missing hyphens, a ``bigint`` leading zeros, ``char(n)`` padding,
``citext`` another case. The view's ids are text as the server writes them.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from sqlalchemy import Connection

_UUID = re.compile(r"(?:[0-9a-f]{4}-?){7}[0-9a-f]{4}")
_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:_[0-9]+)*|0x(?:_?[0-9a-f])+|0o(?:_?[0-7])+|0b(?:_?[01])+)")
MOST_DIGITS = 200  # far more than any integer type holds
_BLANKS = " \t\n\v\f\r"
_COLUMN = re.compile(r'\(?(?:(?:\w+|"(?:[^"]|"")+")\.)?(\w+|"(?:[^"]|"")+")\)?(?:::[\w ]+(?:\(\d+\))?)?')
#: The view's output columns as the server prints them, one a line: an expression, AS and the name.
_ID = re.compile(r"^\s*(?:SELECT )?(?P<expression>\S.*?)(?: AS id)?,?$")
_BASE_TYPE = """
WITH RECURSIVE types (oid, base) AS (
    SELECT a.atttypid, a.atttypid
    FROM pg_rewrite AS r
        JOIN pg_depend AS d ON d.objid = r.oid AND d.classid = 'pg_rewrite'::regclass
            AND d.refclassid = 'pg_class'::regclass
        JOIN pg_attribute AS a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
    WHERE r.ev_class = to_regclass('maintenance.jobs') AND a.attname = %(column)s AND d.refobjid <> r.ev_class
    UNION SELECT types.oid, t.typbasetype FROM types JOIN pg_type AS t ON t.oid = types.base
    WHERE t.typtype = 'd'
)
SELECT t.typname FROM types JOIN pg_type AS t ON t.oid = types.base WHERE t.typtype <> 'd' LIMIT 1"""


def uuid_text(text: str) -> str:
    """Return a UUID as the server writes it; any other text unchanged."""
    inner = text[1:-1] if text.startswith("{") and text.endswith("}") else text
    if not _UUID.fullmatch(inner.lower()):
        return text
    digits = inner.lower().replace("-", "")
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def number_text(text: str) -> str:
    """Return a whole number as the server writes it; any other text unchanged."""
    digits = text.strip(_BLANKS).lower()
    if len(digits) > MOST_DIGITS or not _NUMBER.fullmatch(digits):
        return text
    return str(int(digits, 0 if re.match(r"[+-]?0[xob]", digits) else 10))


def unpadded_text(text: str) -> str:
    return text.rstrip(" ")


#: How the server writes a value of a type, for the types that read more than one text as the same value.
WRITTEN: dict[str, Callable[[str], str]] = {
    "uuid": uuid_text,
    "int2": number_text,
    "int4": number_text,
    "int8": number_text,
    "bpchar": unpadded_text,
}


def type_of_ids(session: Connection) -> str:
    """Return the type of the column behind the view's id, domains resolved; "" if it is no plain column."""
    definition = session.exec_driver_sql(
        "SELECT pg_get_viewdef(to_regclass('maintenance.jobs'), true)"
    ).scalar()
    column = id_column(definition or "")
    found = session.exec_driver_sql(_BASE_TYPE, {"column": column}).scalar() if column else None
    return str(found or "")


def id_column(definition: str) -> str:
    """Return the name of the column that the view's definition puts out as id; "" if it is an expression."""
    for line in definition.splitlines():
        expression = _ID.match(line)
        if expression is None:
            continue
        column = _COLUMN.fullmatch(expression["expression"].removeprefix("SELECT "))
        name = column[1].strip('"').replace('""', '"') if column else ""
        if re.search(r" AS id,?$", line) or name == "id" and " AS " not in line:
            return name
    return ""
