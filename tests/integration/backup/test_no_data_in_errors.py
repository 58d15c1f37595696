"""Errors hold no data of the pipeline: neither on screens and in tables nor in Airflow's tracebacks."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from dataclasses import replace

import pytest

from devstack.postgres import Postgres
from storage.backup.context import BackupContext
from storage.backup.database import backup_database
from storage.backup.errors import BackupDamaged
from storage.backup.prove import prove
from storage.core.errors import StorageError
from storage.stores.postgres.connection import connect, translated
from tests.conftest import Place
from tests.support.backup_databases import Bucket, database, execute, opened

CANARY = "canary-9Kq7Wz"
#: Databases whose dump does not restore, by what the server quotes then.
CHECKED = "CREATE FUNCTION fine(v text) RETURNS bool LANGUAGE plpgsql AS $$ BEGIN {} END $$"
TABLE = "CREATE TABLE cfg (v text)"
ROW = f"INSERT INTO cfg VALUES ('{CANARY}')"
SHORT = (
    "CREATE FUNCTION short(v text) RETURNS text IMMUTABLE LANGUAGE plpgsql AS "
    "$$ BEGIN RETURN CASE WHEN current_schema() IS NULL THEN left(v, 13) ELSE v END; END $$"
)
DATABASES = {
    "a row, in the context": (
        "CREATE TABLE hooks (v text)",
        CHECKED.format(
            f"RETURN v <> '{CANARY}-body' AND NOT EXISTS (SELECT FROM hooks WHERE hooks.v = fine.v);"
        ),
        "CREATE TABLE cfg (v text CHECK (fine(v)))",
        ROW,
    ),
    "a value that a function raises": (
        CHECKED.format(
            f"IF current_schema() IS NULL THEN RAISE 'secret % of {CANARY}', v; END IF; RETURN true;"
        ),
        "CREATE TABLE cfg (v text CHECK (fine(v)))",
        ROW,
    ),
    "a value that has another type": (
        CHECKED.format("IF current_schema() IS NULL THEN RETURN v::int > 0; END IF; RETURN true;"),
        "CREATE DOMAIN worded AS text CHECK (fine(VALUE))",
        "CREATE TABLE cfg (v worded)",
        ROW,
    ),
    "a literal of a command": (
        "CREATE TABLE hooks (v text)",
        "CREATE FUNCTION bare(v text) RETURNS text IMMUTABLE LANGUAGE plpgsql AS "
        "$$ BEGIN RETURN (SELECT max(hooks.v) || bare.v FROM hooks); END $$",
        TABLE,
        ROW,
        f"CREATE INDEX ON cfg (bare(v || '{CANARY}'))",
    ),
    "a key that occurs twice": (
        SHORT,
        TABLE,
        f"INSERT INTO cfg VALUES ('{CANARY}1'), ('{CANARY}2')",
        "CREATE UNIQUE INDEX ON cfg (short(v))",
    ),
    "keys that exclude each other": (
        SHORT,
        TABLE,
        f"INSERT INTO cfg VALUES ('{CANARY}1'), ('{CANARY}2')",
        "ALTER TABLE cfg ADD EXCLUDE USING btree (short(v) WITH =)",
    ),
    "the query of a view": (
        "CREATE TABLE owners (v text)",
        "CREATE FUNCTION ready(v text) RETURNS text LANGUAGE plpgsql AS "
        "$$ BEGIN IF current_schema() IS NULL THEN RAISE division_by_zero USING MESSAGE = v; END IF; "
        "RETURN v; END $$",
        f"CREATE MATERIALIZED VIEW cfg AS SELECT public.ready('{CANARY}')",
    ),
    "a default": (
        CHECKED.format("RETURN v = current_setting('app.word');"),
        "SET app.word = 'x'",
        f"CREATE TABLE cfg (v text DEFAULT '{CANARY}', w text CHECK (fine(w)))",
        "INSERT INTO cfg (w) VALUES ('x')",
    ),
}


@pytest.fixture
def context(place: Place, postgres_server: Postgres) -> Iterator[BackupContext]:
    with opened(place.settings) as context:
        yield replace(context, settings=replace(context.settings, proof_server="same"))


def everything_said(error: BaseException, context: BackupContext, bucket: Bucket) -> str:
    """Return the error with its traceback, what the tables hold, and the documents beside the dump."""
    tables = ("backups", "audit", "runs")
    stored = [
        execute(context.settings.database_url, f"SELECT t::text FROM maintenance.{t} t") for t in tables
    ]

    documents = [bucket.get(key).decode() for key in bucket.keys if key.endswith(".json")]
    return "\n".join(["".join(traceback.format_exception(error)), str(stored), *documents])


@pytest.mark.parametrize("place", ["ministack"], indirect=True)
def test_a_restore_that_fails_on_data_quotes_none(
    context: BackupContext, place: Place, postgres_server: Postgres
) -> None:
    """Whatever the server quotes of a dump that does not restore, the error names the cause without it."""
    bucket = Bucket(place)
    for number, (why, statements) in enumerate(DATABASES.items()):
        with database(postgres_server, f"quoted{number}") as url:
            execute(url, "; ".join(statements))
            here = replace(context, settings=replace(context.settings, database_url=url))
            taken = backup_database(here)
            with pytest.raises(BackupDamaged, match="does not restore: pg_restore: error: ") as failed:
                prove(here, taken.id)
            said = everything_said(failed.value, context, bucket)
        assert taken.id in said and CANARY not in said, why


@pytest.mark.parametrize(
    ("statement", "shown"),
    [
        (
            f"INSERT INTO keys VALUES ('{CANARY}')",
            'duplicate key value violates unique constraint "keys_pkey"',
        ),
        (f"SELECT '{CANARY}'::int", "invalid input syntax for type integer: ..."),
        (
            f"DO $$ BEGIN RAISE 'no {CANARY}'; END $$",
            "SQLSTATE P0001, raised by PL/pgSQL function inline_code_block",
        ),
        (
            f"DO $$ BEGIN RAISE deadlock_detected USING MESSAGE = '{CANARY}'; END $$",
            "SQLSTATE 40P01, raised by",
        ),
    ],
)
def test_a_statement_that_fails_on_data_quotes_none(database_url: str, statement: str, shown: str) -> None:
    """Neither the error nor its traceback, as Airflow logs it, holds the data; it names what is known."""
    execute(database_url, "CREATE TABLE keys (v text PRIMARY KEY)", f"INSERT INTO keys VALUES ('{CANARY}')")
    engine = connect(database_url)
    with pytest.raises(StorageError) as failed, translated(), engine.begin() as connection:
        connection.exec_driver_sql(statement.replace("%", "%%"))
    engine.dispose()
    said = "".join(traceback.format_exception(failed.value))
    assert CANARY not in said
    assert shown in said
