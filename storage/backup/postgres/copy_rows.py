"""Copying of rows between databases, and preparing a restored database to replace the live one."""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from psycopg2 import sql
from sqlalchemy import Connection

from storage.stores.postgres.connection import Statements, as_json, connect, translated

#: The platform's own tables whose newer rows survive a restore, and their keys. Runs before batches.
CARRIED = {
    "runs": "id",
    "batches": "run_id, plan_sha256, number",
    "backups": "id",
    "uploads": "upload_id",
    "cold_objects": "bucket, key",
    "accesses": "bucket, key",
    "cold_pins": "owner",
}
APPENDED = ("audit", "savings")  # rows get new ids: rows equal in all else are the same
PAUSING = "a restored database takes the live one's place"  # how the pause by a swap begins


@contextmanager
def opened(url: str, *, snapshot: bool = False) -> Iterator[Connection]:
    """Open a transaction of any length, optionally on one snapshot; commit it when the block ends."""
    engine = connect(url)
    try:
        with translated(), engine.begin() as session:
            if snapshot:
                session.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            session.exec_driver_sql("SET LOCAL statement_timeout = 0")
            yield session
    finally:
        engine.dispose()


def statements(session: Connection) -> Statements:
    return Statements(session.engine, "swap")


def server_now(session: Connection) -> datetime:
    found: datetime = statements(session).rows_in(session, "now")[0]["now"]
    return found


def void(session: Connection) -> None:
    """Void tombstones and claims of a restored database: they are outdated, so it condemns nothing."""
    named = statements(session)
    named.rows_in(session, "void_tombstones")
    named.rows_in(session, "void_claims")


def control(session: Connection, values: Mapping[str, str | None]) -> None:
    """Write switches; None erases a switch."""
    named = Statements(session.engine, "runs")
    for name, value in values.items():
        if value is None:
            named.rows_in(session, "erase", name=name)
        else:
            named.rows_in(session, "write", name=name, value=value)


def read_control(session: Connection, name: str) -> str | None:
    """Return the value of a switch; None also if there is no table of switches."""
    if not columns(session, "maintenance.control"):
        return None
    rows = Statements(session.engine, "runs").rows_in(session, "read", name=name)
    return rows[0]["value"] if rows else None


def audit(session: Connection, event: str, detail: Mapping[str, Any]) -> None:
    named = Statements(session.engine, "runs")
    named.rows_in(session, "audit", event=event, run_id="", detail=as_json(dict(detail)))


def pause(session: Connection, why: str) -> None:
    """Pause maintenance, unless it is paused or not installed."""
    if columns(session, "maintenance.control"):
        statements(session).rows_in(session, "pause", reason=f"{PAUSING}: {why}")


def unpause(session: Connection) -> None:
    """Lift the pause set by :func:`pause`; any other pause stays."""
    if (read_control(session, "paused") or "").startswith(PAUSING):
        control(session, {"paused": None})


def written_since(session: Connection, instant: datetime) -> bool:
    """Return True if a row of the pipeline's jobs changed after ``instant``."""
    return bool(statements(session).rows_in(session, "written_since", instant=instant)[0]["written"])


def copy_newer(source: Connection, target: Connection, *, over: bool) -> None:
    """Copy the platform's own rows that the target lacks; with ``over`` also overwrite the target's.

    Tables and columns that the source does not have stay unchanged.
    """
    for table, key in CARRIED.items():
        _copy_table(source, target, f"maintenance.{table}", key, over)
    for table in APPENDED:
        _append(source, target, f"maintenance.{table}")


def _append(source: Connection, target: Connection, table: str) -> None:
    names = [name for name in common(source, target, table) if name != "id"]
    if names:
        temp = copy_via_tempfile(source, target, table, names)
        run(
            target,
            "INSERT INTO {table} ({names}) SELECT {names} FROM {temp} AS one WHERE NOT EXISTS ("
            "SELECT FROM {table} AS other WHERE ({theirs}) IS NOT DISTINCT FROM ({ours})) ORDER BY at",
            table=sql.SQL(table),
            names=listed(names),
            temp=temp,
            theirs=listed(names, "other"),
            ours=listed(names, "one"),
        )


