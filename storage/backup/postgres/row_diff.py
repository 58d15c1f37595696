"""Comparison of one owner's rows in the live and a restored database, and insertion of missing rows."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter

from psycopg2 import sql
from sqlalchemy import Connection

from storage.backup.postgres.copy_rows import common, copy_via_tempfile, listed, run, statements
from storage.core.errors import PipelineTableWrong
from storage.stores.postgres.sqlfiles import folder

OF_KEY, OF_JOB = "api_key", "job_id"  # columns that name the owner of a row
KEYS, KEY = "public.api_keys", "key_hash"  # the table of the API keys themselves


@dataclass(frozen=True, kw_only=True)
class Compared:
    """The backup's rows of a table compared with the live ones, by primary key as text.

    ``missing``: the live table lacks these; ``changed``: it has other values, and keeps them; ``inserted``:
    how many of the missing rows were inserted. In a table without a primary key the whole row is the key, and
    a row that the backup holds three times is wanted three times.
    """

    table: str
    missing: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    same: int = 0
    inserted: int = 0


def of_owner(live: Connection, api_key: str, job: str) -> dict[str, sql.Composable]:
    """Return the live tables that hold rows of the key or the job, parents first, with their conditions."""
    jobs, id = _jobs(live)
    chosen = {}
    for row in statements(live).rows_in(live, "tables_with", columns=[OF_KEY, OF_JOB, id, KEY]):
        if where := _condition(row["name"], set(row["columns"]), (jobs, id), api_key, job):
            chosen[row["name"]] = where
    return _parents_first(live, chosen)


def _jobs(live: Connection) -> tuple[str, str]:
    """Return the pipeline's table of jobs and the column of their ids, as sql/mapping.sql names them."""
    mapping = (folder() / "mapping.sql").read_text()
    table = re.search(r"^FROM (\S+);", mapping, re.MULTILINE)
    id = re.search(r"^\s+\"?(\w+)\"?(?:::text)? AS id,?$", mapping, re.MULTILINE)
    found = table and statements(live).rows_in(live, "named", name=table[1])
    if not found or not id:
        raise PipelineTableWrong("sql/mapping.sql does not select `COLUMN AS id` from one existing table")
    return found[0]["name"], id[1]


def _condition(
    table: str, columns: set[str], jobs: tuple[str, str], api_key: str, job: str
) -> sql.Composable | None:
    """Return the condition for a table's rows of the key or the job; None if it can have none."""
    if job:
        column = jobs[1] if table == jobs[0] else OF_JOB
        return _equals(column, job) if column in columns else None
    if OF_KEY in columns:
        return _equals(OF_KEY, api_key)
    if table == KEYS and KEY in columns:
        return _equals(KEY, api_key)
    if OF_JOB in columns:
        return sql.SQL("{}::text IN (SELECT {}::text FROM {} WHERE {})").format(
            sql.Identifier(OF_JOB), sql.Identifier(jobs[1]), sql.SQL(jobs[0]), _equals(OF_KEY, api_key)
        )
    return None


def _equals(column: str, value: str) -> sql.Composable:
    return sql.SQL("{}::text = {}").format(sql.Identifier(column), sql.Literal(value))


def _parents_first(live: Connection, chosen: dict[str, sql.Composable]) -> dict[str, sql.Composable]:
    """Sort the tables as the foreign keys require; return them unsorted if these form a cycle."""
    order: TopologicalSorter[str] = TopologicalSorter(dict.fromkeys(chosen, ()))
    for row in statements(live).rows_in(live, "parents"):
        if {row["child"], row["parent"]} <= chosen.keys():
            order.add(row["child"], row["parent"])
    try:
        return {name: chosen[name] for name in order.static_order()}
    except CycleError:
        return chosen


def compare(
    restored: Connection, live: Connection, tables: Mapping[str, sql.Composable], *, apply: bool
) -> list[Compared]:
    """Compare table by table; with ``apply`` insert missing rows, all in the live database's transaction."""
    return [_compared(restored, live, table, where, apply) for table, where in tables.items()]


def _compared(
    restored: Connection, live: Connection, table: str, where: sql.Composable, apply: bool
) -> Compared:
    names = common(restored, live, table)
    key = [row["name"] for row in statements(live).rows_in(live, "primary_key", name=table)]
    words: dict[str, sql.Composable] = {
        "table": sql.SQL(table),
        "temp": copy_via_tempfile(restored, live, table, names, where),
        "where": where,
        "names": listed(names),
        "key": listed(key or names, "one"),
        "their_key": listed(key or names, "other"),
        "theirs": listed(names, "other"),
        "ours": listed(names, "one"),
        "copy": sql.Identifier(_unused("copy", names)),
    }
    form = _BY_KEY if key else _BY_ROW
    words |= {name: sql.SQL(text).format(**words) for name, text in form.items()}
    answer = run(live, _COMPARE, **words)
    inserted = run(live, _INSERT, **words) if apply else []
    return Compared(
        table=table,
        missing=tuple(row[0] for row in answer if row[1] == "missing"),
        changed=tuple(row[0] for row in answer if row[1] == "changed"),
        same=sum(row[1] == "same" for row in answer),
        inserted=len(inserted),
    )


def _unused(word: str, names: Collection[str]) -> str:
    """Return the word, with underscores appended until it is none of the names."""
    return word if word not in names else _unused(f"{word}_", names)


#: The rows of the backup ("restored") and the live ones ("live"). Without a primary key the whole row is the
#: key, and identical rows are numbered: three in the backup need three live ones.
_NUMBERED = "(SELECT ctid, {names}, row_number() OVER (PARTITION BY ROW ({names})::text) AS {copy} FROM "
_BY_KEY = {"restored": "{temp}", "live": "{table}", "joined": "({their_key}) = ({key})"}
_BY_ROW = {
    "restored": _NUMBERED + "{temp})",
    "live": _NUMBERED + "{table} WHERE {where})",
    "joined": "ROW ({theirs})::text = ROW ({ours})::text AND other.{copy} = one.{copy}",
}
_COMPARE = """
SELECT concat_ws(', ', {key}), CASE WHEN other.ctid IS NULL THEN 'missing'
    WHEN ROW ({theirs})::text = ROW ({ours})::text THEN 'same' ELSE 'changed' END
FROM {restored} AS one LEFT JOIN {live} AS other ON {joined} ORDER BY 1"""
_INSERT = """
INSERT INTO {table} ({names}) OVERRIDING SYSTEM VALUE SELECT {names} FROM {restored} AS one
WHERE NOT EXISTS (SELECT FROM {live} AS other WHERE {joined}) ON CONFLICT DO NOTHING RETURNING 1"""
