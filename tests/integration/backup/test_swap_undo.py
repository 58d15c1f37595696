"""Undoing a swap, and dropping the kept database."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from devstack.postgres import Postgres
from storage.backup.context import BackupContext
from storage.backup.database import backup_database
from storage.backup.errors import DatabaseBusy
from storage.backup.postgres import swap as pg_swap
from storage.backup.restore.swap import drop_kept, swap, undo_swap
from storage.core.errors import Paused, Refused
from storage.core.model import Run
from storage.engine import guard
from tests.conftest import Place
from tests.support.plain_owner import (
    ONE_STORE,
    add_jobs,
    beside,
    context_of,
    count,
    databases,
    execute,
    kept_database,
    live,
    swapped,
)


@pytest.fixture
def context(place: Place, postgres_server: Postgres) -> Iterator[BackupContext]:
    with kept_database(postgres_server) as url, context_of(place, url) as made:
        yield made


@ONE_STORE
def test_back_again(context: BackupContext) -> None:
    """The kept database returns as it was: not paused, no epoch, and with the records made since."""
    url = context.settings.database_url
    done = swapped(context)
    assert count(url) == 5
    context.stores.audit.record("meanwhile", "", {})
    undone = undo_swap(context, typed=live(context), by="another person")
    assert (count(url), count(beside(context, undone.kept))) == (9, 5)
    guard.check_environment(context.stores, context.stores.clock())
    events = [row[0] for row in execute(url, "SELECT event FROM maintenance.audit ORDER BY at")]
    assert events[-3:] == ["swap", "meanwhile", "undo-swap"]
    assert done.kept != undone.kept
    redone = undo_swap(context, typed=live(context), by="a person")
    assert count(url) == 5
    assert redone.kept.startswith(f"{live(context)}_undone_")
    with pytest.raises(Paused, match="restored from backup"):
        guard.check_environment(context.stores, context.stores.clock())


@ONE_STORE
def test_a_kept_database_of_an_older_version_is_brought_up_to_date(context: BackupContext) -> None:
    """It lacks migration 7, and a plan was rejected since: its row would violate the older constraint."""
    done, stores = swapped(context), context.stores
    execute(
        beside(context, done.kept),
        "DELETE FROM maintenance.migrations WHERE number = 7",
        "ALTER TABLE maintenance.runs DROP COLUMN asked_in, DROP COLUMN asked_sha256, "
        "DROP CONSTRAINT runs_state_check, ADD CONSTRAINT runs_state_check CHECK (state <> 'rejected')",
    )
    now, sha256 = stores.clock(), "ab" * 32
    waiting = Run(id="r", job="reap", as_of=now, state="waiting", started_at=now, plan_sha256=sha256)
    stores.runs.save(waiting)
    stores.runs.reject("r", sha256, "ann")
    undo_swap(context, typed=live(context), by="a person")
    assert execute(context.settings.database_url, "SELECT state FROM maintenance.runs") == [("rejected",)]


@ONE_STORE
def test_back_again_with_work_lost_opens_an_epoch(context: BackupContext) -> None:
    """The database that returns lacks the rows that the pipeline wrote while the backup was live."""
    url = context.settings.database_url
    done = swapped(context)
    add_jobs(url, "meanwhile", 1)
    undone = undo_swap(context, typed=live(context), by="a person")
    epoch = json.loads(context.stores.control.read("restore_epoch") or "")
    assert (epoch["kept"], epoch["backup"]) == (undone.kept, "")
    assert datetime.fromisoformat(epoch["taken_at"]) <= done.until - timedelta(days=7, seconds=-60)
    with pytest.raises(Paused, match="put back, as of"):
        guard.check_environment(context.stores, context.stores.clock())


@ONE_STORE
def test_a_pause_of_before_holds_after_going_back(context: BackupContext) -> None:
    context.stores.control.write("paused", "we move")
    swapped(context)
    undo_swap(context, typed=live(context), by="a person")
    assert (pause := context.stores.control.paused()) and pause.reason == "we move"


@ONE_STORE
def test_the_kept_one_is_dropped_when_its_time_has_passed(
    context: BackupContext, postgres_server: Postgres
) -> None:
    done = swapped(context)
    with pytest.raises(Refused, match=f"{done.kept} is kept until"):
        drop_kept(context, done.until - timedelta(seconds=1))
    with pytest.raises(Refused, match="needed until the restore is reconciled"):
        drop_kept(context, done.until)
    context.stores.control.write("restore_epoch", None)
    busy = pytest.raises(DatabaseBusy, match="accessed by other users")
    with postgres_server.connect(done.kept), busy:
        drop_kept(context, done.until)
    assert drop_kept(context, done.until) == [done.kept]
    assert done.kept not in databases(postgres_server)
    assert context.stores.control.read("kept_database") is None
    assert drop_kept(context, done.until) == []


@ONE_STORE
def test_only_a_marked_one_is_ever_dropped(context: BackupContext, postgres_server: Postgres) -> None:
    """Neither a name like a kept database's nor a row of ours that names a database is enough."""
    url, name = context.settings.database_url, f"{live(context)}_before_0123abcd"
    execute(url, f"CREATE DATABASE {name}", f"CREATE DATABASE {live(context)}_theirs")
    mark = f"{pg_swap.KEPT}2020-01-01T00:00:00+00:00"
    execute(url, f"COMMENT ON DATABASE {live(context)}_theirs IS '{mark}'")
    context.stores.control.write(
        "kept_database", json.dumps({"name": name, "until": "2020-01-01T00:00:00+00:00"})
    )
    assert drop_kept(context, datetime(2030, 1, 1, tzinfo=UTC)) == []
    assert {name, f"{live(context)}_theirs"} <= set(databases(postgres_server))


@ONE_STORE
def test_no_id_is_handed_out_twice(context: BackupContext) -> None:
    """A lost row had an id, and perhaps objects under it: no later row may get the same id."""
    url = context.settings.database_url
    execute(
        url, "CREATE TABLE numbered (id serial PRIMARY KEY, down int)", 'CREATE SEQUENCE "Down" INCREMENT -2'
    )
    execute(url, "INSERT INTO numbered (down) VALUES (nextval('\"Down\"'))")
    id = backup_database(context).id
    execute(url, "INSERT INTO numbered (down) SELECT nextval('\"Down\"') FROM generate_series(1, 3)")
    swap(context, id, typed=live(context), by="a person")
    assert execute(url, "SELECT count(*) FROM numbered") == [(1,)]
    added = execute(url, "INSERT INTO numbered (down) VALUES (nextval('\"Down\"')) RETURNING id, down")
    assert added == [(5, -9)]
