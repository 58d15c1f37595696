"""Tables that are truncated, rewritten, swapped, created or dropped while a backup begins."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg2
import psycopg2.errors
import pytest

from devstack import postgres
from devstack.stack import server_folder
from storage.backup import manifest as manifests
from storage.backup.context import BackupContext
from storage.backup.database import backup_database
from storage.backup.errors import TableBusy
from storage.backup.postgres import dump as pg_dump
from storage.backup.postgres import fingerprint, table_locks
from storage.backup.prove import prove
from storage.core.errors import LocksExhausted
from storage.installation import open_installation
from tests.conftest import Place
from tests.support.backup_databases import execute, session

pytestmark = pytest.mark.parametrize("place", ["ministack"], indirect=True)
ROWS = 100
FILL = f"INSERT INTO busy SELECT g, {{0}} FROM generate_series(1, {ROWS}) AS g"
DATABASE = "(SELECT oid FROM pg_database WHERE datname = current_database())"
MANY = """DO $$ BEGIN FOR n IN {first}..{last} LOOP
    EXECUTE format('CREATE TABLE t%s (a int)', n);
    FOR i IN 1..{indexes} LOOP EXECUTE format('CREATE INDEX ON t%s (a)', n); END LOOP;
    IF n % 10 = 0 THEN COMMIT; END IF; END LOOP; END $$"""
CHANGES = {
    "truncate": "TRUNCATE busy; " + FILL,
    "rewrite": "ALTER TABLE busy ALTER COLUMN round TYPE numeric; UPDATE busy SET round = {0}; "
    "ALTER TABLE busy ALTER COLUMN round TYPE bigint",
    "swap": "CREATE TABLE busy_new (LIKE busy); ALTER TABLE busy RENAME TO busy_old; "
    "ALTER TABLE busy_new RENAME TO busy; DROP TABLE busy_old; " + FILL,
    "cluster": "UPDATE busy SET round = {0}; CREATE INDEX of_busy ON busy (n); CLUSTER busy USING of_busy; "
    "DROP INDEX of_busy",
    "create": "CREATE TABLE new_{0} AS SELECT * FROM busy; UPDATE busy SET round = {0}",
}


@pytest.fixture
def context(place: Place) -> Iterator[BackupContext]:
    execute(place.settings.database_url, "CREATE TABLE busy (n integer, round bigint)", FILL.format(0))
    with open_installation(place.settings) as stores:
        yield BackupContext(stores=stores, settings=place.settings)


def changed(url: str, change: str, number: int) -> bool:
    """Change the table in one transaction, unless that has to wait; return True if it was changed."""
    with session(url) as one, one.cursor() as cursor:
        cursor.execute("SET lock_timeout = '200ms'")
        with suppress(psycopg2.errors.LockNotAvailable):
            cursor.execute(f"BEGIN; {change.format(number)}; COMMIT")
            return True
        cursor.execute("ROLLBACK")
    return False


@pytest.mark.parametrize(
    ("name", "moment"),
    [
        *(("truncate", moment) for moment in ("before the locks", "after the snapshot", "before pg_dump")),
        *((name, "after the snapshot") for name in CHANGES if name != "truncate"),
    ],
)
def test_a_change_at_the_beginning(
    context: BackupContext, monkeypatch: pytest.MonkeyPatch, name: str, moment: str
) -> None:
    """The restored table has the rows of one transaction; it was proven empty when TRUNCATE came between."""
    url, change, done = context.settings.database_url, CHANGES[name], list[bool]()
    locked, dump = table_locks.locked_snapshot, pg_dump.dump

    def snapshot(*args: object) -> None:
        if moment == "before the locks":
            done.append(changed(url, change, 1))
        locked(*args)  # type: ignore[arg-type]
        if moment == "after the snapshot":
            done.append(changed(url, change, 1))

    def dumped(*args: object) -> object:
        if moment == "before pg_dump":
            done.append(changed(url, change, 1))
        return dump(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(fingerprint, "locked_snapshot", snapshot)
    monkeypatch.setattr(pg_dump, "dump", dumped)
    taken = backup_database(context)
    monkeypatch.undo()
    assert prove(context, taken.id).state == "proven"
    assert done and done[0] is (moment == "before the locks" or name == "create")
    manifest, _ = manifests.read(taken.id, context.stores.backup_bucket)
    assert [table.rows for table in manifest.database.tables if table.name == "public.busy"] == [ROWS]


def test_a_table_created_between_list_and_lock_is_locked(
    context: BackupContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is in the snapshot, so it has to be locked as well: once more from the beginning."""
    url, lock, locked = context.settings.database_url, table_locks._lock, list[list[str]]()

    def late(session: Any, names: Iterable[str]) -> None:
        locked.append(list(names))
        if len(locked) == 1:
            execute(url, "CREATE TABLE late AS SELECT 1 AS n")
        lock(session, locked[-1])

    monkeypatch.setattr(table_locks, "_lock", late)
    monkeypatch.setattr(table_locks, "PAUSE", 0.0)
    with fingerprint.snapshot(url) as (_, _, read):
        assert not changed(url, "TRUNCATE late", 0)
        assert ("public.late", 1) in [(table.name, table.rows) for table in read().tables]
    assert ["public.late" in names for names in locked] == [False, True]


