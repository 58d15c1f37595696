"""Dropping a database as a role that is no superuser, while autovacuum or sessions use it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from threading import Timer

import psycopg2
import pytest

from devstack.postgres import Postgres
from storage.backup.errors import RightsMissing
from storage.backup.postgres import temporary_server
from tests.support.plain_owner import databases, execute, kept_database

# A vacuum that lasts for minutes: it sleeps after every page.
SLOW = "autovacuum_vacuum_threshold = 1, autovacuum_vacuum_cost_delay = 100, autovacuum_vacuum_cost_limit = 1"


@contextmanager
def busy_autovacuum(server: Postgres, url: str, name: str) -> Iterator[None]:
    execute(
        url,
        f"CREATE TABLE busy WITH ({SLOW}, autovacuum_vacuum_scale_factor = 0) AS "
        "SELECT n, repeat('x', 500) FROM generate_series(1, 50000) AS n",
        "DELETE FROM busy WHERE n % 2 = 0",
    )
    with server.connect() as session, session.cursor() as cursor:
        cursor.execute("ALTER SYSTEM SET autovacuum_naptime = 1")
        cursor.execute("SELECT pg_reload_conf()")
    try:
        await_autovacuum(server, name)
        yield
    finally:
        with server.connect() as session, session.cursor() as cursor:
            cursor.execute("ALTER SYSTEM RESET autovacuum_naptime")
            cursor.execute("SELECT pg_reload_conf()")


def await_autovacuum(server: Postgres, name: str) -> None:
    working = "SELECT 1 FROM pg_stat_activity WHERE datname = %s AND backend_type = 'autovacuum worker'"
    with server.connect() as session, session.cursor() as cursor:
        for _ in range(600):
            cursor.execute(working, (name,))
            if cursor.fetchone():
                return
            time.sleep(0.1)
    raise AssertionError("autovacuum does not come")


def test_autovacuum_is_sent_away(postgres_server: Postgres) -> None:
    """Autovacuum has no role, so WITH (FORCE) reports that the rights over its process are missing."""
    with kept_database(postgres_server) as url:
        name = url.rpartition("/")[2]
        with busy_autovacuum(postgres_server, url, name):
            temporary_server.drop(temporary_server.beside(url, "postgres"), name)
        assert name not in databases(postgres_server)


def test_sessions_of_the_role_are_ended(postgres_server: Postgres) -> None:
    with kept_database(postgres_server) as url:
        name = url.rpartition("/")[2]
        session = psycopg2.connect(url.replace("+psycopg2", ""))
        temporary_server.drop(temporary_server.beside(url, "postgres"), name)
        assert name not in databases(postgres_server)
        with pytest.raises(psycopg2.OperationalError):
            session.cursor().execute("SELECT 1")


def test_a_session_of_a_superuser_is_in_the_way(postgres_server: Postgres) -> None:
    with kept_database(postgres_server) as url:
        name = url.rpartition("/")[2]
        with postgres_server.connect(name), pytest.raises(RightsMissing, match="to terminate"):
            temporary_server.drop(temporary_server.beside(url, "postgres"), name)
        assert name in databases(postgres_server)


def test_a_session_that_goes_by_itself_is_waited_for(postgres_server: Postgres) -> None:
    """Such as a metrics exporter's: the role may not end it, and it soon ends by itself."""
    with kept_database(postgres_server) as url:
        name = url.rpartition("/")[2]
        with ExitStack() as exporter:
            exporter.enter_context(postgres_server.connect(name))
            leaving = Timer(1, exporter.close)
            leaving.start()
            temporary_server.drop(temporary_server.beside(url, "postgres"), name)
            leaving.join()
        assert name not in databases(postgres_server)