def _copy_table(source: Connection, target: Connection, table: str, key: str, over: bool) -> None:
    names = common(source, target, table)
    if names:
        temp = copy_via_tempfile(source, target, table, names)
        run(
            target,
            "INSERT INTO {table} ({names}) SELECT {names} FROM {temp} ON CONFLICT ({key}) DO "
            + ("UPDATE SET ({names}) = ROW ({theirs})" if over else "NOTHING"),
            table=sql.SQL(table),
            names=listed(names),
            temp=temp,
            key=sql.SQL(key),
            theirs=listed(names, "excluded"),
        )


def advance(source: Connection, target: Connection) -> None:
    """Advance the target's sequences to the values of the source's.

    Else they would issue again the ids of jobs whose rows are lost and whose objects still exist.
    """
    for row in Statements(target.engine, "content").rows_in(target, "sequences"):
        name, step = sql.SQL(row["name"]), row["step"]
        if run(source, "SELECT to_regclass({name}) IS NULL", name=sql.Literal(row["name"]))[0][0]:
            continue
        theirs, ours = (_next(session, name, step) for session in (source, target))
        if (theirs - ours) * step > 0:
            words = {"name": sql.Literal(row["name"]), "value": sql.Literal(theirs)}
            run(target, "SELECT setval({name}, {value}, false)", **words)


def _next(session: Connection, name: sql.Composable, step: int) -> int:
    """Return the next value of a sequence."""
    value, called = run(session, "SELECT last_value, is_called FROM {name}", name=name)[0]
    return int(value) + (step if called else 0)


def columns(session: Connection, table: str) -> list[str]:
    """Return a table's writable columns; none if there is no such table."""
    return [row["name"] for row in statements(session).rows_in(session, "columns", name=table)]


def common(source: Connection, target: Connection, table: str) -> list[str]:
    """Return the columns that a table has in both databases."""
    theirs = set(columns(source, table))
    return [name for name in columns(target, table) if name in theirs]


def copy_via_tempfile(
    source: Connection,
    target: Connection,
    table: str,
    names: Sequence[str],
    where: sql.Composable = sql.SQL("true"),  # noqa: B008  (a value)
) -> sql.Identifier:
    """Copy rows through a file into a temporary table of the target's transaction; return its name.

    ``table`` is quoted as the server quotes.
    """
    temp = sql.Identifier(f"carried_{secrets.token_hex(8)}")
    words = {"table": sql.SQL(table), "temp": temp, "names": listed(names), "where": where}
    run(
        target,
        "CREATE TEMPORARY TABLE {temp} ON COMMIT DROP AS SELECT {names} FROM {table} WITH NO DATA",
        **words,
    )
    with tempfile.TemporaryFile(prefix="storage-rows-") as file:
        out = sql.SQL("COPY (SELECT {names} FROM {table} WHERE {where}) TO STDOUT").format(**words)
        source.connection.cursor().copy_expert(out, file)
        file.seek(0)
        into = sql.SQL("COPY {temp} ({names}) FROM STDIN").format(**words)
        target.connection.cursor().copy_expert(into, file)
    return temp


def listed(names: Sequence[str], of: str = "") -> sql.Composed:
    """Return the columns, qualified with the table ``of``, with commas between them."""
    return sql.SQL(", ").join(sql.Identifier(*([of] if of else []), name) for name in names)


def run(session: Connection, statement: str, **words: sql.Composable) -> list[tuple[Any, ...]]:
    """Run a statement directly on the driver; return its rows."""
    cursor = session.connection.cursor()
    try:
        cursor.execute(sql.SQL(statement).format(**words))
        return list(cursor.fetchall()) if cursor.description else []
    finally:
        cursor.close()


def analyze(url: str) -> None:
    """Update the planner's statistics of a database that was just filled."""
    with opened(url) as session:
        session.exec_driver_sql("ANALYZE")