def test_a_truncate_that_waits_does_not_wait_for_pg_dump(
    context: BackupContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Queued between our lock and that of pg_dump, it would hold up both: the backup gives way."""
    url, dump, tries = context.settings.database_url, pg_dump.dump, list[threading.Thread]()

    def truncate() -> None:
        execute(url, CHANGES["truncate"].format(1))

    def dumped(*args: object) -> object:
        if not tries:
            tries.append(threading.Thread(target=truncate))
            tries[0].start()
            with session(url) as one, one.cursor() as cursor:
                waiting = f"SELECT count(*) FROM pg_locks WHERE NOT granted AND database = {DATABASE}"
                while cursor.execute(waiting) or cursor.fetchone() == (0,):
                    pass
        return dump(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(pg_dump, "dump", dumped)
    taken = backup_database(context)
    tries[0].join()
    assert prove(context, taken.id).state == "proven"
    assert execute(url, "SELECT DISTINCT round FROM busy") == [(1,)]


def test_a_table_that_stays_locked_is_named(context: BackupContext, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_locks, "WAIT", "50ms")
    monkeypatch.setattr(table_locks, "PAUSE", 0.0)
    with session(context.settings.database_url) as one, one.cursor() as cursor:
        cursor.execute("BEGIN; LOCK TABLE busy IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(TableBusy, match=r"Table public\.busy stays locked.*pg_stat_activity"):
            backup_database(context)
    assert [backup.state for backup in context.stores.catalogue.all()] == ["failed"]


def leave_room(cursor: Any, locks: int) -> None:
    """Take advisory locks until the server has room for only so many locks."""
    with suppress(psycopg2.errors.OutOfMemory):
        cursor.execute("SELECT pg_advisory_lock(g) FROM generate_series(1, 1000000) AS g")
    cursor.execute(f"SELECT count(pg_advisory_unlock(g)) FROM generate_series(1, {locks}) AS g")


def test_indexes_take_no_room_for_locks(place: Place, tmp_path: Path) -> None:
    """With room for 200 more locks, 20 tables of 20 indexes are read, and 400 tables are refused."""
    server = postgres.start(server_folder(tmp_path / "few"), fsync=False)
    try:
        url = server.dsn("postgres", server.user, server.password)
        execute(url, MANY.format(first=1, last=20, indexes=20))
        with session(url) as other, other.cursor() as cursor:
            leave_room(cursor, 200)
            with fingerprint.snapshot(url) as (_, _, read):
                assert len(read().tables) == 20
            cursor.execute("SELECT pg_advisory_unlock_all()")
            execute(url, MANY.format(first=21, last=400, indexes=0))
            leave_room(cursor, 200)
            with pytest.raises(LocksExhausted, match="max_locks_per_transaction"), fingerprint.snapshot(url):
                pass
    finally:
        server.stop()
