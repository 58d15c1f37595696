"""Rows from one database into another, and a restored database made fit to take the live one's place."""

from __future__ import annotations

import json
import secrets
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from psycopg2 import sql
from sqlalchemy import Connection

from storage.stores.postgres.connection import Statements, connect, translated

#: Tables of the platform's own whose newer rows outlive a restore, and their keys. Runs before batches.
CARRIED = {
    "runs": "id",
    "batches": "run_id, plan_sha256, number",
    "backups": "id",
    "uploads": "upload_id",
    "cold_objects": "bucket, key",
    "accesses": "bucket, key",
    "cold_pins": "owner",
}
APPENDED = ("audit", "savings")  # their rows get new numbers: they are the same if all else is
PAUSING = "a restored database takes the live one's place"  # how our own pause of the live one begins


@contextmanager
def opened(url: str, *, snapshot: bool = False) -> Iterator[Connection]:
    """A transaction of any length, perhaps on one snapshot throughout; committed when the block ends."""
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
    """A restored database condemns nothing: its tombstones and claims are of another day."""
    named = statements(session)
    named.rows_in(session, "void_tombstones")
    named.rows_in(session, "void_claims")


def control(session: Connection, values: Mapping[str, str | None]) -> None:
    """Write switches; None erases one."""
    named = Statements(session.engine, "runs")
    for name, value in values.items():
        if value is None:
            named.rows_in(session, "erase", name=name)
        else:
            named.rows_in(session, "write", name=name, value=value)


def read_control(session: Connection, name: str) -> str | None:
    """A switch; None also where there are none."""
    if not columns(session, "maintenance.control"):
        return None
    rows = Statements(session.engine, "runs").rows_in(session, "read", name=name)
    return rows[0]["value"] if rows else None


def audit(session: Connection, event: str, detail: Mapping[str, Any]) -> None:
    named = Statements(session.engine, "runs")
    named.rows_in(session, "audit", event=event, run_id="", detail=json.dumps(dict(detail)))


def pause(session: Connection, why: str) -> None:
    """Pause maintenance, unless it is paused or there is none."""
    if columns(session, "maintenance.control"):
        statements(session).rows_in(session, "pause", reason=f"{PAUSING}: {why}")


def unpause(session: Connection) -> None:
    """Lift our own pause; anybody else's stays."""
    if (read_control(session, "paused") or "").startswith(PAUSING):
        control(session, {"paused": None})


def written_since(session: Connection, instant: datetime) -> bool:
    """Whether a row of the pipeline's jobs changed after that instant."""
    return bool(statements(session).rows_in(session, "written_since", instant=instant)[0]["written"])


def copy_newer(source: Connection, target: Connection, *, over: bool) -> None:
    """Copy what the target lacks of the platform's own rows; ``over``: also over its own.

    What the source has no table or column of stays as it is.
    """
    for table, key in CARRIED.items():
        _copy_table(source, target, f"maintenance.{table}", key, over)
    for table in APPENDED:
        _append(source, target, f"maintenance.{table}")


def _append(source: Connection, target: Connection, table: str) -> None:
    names = [one for one in common(source, target, table) if one != "id"]
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
    """Move the target's sequences on to where the source's stand.

    Else they would hand out again the ids of jobs whose rows are lost and whose objects still lie there.
    """
    for row in Statements(target.engine, "content").rows_in(target, "sequences"):
        name, step = sql.SQL(row["name"]), row["step"]
        if run(source, "SELECT to_regclass({name}) IS NULL", name=sql.Literal(row["name"]))[0][0]:
            continue
        theirs, ours = (_next(one, name, step) for one in (source, target))
        if (theirs - ours) * step > 0:
            words = {"name": sql.Literal(row["name"]), "value": sql.Literal(theirs)}
            run(target, "SELECT setval({name}, {value}, false)", **words)


def _next(session: Connection, name: sql.Composable, step: int) -> int:
    """What a sequence hands out next."""
    value, called = run(session, "SELECT last_value, is_called FROM {name}", name=name)[0]
    return int(value) + (step if called else 0)


def columns(session: Connection, table: str) -> list[str]:
    """A table's columns that can be written; none where there is no such table."""
    return [row["name"] for row in statements(session).rows_in(session, "columns", name=table)]


def common(source: Connection, target: Connection, table: str) -> list[str]:
    """The columns a table has in both databases."""
    theirs = set(columns(source, table))
    return [one for one in columns(target, table) if one in theirs]


def copy_via_tempfile(
    source: Connection,
    target: Connection,
    table: str,
    names: Sequence[str],
    where: sql.Composable = sql.SQL("true"),  # noqa: B008  (a value)
) -> sql.Identifier:
    """Copy rows into a temporary table of the target's transaction, through a file; its name.

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
    """Columns, of the table of that name, with commas between them."""
    return sql.SQL(", ").join(sql.Identifier(*([of] if of else []), one) for one in names)


def run(session: Connection, statement: str, **words: sql.Composable) -> list[tuple[Any, ...]]:
    """Run a statement on the driver itself; what it returns."""
    cursor = session.connection.cursor()
    try:
        cursor.execute(sql.SQL(statement).format(**words))
        return list(cursor.fetchall()) if cursor.description else []
    finally:
        cursor.close()


def analyze(url: str) -> None:
    """Let the planner know what is in a database that was just filled."""
    with opened(url) as session:
        session.exec_driver_sql("ANALYZE")
