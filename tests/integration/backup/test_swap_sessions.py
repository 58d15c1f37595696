"""Sessions of the live database during a swap: they are ended, or the swap leaves no trace."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress

import psycopg2
import pytest
from sqlalchemy.engine import make_url

from devstack.postgres import Postgres
from storage.backup.context import BackupContext
from storage.backup.database import backup_database
from storage.backup.errors import RightsMissing
from storage.backup.restore.swap import swap
from tests.conftest import Place
from tests.support.plain_owner import (
    ONE_STORE,
    add_jobs,
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
def test_a_session_that_may_not_be_ended(context: BackupContext, postgres_server: Postgres) -> None:
    id = backup_database(context).id
    before = databases(postgres_server)
    refused = pytest.raises(RightsMissing, match="the session of .* as postgres cannot be ended")
    with postgres_server.connect(live(context)), refused:
        swap(context, id, typed=live(context), by="a person")
    assert databases(postgres_server) == before


@ONE_STORE
def test_a_swap_that_fails_at_the_last_step(context: BackupContext, postgres_server: Postgres) -> None:
    """A session that cannot be ended was opened meanwhile: no trace of the swap is left, not even a pause."""
    add_bulk(context.settings.database_url)
    id, before = backup_database(context).id, databases(postgres_server)
    with ExitStack() as late:

        def arrive(what: str, done: int) -> None:
            if done == 1:
                late.enter_context(postgres_server.connect(live(context)))

        with pytest.raises(RightsMissing, match="as postgres cannot be ended"):
            swap(context, id, typed=live(context), by="a person", progress=arrive)
    assert databases(postgres_server) == before
    assert context.stores.control.paused() is None
    assert count(context.settings.database_url) == 5


def add_bulk(url: str) -> None:
    """Add more than 1 MiB, so that progress is reported."""
    execute(url, "CREATE TABLE bulk AS SELECT repeat(md5(n::text), 40) FROM generate_series(1, 2000) AS n")


@ONE_STORE
def test_sessions_of_the_live_database_are_ended(context: BackupContext) -> None:
    """Eight clients that reconnect at once cannot prevent the exchange, and the new database holds every
    audit row entered until then."""
    url, stop, seen, entered = context.settings.database_url, threading.Event(), list[int](), set[str]()
    words = make_url(url).translate_connect_args(username="user", database="dbname")

    def work(name: int) -> None:
        for attempt in itertools.count():
            if stop.wait(0.02):
                return
            with suppress(psycopg2.Error), closing(psycopg2.connect(**words)) as session:
                for turn in itertools.count():
                    if stop.wait(0.02):  # fifty rows a second are enough, and leave the machine to the swap
                        return
                    with session.cursor() as cursor:
                        mark = f"{name}-{attempt}-{turn}"
                        cursor.execute("INSERT INTO maintenance.audit (event) VALUES (%s)", (mark,))
                        cursor.execute("SELECT count(*) FROM jobs")
                        answer = cursor.fetchall()[0][0]
                    session.commit()
                    seen.append(answer)
                    entered.add(mark)

    id = backup_database(context).id
    add_jobs(url, "later", 4)
    pool = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for one in pool:
        one.start()
    try:
        swap(context, id, typed=live(context), by="a person")
        assert count(url) == 5
    finally:
        stop.set()
        for one in pool:
            one.join()
    assert set(seen) <= {9, 5}
    assert entered - {row[0] for row in execute(url, "SELECT event FROM maintenance.audit")} == set()
