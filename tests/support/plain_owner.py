"""Installation whose database owner may create databases, as a restore and a swap need."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace

import psycopg2
import pytest
from psycopg2 import sql
from sqlalchemy.engine import make_url

from devstack.postgres import Postgres
from storage import connect
from storage.backup.context import BackupContext
from storage.backup.database import backup_database
from storage.backup.postgres import temporary_server
from storage.backup.restore.swap import Swapped, swap
from storage.installation import open_installation
from tests.conftest import PASSWORD, Place

ROLE = "keeper"
ONE_STORE = pytest.mark.parametrize("place", ["ministack"], indirect=True)  # the kind of store is irrelevant


def live(context: BackupContext) -> str:
    """Return the name of the live database."""
    return str(make_url(context.settings.database_url).database)


def beside(context: BackupContext, name: str) -> str:
    return temporary_server.beside(context.settings.database_url, name)


def swapped(context: BackupContext) -> Swapped:
    """Take a backup, add jobs, and swap the restored backup in place of the live database."""
    id = backup_database(context).id
    add_jobs(context.settings.database_url, "later", 4)
    return swap(context, id, typed=live(context), by="a person")


def execute(url: str, *statements: str) -> list[tuple[object, ...]]:
    """Run the statements one by one; return the rows of the last."""
    words = make_url(url).translate_connect_args(username="user", database="dbname")
    with closing(psycopg2.connect(**words)) as session:
        session.autocommit = True
        with session.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
            return cursor.fetchall() if cursor.description else []


@contextmanager
def kept_database(server: Postgres) -> Iterator[str]:
    """Create a database owned by the role; yield its URL; drop it and all databases the test left behind."""
    name = f"live_{secrets.token_hex(4)}"
    server.create_database(name, ROLE, PASSWORD)
    with server.connect() as session, session.cursor() as cursor:
        cursor.execute(f"ALTER ROLE {ROLE} CREATEDB")
    before = set(databases(server)) - {name}
    yield server.dsn(name, ROLE, PASSWORD)
    for left in (set(databases(server)) & owned(server)) - before:
        drop(server, left)


def databases(server: Postgres) -> list[str]:
    """Return the names of all databases but those that tests on other workers create and drop meanwhile."""
    with server.connect() as session, session.cursor() as cursor:
        cursor.execute(
            "SELECT datname FROM pg_database WHERE datname !~ '^(test|faults|upgrade)_' ORDER BY 1"
        )
        return [row[0] for row in cursor.fetchall()]


def owned(server: Postgres) -> set[str]:
    """Return the databases of the role: others belong to a test on another worker."""
    with server.connect() as session, session.cursor() as cursor:
        cursor.execute(
            "SELECT datname FROM pg_database WHERE datdba = (SELECT oid FROM pg_roles WHERE rolname = %s)",
            (ROLE,),
        )
        return {row[0] for row in cursor.fetchall()}


def drop(server: Postgres, name: str) -> None:
    with server.connect() as session, session.cursor() as cursor:
        cursor.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


@contextmanager
def context_of(place: Place, url: str) -> Iterator[BackupContext]:
    """Open a context on that database, migrated and bound to the buckets, with a few pipeline jobs."""
    settings = replace(place.settings, database_url=url)
    connect.set_up(settings, adopt=True)
    add_jobs(url, "key-a", 3)
    add_jobs(url, "key-b", 2)
    with open_installation(settings) as stores:
        yield BackupContext(stores=stores, settings=settings)


def add_jobs(url: str, api_key: str, count: int, status: str = "completed") -> None:
    execute(
        url,
        f"INSERT INTO jobs (id, api_key, status) SELECT '{api_key}-' || n, '{api_key}', '{status}' "
        f"FROM generate_series(1, {count}) AS n ON CONFLICT DO NOTHING",
    )


def count(url: str, table: str = "jobs") -> int:
    (rows,) = execute(url, f"SELECT count(*) FROM {table}")
    return int(str(rows[0]))


def role(server: Postgres, name: str, right: str) -> str:
    """Create or alter another role; return its URL of the database ``postgres``."""
    with server.connect() as session, session.cursor() as cursor:
        cursor.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (name,))
        verb = "ALTER" if cursor.fetchone() else "CREATE"
        cursor.execute(f"{verb} ROLE {name} LOGIN {right} PASSWORD '{PASSWORD}'")
    return server.dsn("postgres", name, PASSWORD)
