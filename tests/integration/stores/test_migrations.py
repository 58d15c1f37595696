"""Schema migrations: from nothing, repeated, concurrent, refused; an existing pipeline keeps its data."""

from __future__ import annotations

import hashlib
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg2.errors
import pytest
from sqlalchemy import Engine, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError

from devstack.postgres import Postgres
from storage import connect as connect_stores
from storage.core.clock import utcnow
from storage.core.errors import PipelineTableWrong, Refused, SchemaChanged, StatusRefused, StorageError
from storage.stores.postgres.connection import connect
from storage.stores.postgres.jobs import PostgresJobs
from storage.stores.postgres.migrate import migrate, pending
from storage.stores.postgres.sqlfiles import folder
from tests.conftest import PASSWORD, Place, replace
from tests.support.command_line import run_ahead

Rows = Callable[..., list[tuple[object, ...]]]
_INVALID = "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'idx_jobs_failed'::regclass"
_VALID = "SELECT indisvalid FROM pg_index WHERE indexrelid = 'idx_jobs_failed'::regclass"
_TYPES = (
    "SELECT column_name, data_type, character_maximum_length, is_nullable, column_default "
    "FROM information_schema.columns WHERE table_name = 'jobs' AND table_schema = 'public' ORDER BY 1"
)
_PIPELINE = """
CREATE TABLE jobs (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), owner text, status varchar(20) NOT NULL,
    updated_at timestamptz NOT NULL, priority smallint DEFAULT 5, source_size_bytes integer, payload jsonb);
CREATE INDEX my_own ON jobs (owner);
INSERT INTO jobs (owner, status, updated_at, source_size_bytes, payload)
    SELECT 'user ' || n, 'processing', '2026-01-01Z'::timestamptz + n * interval '1 s', n, '{"a": [1, null]}'
    FROM generate_series(1, 500) AS n;
"""


@pytest.fixture
def empty_url(postgres_server: Postgres) -> Iterator[str]:
    """Create an empty database whose owner is no superuser; yield its URL."""
    name = f"empty_{secrets.token_hex(6)}"
    postgres_server.create_database(name, "maintainer", PASSWORD)
    yield postgres_server.dsn(name, "maintainer", PASSWORD)
    with postgres_server.connect() as session, session.cursor() as cursor:
        cursor.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture
def empty(empty_url: str) -> Iterator[Engine]:
    engine = connect(empty_url)
    yield engine
    engine.dispose()


@pytest.fixture
def rows(empty: Engine) -> Rows:
    """Run SQL on the empty database, committed."""

    def run(statement: str) -> list[tuple[object, ...]]:
        with empty.begin() as session:
            result = session.execute(text(statement.replace(":", r"\:")))
            return [tuple(row) for row in result] if result.returns_rows else []

    return run


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Copy the SQL files, for the test to edit."""
    return Path(shutil.copytree(folder(), tmp_path / "sql"))


def edit(path: Path, old: str, new: str) -> None:
    script = path.read_text()
    assert old in script
    path.write_text(script.replace(old, new))


def content(rows: Rows) -> str:
    """Return a hash of every value in the columns that the pipeline had before."""
    columns = "id, owner, status, updated_at, priority, source_size_bytes, payload"
    return hashlib.sha256(repr(rows(f"SELECT {columns} FROM jobs ORDER BY id")).encode()).hexdigest()


def test_from_nothing_and_again(empty: Engine, rows: Rows) -> None:
    """An empty database gets everything; a second run finds nothing to do. No superuser is needed."""
    assert rows("SELECT rolsuper FROM pg_roles WHERE rolname = current_user") == [(False,)]
    numbered = sorted(path.name for path in (folder() / "migrations").glob("*.sql"))
    assert pending(empty) == numbered
    done = migrate(empty)
    assert done[: len(numbered)] == [f"migration {name}" for name in numbered]
    assert {"table jobs", "table api_keys"} <= set(done)
    assert sum(one.startswith("index ") for one in done) == 5
    assert pending(empty) == []
    assert migrate(empty) == []
    assert rows("SELECT count(*) FROM maintenance.jobs") == [(0,)]


def test_three_at_once(empty_url: str, rows: Rows) -> None:
    """Migrations that start together all succeed, and every step is done once."""
    engines = [connect(empty_url) for _ in range(3)]
    with ThreadPoolExecutor(len(engines)) as pool:
        results = list(pool.map(migrate, engines))
    for engine in engines:
        engine.dispose()
    assert sorted(len(done) > 0 for done in results) == [False, False, True]
    assert rows("SELECT count(*) FROM pg_index WHERE NOT indisvalid") == [(0,)]


def test_two_at_once_where_much_must_be_indexed(empty_url: str, rows: Rows) -> None:
    """A migration that waits for the first does not block the first one's index builds."""
    rows(_PIPELINE)
    rows("INSERT INTO jobs (status, updated_at) SELECT 'failed', now() FROM generate_series(1, 200000)")
    engines = [connect(empty_url) for _ in range(2)]
    with ThreadPoolExecutor(len(engines)) as pool:
        results = list(pool.map(migrate, engines))
    for engine in engines:
        engine.dispose()
    assert min(len(done) for done in results) == 0
    assert rows("SELECT count(*) FROM pg_index WHERE NOT indisvalid") == [(0,)]


