"""Schema set-up: numbered migrations, the pipeline's missing columns and indexes, the mapping view."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, Engine

from storage.core.errors import PipelineTableWrong, SchemaChanged, StorageError, TransientFault
from storage.stores.postgres import statuses
from storage.stores.postgres.connection import translated
from storage.stores.postgres.sqlfiles import folder

_LOCK = "SELECT pg_try_advisory_lock(hashtextextended('storage-maintenance:migrate', 0))"
_UNLOCK = "SELECT pg_advisory_unlock(hashtextextended('storage-maintenance:migrate', 0))"
_LEDGER = """
CREATE SCHEMA IF NOT EXISTS maintenance;
CREATE TABLE IF NOT EXISTS maintenance.migrations (
    number integer PRIMARY KEY, name text NOT NULL, sha256 text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now())"""
_RENAMES = re.compile(r"^\s+(\S.*?)(?:::text)? AS (\w+),?$", re.MULTILINE)
_CREATE = re.compile(r"^CREATE TABLE IF NOT EXISTS (\w+) [^;]+", re.MULTILINE)
_NEEDED = {"jobs": ("id", "status", "updated_at"), "api_keys": ("key_hash",)}
_VIEW = """
SELECT format_type(a.atttypid, a.atttypmod) AS updated_at
FROM pg_rewrite r JOIN pg_depend d ON d.objid = r.oid AND d.refclassid = 'pg_class'::regclass
JOIN pg_class base ON base.oid = d.refobjid AND base.relkind IN ('r', 'p', 'f')
JOIN pg_attribute a ON a.attrelid = r.ev_class AND a.attname = 'updated_at'
WHERE r.ev_class = to_regclass('maintenance.jobs') LIMIT 1"""

_FIXED = """
SELECT string_agg(attname, ', ' ORDER BY attnum) FROM pg_attribute
WHERE attrelid = to_regclass('maintenance.jobs') AND attname IN ('status', 'error_message', 'updated_at')
    AND NOT pg_column_is_updatable(attrelid, attnum, true)"""


def migrate(engine: Engine, files: Path | None = None) -> list[str]:
    """Bring the schema up to date; return a description of each change. Repeatable, also concurrently.

    Raises SchemaChanged for an edited migration, PipelineTableWrong for a pipeline that cannot be mapped;
    StatusRefused, with nothing changed, if its status column cannot hold what the platform writes.
    """
    files = files or folder()
    with translated(), engine.connect() as session:
        session = session.execution_options(isolation_level="AUTOCOMMIT")
        _wait_for_lock(session)
        try:
            statuses.check(session, (files / "mapping.sql").read_text())
            session.exec_driver_sql("SET statement_timeout = 0")  # building an index may take long
            session.exec_driver_sql("SET lock_timeout = '2s'")  # limit how long other sessions are blocked
            session.exec_driver_sql(_LEDGER)
            return [*_numbered(session, files), *_pipeline(session, files)]
        finally:
            if not session.invalidated:  # otherwise the server has ended the session and so the lock
                session.exec_driver_sql("RESET statement_timeout")
                session.exec_driver_sql("RESET lock_timeout")
                session.exec_driver_sql(_UNLOCK)


def _wait_for_lock(session: Connection) -> None:
    """Poll for the lock: a waiting statement holds a snapshot, which an index build would wait for."""
    while not session.exec_driver_sql(_LOCK).scalar():
        time.sleep(0.2)


def pending(engine: Engine) -> list[str]:
    """Return the migrations that are not applied yet."""
    with translated(), engine.connect() as session:
        exists = session.exec_driver_sql("SELECT to_regclass('maintenance.migrations') IS NOT NULL").scalar()
        applied = set()
        if exists:
            applied = set(session.exec_driver_sql("SELECT number FROM maintenance.migrations").scalars())
    return [path.name for number, path in _files(folder()) if number not in applied]


def _files(files: Path) -> Iterator[tuple[int, Path]]:
    for path in sorted((files / "migrations").glob("[0-9]*.sql")):
        yield int(path.name.split("_")[0]), path


def _numbered(session: Connection, files: Path) -> Iterator[str]:
    rows = session.exec_driver_sql("SELECT number, sha256 FROM maintenance.migrations").all()
    applied = {row.number: row.sha256 for row in rows}
    for number, path in _files(files):
        sha256 = _digest(path)
        if applied.get(number, sha256) != sha256:
            raise SchemaChanged(path.name)
        if number not in applied:
            with _transaction(session):
                _script(session, path.read_text())
                session.exec_driver_sql(
                    "INSERT INTO maintenance.migrations (number, name, sha256) VALUES (%s, %s, %s)",
                    (number, path.name, sha256),
                )
            yield f"migration {path.name}"


def _pipeline(session: Connection, files: Path) -> Iterator[str]:
    """Add what the pipeline's tables lack and the view of its jobs; yield a description of each change.

    A table with another name in the mapping belongs to the site: nothing is added to it.
    """
    mapping = (files / "mapping.sql").read_text()
    renamed = {name for own, name in _RENAMES.findall(mapping) if own != name}
    documented = re.search(r"^FROM jobs;", mapping, re.MULTILINE) is not None
    if documented:
        yield from _tables(session, (files / "pipeline" / "tables.sql").read_text(), renamed)
    if not _mapped(session, files):
        _map(session, files)
        yield "view maintenance.jobs"
    if documented and not renamed:
        yield from _indexes(session, files)


def _tables(session: Connection, script: str, renamed: set[str]) -> Iterator[str]:
    """Create the documented tables if absent and add their missing columns, except renamed ones."""
    before, create = _columns(session), {match[1]: match[0] for match in _CREATE.finditer(script)}
    for table, columns in _documented(script).items():
        there = before.get(table, [])
        if lacking := [c for c in _NEEDED[table] if there and c not in there and c not in renamed]:
            raise PipelineTableWrong(f"table {table} has no column {', '.join(lacking)}")
        missing = [f"ADD COLUMN {d}" for c, d in columns.items() if c not in there and c not in renamed]
        with _transaction(session):
            if not there:
                session.exec_driver_sql(create[table])
                yield f"table {table}"
            if missing:
                session.exec_driver_sql(f"ALTER TABLE {table} {', '.join(missing)}")
        if there and missing:
            yield f"columns {', '.join(c for c in columns if c not in there and c not in renamed)} of {table}"


def _documented(script: str) -> dict[str, dict[str, str]]:
    """Parse the definitions of the columns that the script adds, by table and column."""
    return {
        match[1]: {
            line.split()[0]: line for line in re.findall(r"ADD COLUMN IF NOT EXISTS ([^,;]+)[,;]", match[0])
        }
        for match in re.finditer(r"^ALTER TABLE (\w+)[^;]+;", script, re.MULTILINE)
    }


def _columns(session: Connection) -> dict[str, list[str]]:
    rows = session.exec_driver_sql(
        "SELECT c.relname, a.attname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid "
        "WHERE c.oid IN (to_regclass('jobs'), to_regclass('api_keys')) AND a.attnum > 0 "
        "AND NOT a.attisdropped ORDER BY a.attnum"
    )
    found: dict[str, list[str]] = {}
    for table, column in rows:
        found.setdefault(table, []).append(column)
    return found


def _mapped(session: Connection, files: Path) -> bool:
    """Return True if the view exists as the current mapping.sql defines it."""
    known = session.exec_driver_sql("SELECT value FROM maintenance.control WHERE name = 'mapping'").scalar()
    return known == _digest(files / "mapping.sql") and session.exec_driver_sql(_VIEW).first() is not None


def _map(session: Connection, files: Path) -> None:
    """Drop and recreate the view: a view cannot change the types of its columns."""
    path = files / "mapping.sql"
    try:
        with _transaction(session):
            session.exec_driver_sql("DROP VIEW IF EXISTS maintenance.jobs")
            _script(session, path.read_text())
            row = session.exec_driver_sql(_VIEW).first()
            if row is None or row.updated_at != "timestamp with time zone":
                kind = row.updated_at if row else "missing"
                raise PipelineTableWrong(f"updated_at is {kind}; it must be a timestamp with time zone")
            if fixed := session.exec_driver_sql(_FIXED).scalar():
                raise PipelineTableWrong(f"through the view {fixed} cannot be changed")
            session.exec_driver_sql(
                "INSERT INTO maintenance.control (name, value) VALUES ('mapping', %s) "
                "ON CONFLICT (name) DO UPDATE SET value = excluded.value, changed_at = now()",
                (_digest(path),),
            )
    except TransientFault:
        raise
    except StorageError as error:
        if isinstance(error, PipelineTableWrong):
            raise
        raise PipelineTableWrong(error.args[0]) from error


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _indexes(session: Connection, files: Path) -> list[str]:
    """Build each missing index CONCURRENTLY; rebuild an invalid index left by an interrupted build."""
    built = []
    for name, statement in _statements((files / "pipeline" / "indexes.sql").read_text()):
        valid = session.exec_driver_sql(
            "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(%s)", (name,)
        ).scalar()
        if valid is False:
            session.exec_driver_sql(f'DROP INDEX CONCURRENTLY IF EXISTS "{name}"')
        if not valid:
            session.exec_driver_sql(statement)
            built.append(f"index {name}")
    return built


def _statements(script: str) -> Iterator[tuple[str, str]]:
    for match in re.finditer(r"^CREATE INDEX CONCURRENTLY IF NOT EXISTS (\w+) [^;]+", script, re.MULTILINE):
        yield match[1], match[0]


@contextmanager
def _transaction(session: Connection) -> Iterator[None]:
    """Run an explicit transaction: the session is in autocommit, which index builds require."""
    session.exec_driver_sql("BEGIN")
    try:
        with translated():
            yield
    except BaseException:
        if not session.invalidated:
            session.exec_driver_sql("ROLLBACK")
        raise
    session.exec_driver_sql("COMMIT")


def _script(session: Connection, script: str) -> None:
    cursor = session.connection.cursor()  # the driver directly, so that '%' and ':' in a script are literal
    try:
        cursor.execute(script)
    finally:
        cursor.close()
