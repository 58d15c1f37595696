"""Which databases a restore may fill or replace: only those in which nothing was ever made."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from sqlalchemy.engine import make_url

from devstack.postgres import Postgres
from storage.backup.database import backup_database
from storage.backup.errors import TargetInUse
from storage.backup.postgres import temporary_server
from storage.backup.postgres.contents import Contents, contents
from storage.backup.restore.database import restore
from tests.conftest import Place
from tests.support.plain_owner import (
    ONE_STORE,
    context_of,
    drop,
    execute,
    kept_database,
    live,
)

#: How something is made, how it is removed, and how it is named.
MADE = (
    ("CREATE SCHEMA billing", "DROP SCHEMA billing", "schema billing"),
    ("CREATE FUNCTION f() RETURNS int RETURN 1", "DROP FUNCTION f", "function f()"),
    ("CREATE TYPE mood AS ENUM ('fine')", "DROP TYPE mood", "type mood"),
    ("CREATE DOMAIN price AS numeric", "DROP DOMAIN price", "type price"),
    ("SELECT lo_from_bytea(4711, 'the only copy')", "SELECT lo_unlink(4711)", "large object 4711"),
    ("CREATE EXTENSION pg_trgm", "DROP EXTENSION pg_trgm", "extension pg_trgm"),
    ("CREATE PUBLICATION p", "DROP PUBLICATION p", "publication p"),
    ("CREATE CAST (text AS int) WITH INOUT", "DROP CAST (text AS int)", "cast from text to integer"),
    ("CREATE COLLATION c FROM \"C\"", "DROP COLLATION c", "collation c"),
    ("CREATE TEXT SEARCH CONFIGURATION t (COPY = simple)", "DROP TEXT SEARCH CONFIGURATION t", "text search"),
    ("CREATE FOREIGN DATA WRAPPER w", "DROP FOREIGN DATA WRAPPER w", "foreign-data wrapper w"),
    ("CREATE OPERATOR + (FUNCTION = textcat, LEFTARG = text, RIGHTARG = text)",
     "DROP OPERATOR + (text, text)", "operator +(text,text)"),
    ("ALTER DEFAULT PRIVILEGES REVOKE ALL ON FUNCTIONS FROM public",
     "ALTER DEFAULT PRIVILEGES GRANT ALL ON FUNCTIONS TO public", "default privileges on new functions"),
    ("CREATE SUBSCRIPTION s CONNECTION 'dbname=x' PUBLICATION p WITH (connect = false, slot_name = NONE)",
     "DROP SUBSCRIPTION s", "subscription s"),
)  # fmt: skip


@pytest.fixture
def empty(postgres_server: Postgres) -> Iterator[str]:
    """Create a database and return its URL as the superuser."""
    with kept_database(postgres_server) as url:
        name = make_url(url).database or ""
        yield postgres_server.dsn(name, "postgres", postgres_server.password)


def test_every_kind_of_thing_counts(empty: str) -> None:
    execute(empty, "CREATE TEMPORARY TABLE passing ()")  # leaves the schema pg_temp_N behind
    assert contents(empty) == Contents()
    for make, remove, name in MADE:
        execute(empty, make)
        found = contents(empty)
        assert any(one.startswith(name) for one in found.shown), (make, found)
        execute(empty, remove)
        assert contents(empty) == Contents(), remove


def test_what_may_not_be_read_counts_by_what_depends_on_it(empty: str, postgres_server: Postgres) -> None:
    """An owner who is no superuser may not read user mappings; the foreign server counts as well."""
    with kept_database(postgres_server) as url:
        execute(
            empty, "CREATE FOREIGN DATA WRAPPER w", "CREATE SERVER far FOREIGN DATA WRAPPER w",
            "CREATE USER MAPPING FOR keeper SERVER far",
        )  # fmt: skip
        name = make_url(empty).database or ""
        found = contents(temporary_server.beside(url, name))
    assert found.count == 3 and "user mapping for keeper on server far" in found.shown


@ONE_STORE
@pytest.mark.parametrize(
    ("made", "word"),
    [
        (
            ("CREATE SCHEMA billing", "CREATE FUNCTION billing.f() RETURNS int RETURN 1"),
            "function billing.f()",
        ),
        (("SELECT lo_from_bytea(4711, 'the only copy')",), "large object 4711"),
    ],
    ids=["function", "large"],
)
def test_a_database_without_tables_is_not_replaced(
    place: Place, postgres_server: Postgres, made: tuple[str, ...], word: str
) -> None:
    """Neither as the configured database, which would be dropped, nor as another one."""
    with kept_database(postgres_server) as url, context_of(place, url) as context:
        id, name = backup_database(context).id, f"{live(context)}_other"
        execute(url, f"CREATE DATABASE {name}")
        other = temporary_server.beside(url, name)
        execute(other, *made)
        for settings in (replace(context.settings, database_url=other), context.settings):
            with pytest.raises(TargetInUse) as refused:
                restore(settings, context.stores.backup_bucket, id, into=name, typed=name)
            assert word in str(refused.value)
        assert contents(other).count == len(made)
        drop(postgres_server, name)