def test_an_edited_migration_is_refused(empty: Engine, files: Path, rows: Rows) -> None:
    """An applied migration must not change; a new one beside it is applied."""
    migrate(empty, files)
    edit(files / "migrations" / "0001_maintenance.sql", "-- Append-only", "-- append-only")
    (files / "migrations" / "9999_more.sql").write_text("CREATE TABLE maintenance.more (id int);")
    with pytest.raises(SchemaChanged, match=r"0001_maintenance\.sql was edited.*new migration") as refused:
        migrate(empty, files)
    assert refused.value.exit_code == 2
    assert rows("SELECT to_regclass('maintenance.more')") == [(None,)]
    edit(files / "migrations" / "0001_maintenance.sql", "-- append-only", "-- Append-only")
    assert migrate(empty, files) == ["migration 9999_more.sql"]


def test_a_migration_is_all_or_nothing(empty: Engine, files: Path, rows: Rows) -> None:
    """A migration that fails leaves no change, and the next run starts with it."""
    migrate(empty, files)
    broken = files / "migrations" / "9999_more.sql"
    broken.write_text("CREATE TABLE maintenance.more (id int); SELECT 1 / 0;")
    with pytest.raises(StorageError, match="division by zero"):
        migrate(empty, files)
    assert rows("SELECT to_regclass('maintenance.more')") == [(None,)]
    broken.write_text("CREATE TABLE maintenance.more (id int); -- 100 % and :colons")
    assert migrate(empty, files) == ["migration 9999_more.sql"]


def test_an_existing_pipeline_keeps_rows_and_types(empty: Engine, rows: Rows) -> None:
    """Missing columns are added; nothing else of the table changes: no value, no type, no index."""
    rows(_PIPELINE)
    before, types = content(rows), set(rows(_TYPES))
    done = migrate(empty)
    added = next(one for one in done if one.startswith("columns ")).removeprefix("columns ")
    assert "output_360p_path" in added
    assert not {"id", "status", "owner"} & set(added.replace(" of jobs", "").split(", "))
    assert content(rows) == before
    assert set(rows(_TYPES)) >= types
    assert rows("SELECT to_regclass('my_own') IS NOT NULL") == [(True,)]
    assert rows("SELECT count(*) FROM maintenance.jobs WHERE status = 'processing'") == [(500,)]
    assert migrate(empty) == []


@pytest.mark.parametrize("column", ["id", "status", "updated_at"])
def test_a_table_without_the_columns(empty: Engine, rows: Rows, column: str) -> None:
    """A column that cannot be guessed is asked for, with the file to edit; the table is left alone."""
    rows(_PIPELINE)
    rows(f"ALTER TABLE jobs RENAME {column} TO other_name")
    types = rows(_TYPES)
    with pytest.raises(PipelineTableWrong, match=rf"no column {column}.*Edit sql/mapping\.sql") as wrong:
        migrate(empty)
    assert wrong.value.exit_code == 2
    assert rows(_TYPES) == types


