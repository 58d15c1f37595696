"""The way back from a swap, and the end of the database that was kept."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from devstack.postgres import Postgres
from storage.backup.context import Site
from storage.backup.database import backup_database
from storage.backup.errors import DatabaseBusy
from storage.backup.postgres import swap as pg_swap
from storage.backup.restore.swap import drop_kept, swap, undo_swap
from storage.core.errors import Paused, Refused
from storage.engine import guard
from tests.conftest import Place
from tests.support.plain_owner import (
    ONE_STORE,
    add_jobs,
    beside,
    count,
    databases,
    execute,
    kept_database,
    live,
    site_of,
    swapped,
)


@pytest.fixture
def site(place: Place, postgres_server: Postgres) -> Iterator[Site]:
    with kept_database(postgres_server) as url, site_of(place, url) as made:
        yield made


@ONE_STORE
def test_back_again(site: Site) -> None:
    """The kept one comes back as it was: not paused, no epoch, and with what was recorded since."""
    url = site.settings.database_url
    done = swapped(site)
    assert count(url) == 5
    site.stores.audit.record("meanwhile", "", {})
    undone = undo_swap(site, typed=live(site), by="another person")
    assert (count(url), count(beside(site, undone.kept))) == (9, 5)
    guard.world(site.stores, site.stores.clock())
    events = [row[0] for row in execute(url, "SELECT event FROM maintenance.audit ORDER BY at")]
    assert events[-3:] == ["swap", "meanwhile", "undo-swap"]
    assert done.kept != undone.kept
    redone = undo_swap(site, typed=live(site), by="a person")
    assert count(url) == 5
    assert redone.kept.startswith(f"{live(site)}_undone_")
    with pytest.raises(Paused, match="restored from backup"):
        guard.world(site.stores, site.stores.clock())


@ONE_STORE
def test_back_again_with_work_lost_opens_an_epoch(site: Site) -> None:
    """What the pipeline wrote while the backup was live is unknown to the one that comes back."""
    url = site.settings.database_url
    done = swapped(site)
    add_jobs(url, "meanwhile", 1)
    undone = undo_swap(site, typed=live(site), by="a person")
    epoch = json.loads(site.stores.control.read("restore_epoch") or "")
    assert (epoch["kept"], epoch["backup"]) == (undone.kept, "")
    assert datetime.fromisoformat(epoch["taken_at"]) <= done.until - timedelta(days=7, seconds=-60)
    with pytest.raises(Paused, match="put back, as of"):
        guard.world(site.stores, site.stores.clock())


@ONE_STORE
def test_a_pause_of_before_holds_after_going_back(site: Site) -> None:
    site.stores.control.write("paused", "we move")
    swapped(site)
    undo_swap(site, typed=live(site), by="a person")
    assert site.stores.control.paused() == "we move"


@ONE_STORE
def test_the_kept_one_is_dropped_when_its_time_has_passed(site: Site, postgres_server: Postgres) -> None:
    done = swapped(site)
    with pytest.raises(Refused, match=f"{done.kept} is kept until"):
        drop_kept(site, done.until - timedelta(seconds=1))
    with pytest.raises(Refused, match="needed until it was reconciled"):
        drop_kept(site, done.until)
    site.stores.control.write("restore_epoch", None)
    busy = pytest.raises(DatabaseBusy, match="accessed by other users")
    with postgres_server.connect(done.kept), busy:
        drop_kept(site, done.until)
    assert drop_kept(site, done.until) == [done.kept]
    assert done.kept not in databases(postgres_server)
    assert site.stores.control.read("kept_database") is None
    assert drop_kept(site, done.until) == []


@ONE_STORE
def test_only_a_marked_one_is_ever_dropped(site: Site, postgres_server: Postgres) -> None:
    """A name like ours is not enough, nor is a row of ours that names a database."""
    url, name = site.settings.database_url, f"{live(site)}_before_0123abcd"
    execute(url, f"CREATE DATABASE {name}", f"CREATE DATABASE {live(site)}_theirs")
    mark = f"{pg_swap.KEPT}2020-01-01T00:00:00+00:00"
    execute(url, f"COMMENT ON DATABASE {live(site)}_theirs IS '{mark}'")
    site.stores.control.write(
        "kept_database", json.dumps({"name": name, "until": "2020-01-01T00:00:00+00:00"})
    )
    assert drop_kept(site, datetime(2030, 1, 1, tzinfo=UTC)) == []
    assert {name, f"{live(site)}_theirs"} <= set(databases(postgres_server))


@ONE_STORE
def test_no_id_is_handed_out_twice(site: Site) -> None:
    """A row that is lost had an id, and perhaps objects under it: the next one must not get the same."""
    url = site.settings.database_url
    execute(
        url, "CREATE TABLE numbered (id serial PRIMARY KEY, down int)", 'CREATE SEQUENCE "Down" INCREMENT -2'
    )
    execute(url, "INSERT INTO numbered (down) VALUES (nextval('\"Down\"'))")
    id = backup_database(site).id
    execute(url, "INSERT INTO numbered (down) SELECT nextval('\"Down\"') FROM generate_series(1, 3)")
    swap(site, id, typed=live(site), by="a person")
    assert execute(url, "SELECT count(*) FROM numbered") == [(1,)]
    added = execute(url, "INSERT INTO numbered (down) VALUES (nextval('\"Down\"')) RETURNING id, down")
    assert added == [(5, -9)]
