"""Reconciling after a restore, on real servers: rows come from the kept database, no job goes unjudged."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime
from typing import Any

import pytest
from sqlalchemy import Engine, text

from devstack.postgres import Postgres
from storage import catalog
from storage.backup.context import BackupContext
from storage.backup.errors import NotAdopted
from storage.backup.postgres import reconcile as pg_reconcile
from storage.backup.restore.reconcile import Unreconciled, close, decide, pending
from storage.core.errors import JobBusy, Paused, Refused
from storage.core.model import JobId
from storage.engine.sweep import run
from storage.installation import open_installation
from storage.stores.postgres import verdicts
from tests.conftest import Place
from tests.support.restored_database import DAY, SECOND, Keep, begin, copies, gone

pytestmark = pytest.mark.parametrize("place", ["ministack"], indirect=True)
Sql = Callable[..., list[tuple[Any, ...]]]


@pytest.fixture
def sql(engine: Engine) -> Sql:
    """Run SQL on the live database, committed."""

    def on(statement: str, **values: Any) -> list[tuple[Any, ...]]:
        with engine.begin() as session:
            result = session.execute(text(statement), values)
            return [tuple(row) for row in result] if result.returns_rows else []

    return on


@pytest.fixture
def keep(engine: Engine, postgres_server: Postgres) -> Iterator[Keep]:
    with copies(engine, postgres_server) as copy:
        yield copy


@pytest.fixture
def context(place: Place) -> Iterator[BackupContext]:
    with open_installation(place.settings) as stores:
        yield BackupContext(stores=stores, settings=place.settings)


@pytest.fixture
def now(sql: Sql, place: Place) -> datetime:
    found: datetime = sql("SELECT now()")[0][0]
    return found


@pytest.fixture
def restored(
    place: Place, context: BackupContext, sql: Sql, keep: Keep, add_job: Callable[..., None], now: datetime
) -> BackupContext:
    """Add two jobs of today, one of yesterday continued today and one untouched; go back to yesterday."""
    add_job("new", "completed", now - SECOND, output_360p_path="processed/new/a.mp4", source_size_bytes=7)
    add_job("lost", "failed", now - SECOND)
    add_job("went-on", "completed", now - SECOND, api_key="today", completed_at=now)
    add_job("old", "completed", now - 2 * DAY)
    for key in (
        "processed/new/a.mp4",
        "uploads/lost/in.mp4",
        "uploads/went-on/in.mp4",
        "uploads/nobody/in.mp4",
    ):
        place.put(key)
    name = keep()
    sql("DELETE FROM jobs WHERE id IN ('new', 'lost')")
    sql(
        "UPDATE jobs SET status = 'queued', updated_at = :then, api_key = 'y' WHERE id = 'went-on'",
        then=now - 2 * DAY,
    )
    begin(context, now, name)
    return context


def listed(context: BackupContext) -> dict[str, tuple[str, bool, str | None]]:
    return {one.owner: (one.row, one.in_kept, one.verdict) for one in pending(context)}


def rows(sql: Sql, table: str = "jobs") -> list[tuple[Any, ...]]:
    return sql(f"SELECT CAST({table} AS text) FROM {table} ORDER BY 1")


def test_what_is_to_be_judged(restored: BackupContext) -> None:
    assert listed(restored) == {
        "lost": ("missing", True, None),
        "new": ("missing", True, None),
        "nobody": ("missing", False, None),
        "went-on": ("older", True, None),
    }
    [one] = [one for one in pending(restored) if one.owner == "new"]
    assert (one.objects, one.bytes, one.newest is not None) == (1, 1, True)


def test_a_job_that_has_only_a_row_is_listed(
    context: BackupContext, now: datetime, sql: Sql, keep: Keep, add_job: Any
) -> None:
    add_job("row-only", "completed", now - SECOND)
    add_job("row", "completed", now - SECOND)
    add_job("before-the-backup", "completed", now - DAY)
    name = keep()
    sql("DELETE FROM jobs")
    begin(context, now, name)
    assert list(pending(context)) == [
        Unreconciled(JobId(id), 0, 0, None, "missing", True, None) for id in ("row-only", "row")
    ]


def test_without_the_kept_database_objects_tell(restored: BackupContext, postgres_server: Postgres) -> None:
    gone(postgres_server, json.loads(restored.stores.control.read("restore_epoch") or "")["kept"])
    assert listed(restored) == {
        "lost": ("missing", False, None),
        "new": ("missing", False, None),
        "nobody": ("missing", False, None),
        "went-on": ("same", False, None),
    }
    assert decide(restored, ["new"], "adopt", "eva") == 1
    assert listed(restored)["new"] == ("missing", False, "adopt")


def test_adopting_copies_the_whole_rows(restored: BackupContext, sql: Sql, now: datetime) -> None:
    """Missing rows are inserted, older rows are updated, and no other row is touched."""
    untouched = sql("SELECT CAST(jobs AS text) FROM jobs WHERE id = 'old'")
    assert decide(restored, ["new", "went-on", "nobody", "old"], "adopt", "eva") == 4
    assert listed(restored)["went-on"] == ("same", True, "adopt")
    fields = "id, status, updated_at, api_key, output_360p_path, source_size_bytes, completed_at"
    assert sql(f"SELECT {fields} FROM jobs WHERE id IN ('new', 'went-on') ORDER BY id") == [
        ("new", "completed", now - SECOND, None, "processed/new/a.mp4", 7, None),
        ("went-on", "completed", now - SECOND, "today", None, None, now),
    ]
    assert sql("SELECT CAST(jobs AS text) FROM jobs WHERE id = 'old'") == untouched
    assert sql(
        "SELECT detail ->> 'rows', detail ->> 'by' FROM maintenance.audit WHERE event = 'reconcile'"
    ) == [("2", "eva")]


def test_a_row_that_moved_since_the_restore_wins(restored: BackupContext, sql: Sql) -> None:
    sql("UPDATE jobs SET status = 'processing', updated_at = now() WHERE id = 'went-on'")
    before = rows(sql)
    decide(restored, ["went-on"], "adopt", "eva")
    assert rows(sql) == before


def test_destructive_jobs_refuse_until_it_is_closed(restored: BackupContext, place: Place, sql: Sql) -> None:
    stores = restored.stores
    with pytest.raises(Paused):
        run(catalog.get("cleanup_orphan_uploads"), stores, stores.clock())
    stores.control.write("paused", None)  # an operator's `storage resume` unblocks no job
    for name in catalog.JOBS:
        with pytest.raises(Refused, match="storage reconcile"):
            run(catalog.get(name), stores, stores.clock())
    stores.control.write("paused", "restored")
    with pytest.raises(Refused, match="4 jobs are not judged yet"):
        close(restored, "eva")
    assert (pause := stores.control.paused()) and pause.reason == "restored"
    decide(restored, ["new", "lost", "went-on"], "adopt", "eva")
    with pytest.raises(Refused, match="1 jobs are not judged yet, such as 'nobody'"):
        close(restored, "eva")


def test_closed_it_condemns_the_condemned_and_keeps_the_adopted(restored: BackupContext, sql: Sql) -> None:
    stores = restored.stores
    decide(restored, ["new", "went-on"], "adopt", "eva")
    decide(restored, ["nobody", "lost"], "condemn", "eva")
    close(restored, "eva")
    assert sql("SELECT name FROM maintenance.control WHERE name IN ('paused', 'restore_epoch')") == []
    assert sql("SELECT detail ->> 'by' FROM maintenance.audit WHERE event = 'reconciled'") == [("eva",)]
    done = run(catalog.get("condemn_unreconciled"), stores, stores.clock())
    assert (done.state, done.done.count) == ("verified", 2)
    tombstones = sql(
        "SELECT key, owner, delete_after - now() > '13 days' FROM maintenance.tombstones ORDER BY key"
    )
    assert tombstones == [("uploads/lost/in.mp4", "lost", True), ("uploads/nobody/in.mp4", "nobody", True)]
    assert run(catalog.get("condemn_unreconciled"), stores, stores.clock()).done.count == 0


def test_an_adopted_orphan_is_kept_for_good(restored: BackupContext, place: Place, sql: Sql) -> None:
    decide(restored, listed(restored), "adopt", "eva")
    close(restored, "eva")
    with open_installation(place.settings, lambda: restored.stores.clock()) as stores:
        rule = catalog.get("cleanup_orphan_uploads").rule({"days_old": 1})
        later = stores.clock() + 100 * DAY
        reasons = {one.key: one.reason for one in rule.plan(rule.select(stores, later), later)}
    assert reasons["uploads/nobody/in.mp4"] == "job nobody was adopted after a restore"


def test_an_interrupted_decision_is_repeated(
    restored: BackupContext, sql: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed after the rows and before the verdicts: no job is judged, and a repetition completes it."""
    with monkeypatch.context() as patch:
        patch.setattr(verdicts.PostgresVerdicts, "record", _killed)
        with pytest.raises(KeyboardInterrupt):
            decide(restored, ["new", "lost"], "adopt", "eva")
    halfway = rows(sql)
    assert listed(restored)["new"] == ("same", True, None)
    assert decide(restored, ["new", "lost"], "adopt", "eva") == 2
    assert rows(sql) == halfway
    assert listed(restored)["new"] == ("same", True, "adopt")