def test_times_without_a_zone_are_refused(empty: Engine, rows: Rows) -> None:
    """An age cannot be computed from a local time, so such a table is refused before the first plan."""
    rows(_PIPELINE)
    rows("ALTER TABLE jobs ALTER updated_at TYPE timestamp")
    with pytest.raises(PipelineTableWrong, match="updated_at"):
        migrate(empty)


_ENUM = (
    "CREATE TYPE status AS ENUM ('queued', 'processing', 'transcoding', 'uploading', 'completed', 'failed'{})"
)
_TABLE = "CREATE TABLE jobs (id text PRIMARY KEY, status {} NOT NULL, updated_at timestamptz NOT NULL)"


@pytest.mark.parametrize(
    ("prepared", "type", "what"),
    [
        (_ENUM.format(""), "status", r"jobs\.status cannot hold cleaned_up: its type status"),
        (
            _ENUM.format("").upper(),
            "status",
            "queued, processing, transcoding, uploading, completed, failed, cl",
        ),
        ("", "varchar(8)", r"cannot hold cleaned_up: its type character varying\(8\)"),
        ("CREATE DOMAIN status AS text CHECK (VALUE <> 'failed')", "status", "cannot hold failed: its type"),
        ("", "text CONSTRAINT known CHECK (status NOT LIKE '%_up')", "cleaned_up: the constraint known"),
        (
            "CREATE TABLE status (name text PRIMARY KEY)",
            "text REFERENCES status",
            "failed, cleaned_up: the const",
        ),
    ],
)
def test_statuses_that_the_table_refuses_are_found_before_any_change(
    empty: Engine, rows: Rows, prepared: str, type: str, what: str
) -> None:
    """An enum in capitals left columns, migrations and the view behind, and failed at the indexes."""
    for statement in filter(None, (prepared, _TABLE.format(type))):
        rows(statement)
    before = rows(_TYPES)
    with pytest.raises(StatusRefused, match=what):
        migrate(empty)
    assert rows(_TYPES) == before
    assert rows("SELECT to_regnamespace('maintenance')") == [(None,)]


def test_an_enum_with_every_status_works(empty: Engine, rows: Rows) -> None:
    rows(_ENUM.format(", 'cleaned_up'"))
    rows(_TABLE.format("status CHECK (status <> 'failed' OR id <> 'frozen')"))
    migrate(empty)
    rows("INSERT INTO jobs (id, status, updated_at) VALUES ('a', 'queued', '2026-01-01Z')")
    jobs = PostgresJobs(empty)
    assert jobs.fail(list(jobs.unended_before(utcnow())), "stuck") == {"a"}
    assert jobs.counts() == {"failed": 1}


def test_a_view_that_cannot_be_updated_is_refused(empty: Engine, files: Path, rows: Rows) -> None:
    rows(_TABLE.format("text"))
    edit(files / "mapping.sql", "    status AS", "    lower(status) AS")
    with pytest.raises(PipelineTableWrong, match="through the view status cannot be changed"):
        migrate(empty, files)
    assert rows("SELECT to_regclass('maintenance.jobs')") == [(None,)]


def test_renamed_columns_through_the_mapping(empty: Engine, files: Path, rows: Rows) -> None:
    """Renamed columns in a table of the usual name are named in the mapping, and left as they are."""
    rows(_PIPELINE)
    rows("ALTER TABLE jobs RENAME status TO state")
    edit(files / "mapping.sql", "status AS status", "state AS status")
    migrate(empty, files)
    assert rows("SELECT count(*) FROM maintenance.jobs WHERE status = 'processing'") == [(500,)]
    assert migrate(empty, files) == []


