"""Schema: numbered migrations, the pipeline's missing columns and indexes, and the mapping view."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, Engine

from storage.errors import PipelineTableWrong, SchemaChanged, StorageError
from storage.stores.postgres import translated
from storage.stores.sqlfiles import folder

_LOCK = "SELECT pg_advisory_lock(hashtextextended('storage-maintenance:migrate', 0))"
_UNLOCK = "SELECT pg_advisory_unlock(hashtextextended('storage-maintenance:migrate', 0))"
_LEDGER = """
CREATE SCHEMA IF NOT EXISTS maintenance;
CREATE TABLE IF NOT EXISTS maintenance.migrations (
    number integer PRIMARY KEY, name text NOT NULL, sha256 text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now())"""
_NEEDED = {"jobs": ("id", "status", "updated_at"), "api_keys": ("key_hash",)}


def migrate(engine: Engine, files: Path | None = None) -> list[str]:
    """Bring the schema up to date; what was done, in words. May be repeated, and started twice at once.

    Raises SchemaChanged for an edited migration, PipelineTableWrong for a pipeline that cannot be mapped.
    """
    files = files or folder()
    with translated(), engine.connect() as session:
        session = session.execution_options(isolation_level="AUTOCOMMIT")
        session.exec_driver_sql("SET statement_timeout = 0")  # an index may take its time to build
        session.exec_driver_sql(_LOCK)
        try:
            session.exec_driver_sql(_LEDGER)
            done = [*_numbered(session, files), *_pipeline(session, files)]
            _mapping(session, files)
            return done + _indexes(session, files)
        finally:
            session.exec_driver_sql(_UNLOCK)


def pending(engine: Engine) -> list[str]:
    """The migrations not applied here yet."""
    with translated(), engine.connect() as session:
        there = session.exec_driver_sql("SELECT to_regclass('maintenance.migrations') IS NOT NULL").scalar()
        applied = set()
        if there:
            applied = set(session.exec_driver_sql("SELECT number FROM maintenance.migrations").scalars())
    return [path.name for number, path in _files(folder()) if number not in applied]


def _files(files: Path) -> Iterator[tuple[int, Path]]:
    for path in sorted((files / "migrations").glob("[0-9]*.sql")):
        yield int(path.name.split("_")[0]), path


def _numbered(session: Connection, files: Path) -> Iterator[str]:
    rows = session.exec_driver_sql("SELECT number, sha256 FROM maintenance.migrations").all()
    applied = {row.number: row.sha256 for row in rows}
    for number, path in _files(files):
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
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
    """The pipeline's tables: made when absent, else only given the columns they lack."""
    before = _columns(session)
    for table, needed in _NEEDED.items():
        if lacking := [c for c in needed if table in before and c not in before[table]]:
            raise PipelineTableWrong(f"table {table} has no column {', '.join(lacking)}")
    with _transaction(session):
        session.exec_driver_sql("SET LOCAL lock_timeout = '2s'")
        _script(session, (files / "pipeline" / "tables.sql").read_text())
    for table, columns in _columns(session).items():
        if table not in before:
            yield f"table {table}"
        elif added := [column for column in columns if column not in before[table]]:
            yield f"columns {', '.join(added)} of {table}"


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


def _mapping(session: Connection, files: Path) -> None:
    try:
        with _transaction(session):
            _script(session, (files / "mapping.sql").read_text())
    except StorageError as error:
        raise PipelineTableWrong(str(error)) from error


def _indexes(session: Connection, files: Path) -> list[str]:
    """Each missing index built CONCURRENTLY; the invalid leftover of an interrupted build is rebuilt."""
    built = []
    session.exec_driver_sql("SET lock_timeout = '2s'")
    for name, statement in _statements((files / "pipeline" / "indexes.sql").read_text()):
        valid = session.exec_driver_sql(
            "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(%s)", (name,)
        ).scalar()
        if valid is False:
            session.exec_driver_sql(f'DROP INDEX CONCURRENTLY IF EXISTS "{name}"')
        if not valid:
            session.exec_driver_sql(statement)
            built.append(f"index {name}")
    session.exec_driver_sql("RESET lock_timeout")
    return built


def _statements(script: str) -> Iterator[tuple[str, str]]:
    for match in re.finditer(r"^CREATE INDEX CONCURRENTLY IF NOT EXISTS (\w+) [^;]+", script, re.MULTILINE):
        yield match[1], match[0]


@contextmanager
def _transaction(session: Connection) -> Iterator[None]:
    """A transaction by hand, for the session is in autocommit: index builds allow no other."""
    session.exec_driver_sql("BEGIN")
    try:
        with translated():
            yield
    except BaseException:
        session.exec_driver_sql("ROLLBACK")
        raise
    session.exec_driver_sql("COMMIT")


def _script(session: Connection, script: str) -> None:
    cursor = session.connection.cursor()  # the driver itself: '%' and ':' in a script mean themselves
    try:
        cursor.execute(script)
    finally:
        cursor.close()