def _killed(*_: Any) -> None:
    raise KeyboardInterrupt


def test_two_at_once(restored: BackupContext, place: Place, sql: Sql, now: datetime) -> None:
    """One call decides, the others find the job busy; even without the lock each row is copied once."""

    def judge(number: int) -> int:
        with open_installation(place.settings) as stores, suppress(JobBusy):
            return decide(
                BackupContext(stores=stores, settings=place.settings), ["new", "lost"], "adopt", "eva"
            )
        return 0

    with ThreadPoolExecutor(4) as pool:
        assert 2 in list(pool.map(judge, range(4)))
    assert len(rows(sql)) == 4
    sql("DELETE FROM jobs WHERE id IN ('new', 'lost')")
    name = json.loads(restored.stores.control.read("restore_epoch") or "")["kept"]

    def copy(number: int) -> int:
        with pg_reconcile.kept(place.settings.database_url, name) as kept:
            assert kept
            return kept.copy([JobId("lost"), JobId("new"), JobId("went-on")])

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(copy, range(4))) == 3
    assert len(rows(sql)) == 4


def test_a_row_the_pipeline_inserts_meanwhile_wins(restored: BackupContext, engine: Engine, sql: Sql) -> None:
    """The pipeline's row is not committed yet when the live table is read."""
    waits = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    with ThreadPoolExecutor(1) as pool:
        with engine.begin() as session:
            session.execute(text("INSERT INTO jobs (id, status) VALUES ('new', 'queued')"))
            copying = pool.submit(decide, restored, ["new"], "adopt", "eva")
            while not sql(waits) and not copying.done():
                pass
        assert copying.result() == 1
    assert sql("SELECT status FROM jobs WHERE id = 'new'") == [("queued",)]


def test_rows_that_do_not_fit_are_named(restored: BackupContext, sql: Sql) -> None:
    sql("ALTER TABLE jobs ADD CONSTRAINT keys CHECK (id <> 'lost')")
    before = rows(sql)
    with pytest.raises(NotAdopted, match='violates check constraint "keys".*adopt the other jobs by name'):
        decide(restored, ["new", "lost"], "adopt", "eva")
    assert rows(sql) == before
    assert listed(restored)["new"] == ("missing", True, None)
    decide(restored, ["new"], "adopt", "eva")