@pytest.mark.parametrize("place", ["ministack"], indirect=True)
def test_a_renamed_table_works_to_the_end(place: Place, engine: Engine, files: Path) -> None:
    """A renamed table with other columns works through one edited file: a stuck job becomes failed."""
    with engine.begin() as session:
        session.execute(text("DROP VIEW maintenance.jobs"))
        session.execute(text("ALTER TABLE jobs RENAME TO transcodes"))
        session.execute(text("ALTER TABLE transcodes RENAME status TO state"))
        insert = "INSERT INTO transcodes (id, state, updated_at) VALUES ('stuck', 'processing', '2026-01-01')"
        session.execute(text(insert))
    edit(files / "mapping.sql", "status AS status", "state AS status")
    edit(files / "mapping.sql", "FROM jobs;", "FROM transcodes;")
    migrate(engine, files)
    assert run_ahead(place, "cleanup_stuck_jobs").done.count == 1
    with engine.connect() as session:
        found = session.execute(text("SELECT state, error_message FROM transcodes")).all()
        stray = session.execute(text("SELECT to_regclass('jobs')")).scalar()
    assert found == [("failed", "Job timeout - stuck in processing")]
    assert stray is None, "no second table beside the mapped one"


@pytest.mark.parametrize("place", ["ministack"], indirect=True)
def test_a_copy_of_the_database_is_not_the_database(place: Place, postgres_server: Postgres) -> None:
    """A restored or copied database must not delete in the bucket of the original until it is adopted."""
    source = make_url(place.settings.database_url)
    copy = source.set(database=f"{source.database}_copy")
    other = replace(place.settings, database_url=copy.render_as_string(hide_password=False))
    with postgres_server.connect() as session, session.cursor() as cursor:
        cursor.execute(f'CREATE DATABASE "{copy.database}" TEMPLATE "{source.database}" OWNER maintainer')
        try:
            elsewhere = replace(place, settings=other)
            with pytest.raises(Refused, match=r"not the bucket and database of before.*--adopt"):
                run_ahead(elsewhere, "cleanup_temp_objects")
            assert connect_stores.set_up(other) == []
            with pytest.raises(Refused):
                run_ahead(elsewhere, "cleanup_temp_objects")
            connect_stores.set_up(other, adopt=True)
            assert run_ahead(elsewhere, "cleanup_temp_objects").state == "verified"
        finally:
            cursor.execute(f'DROP DATABASE "{copy.database}" WITH (FORCE)')


def test_an_invalid_index_is_rebuilt(empty: Engine, rows: Rows, postgres_server: Postgres) -> None:
    """An index that an interrupted concurrent build left invalid is dropped and built again."""
    migrate(empty)
    with postgres_server.connect(empty.url.database) as session, session.cursor() as cursor:
        cursor.execute(_INVALID)
    assert rows(_VALID) == [(False,)]
    assert migrate(empty) == ["index idx_jobs_failed"]
    assert rows(_VALID) == [(True,)]


def test_a_locked_table_is_not_waited_for(empty: Engine, rows: Rows) -> None:
    """The pipeline's traffic never queues behind a migration, which gives up whole after two seconds."""
    rows(_PIPELINE)
    types = rows(_TYPES)
    with empty.connect() as other:
        other.execute(text("LOCK TABLE jobs IN ROW EXCLUSIVE MODE"))
        started = time.monotonic()
        with pytest.raises(StorageError, match="lock timeout") as stopped:
            migrate(empty)
        assert time.monotonic() - started < 4
        assert stopped.value.transient
        other.rollback()
    assert rows(_TYPES) == types
    assert any(one.startswith("columns ") for one in migrate(empty))


def test_nothing_to_do_needs_no_lock(empty: Engine) -> None:
    """Repeating a migration beside a running pipeline succeeds: a complete table is not locked."""
    migrate(empty)
    with empty.connect() as other:
        other.execute(text("LOCK TABLE jobs IN ROW EXCLUSIVE MODE"))
        assert migrate(empty) == []
        other.rollback()


@pytest.mark.parametrize("statement", ["UPDATE {} SET event = ''", "DELETE FROM {}", "TRUNCATE {}"])
def test_the_audit_is_append_only(empty: Engine, rows: Rows, statement: str) -> None:
    """Recorded events can be neither changed nor deleted."""
    migrate(empty)
    rows("INSERT INTO maintenance.audit (event) VALUES ('test')")
    with pytest.raises(DBAPIError, match="append-only") as refused:
        rows(statement.format("maintenance.audit"))
    assert isinstance(refused.value.orig, psycopg2.errors.RaiseException)
    assert rows("SELECT event FROM maintenance.audit") == [("test",)]
