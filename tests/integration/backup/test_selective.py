"""Restoring chosen tables into a new database, and the rows of one key or job into the live one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from devstack.postgres import Postgres
from storage.backup.context import BackupContext
from storage.backup.database import backup_database
from storage.backup.errors import (
    TargetInUse,
)
from storage.backup.restore import selective
from storage.core.errors import UsageError
from tests.conftest import Place
from tests.support.plain_owner import (
    ONE_STORE,
    context_of,
    count,
    databases,
    execute,
    kept_database,
    live,
)


@pytest.fixture
def context(place: Place, postgres_server: Postgres) -> Iterator[BackupContext]:
    with kept_database(postgres_server) as url, context_of(place, url) as made:
        yield made


@ONE_STORE
def test_chosen_tables(context: BackupContext) -> None:
    url = context.settings.database_url
    execute(
        url, "CREATE SCHEMA other",
        'CREATE TABLE other."Odd name" (a int)', "CREATE TABLE other.jobs (a int)",
        'INSERT INTO other."Odd name" VALUES (1), (2)', "CREATE TYPE mood AS ENUM ('fine')",
        "CREATE TABLE moods (mood mood)", "INSERT INTO moods VALUES ('fine')",
    )  # fmt: skip
    id = backup_database(context).id
    made = selective.restore_tables(context, id, ["moods", "other.Odd name"])
    there = [count(made.url, one) for one in ("moods", 'other."Odd name"', "public.jobs")]
    assert (there, made.rows) == ([1, 2, 0], 3)
    for names, why in ((["jobs"], "more than one table"), (["public.jbos"], "Did you mean public.jobs")):
        with pytest.raises(UsageError, match=why):
            selective.restore_tables(context, id, names)
    with pytest.raises(TargetInUse, match="a database of that name exists"):
        selective.restore_tables(context, id, ["moods"], into=live(context))
    assert count(url) == 5


@ONE_STORE
def test_rows_of_one_key_or_job(context: BackupContext, postgres_server: Postgres) -> None:
    """Lost rows are restored, parents first; rows changed since are reported and stay."""
    url = context.settings.database_url
    execute(
        url, "CREATE TABLE api_keys_extra (api_key text, note json)",
        "CREATE TABLE a_files (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, "
        "job_id varchar(64) REFERENCES jobs, size int, twice int GENERATED ALWAYS AS (2 * size) STORED)",
        "INSERT INTO a_files (job_id, size) SELECT id, 7 FROM jobs",
        """INSERT INTO api_keys_extra VALUES ('key-a', '{"a": 1}'), ('key-b', '{}')""",
        "INSERT INTO api_keys (key_hash) VALUES ('key-a')",
    )  # fmt: skip
    id = backup_database(context).id
    execute(
        url, "DELETE FROM a_files", "DELETE FROM jobs WHERE id IN ('key-a-1', 'key-b-1')",
        "DELETE FROM api_keys_extra", "UPDATE jobs SET status = 'failed' WHERE id = 'key-a-2'",
    )  # fmt: skip
    before = databases(postgres_server)
    found = {one.table: one for one in selective.restore_rows(context, id, api_key="key-a")}
    assert (found["public.jobs"].missing, found["public.jobs"].changed) == (("key-a-1",), ("key-a-2",))
    assert (found["public.jobs"].same, found["public.jobs"].inserted) == (1, 0)
    assert found["public.a_files"].missing == ("1", "2", "3")
    assert (found["public.api_keys"].same, len(found["public.api_keys_extra"].missing)) == (1, 1)
    assert count(url) == 3
    done = {one.table: one for one in selective.restore_rows(context, id, api_key="key-a", apply=True)}
    assert {name: one.inserted for name, one in done.items()} == {
        "public.api_keys": 0, "public.api_keys_extra": 1, "public.jobs": 1, "public.a_files": 3,
    }  # fmt: skip
    assert execute(url, "SELECT status FROM jobs WHERE id = 'key-a-2'") == [("failed",)]
    assert execute(url, "SELECT id, twice FROM a_files ORDER BY 1") == [(1, 14), (2, 14), (3, 14)]
    again = selective.restore_rows(context, id, api_key="key-a", apply=True)
    assert [one.inserted for one in again] == [0, 0, 0, 0]
    one_job = {one.table: one for one in selective.restore_rows(context, id, job="key-b-1", apply=True)}
    assert {name: one.inserted for name, one in one_job.items()} == {"public.jobs": 1, "public.a_files": 1}
    assert count(url) == 5
    assert databases(postgres_server) == before
    for wrong in ({}, {"api_key": "a", "job": "b"}):
        with pytest.raises(UsageError, match="either an api_key or a job"):
            selective.restore_rows(context, id, **wrong)
