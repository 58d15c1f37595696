"""Swapping a restored database in place of the live one: what is carried over, refusals, undo."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest
from sqlalchemy.engine import make_url

from devstack.postgres import Postgres
from storage.backup import manifest as manifests
from storage.backup.context import BackupContext
from storage.backup.database import backup_database
from storage.backup.errors import BackupDamaged, RightsMissing
from storage.backup.postgres import swap as pg_swap
from storage.backup.postgres import temporary_server
from storage.backup.prove import prove
from storage.backup.restore.swap import swap, undo_swap
from storage.core.errors import JobBusy, Paused, Refused, UsageError
from storage.core.model import Run
from storage.engine import guard
from storage.stores.postgres.connection import connect as connect_engine
from storage.stores.postgres.migrate import migrate, pending
from storage.stores.postgres.sqlfiles import folder
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
    role,
    swapped,
)

TOMBSTONE = (
    "INSERT INTO maintenance.tombstones (run_id, job, kind, place, key, size, seen, reason, delete_after) "
    "VALUES ('run-1', 'reap', 'object', 'bucket', '{key}', 1, 'etag', 'old', now())"
)


@pytest.fixture
def context(place: Place, postgres_server: Postgres) -> Iterator[BackupContext]:
    with kept_database(postgres_server) as url, context_of(place, url) as made:
        yield made


def test_the_backup_is_live_and_shut(context: BackupContext) -> None:
    """Rows written since are in the kept database; no destructive job runs before the reconciliation."""
    done = swapped(context)
    url = context.settings.database_url
    assert (count(url), count(beside(context, done.kept))) == (5, 9)
    assert done.kept.startswith(f"{live(context)}_before_")
    with pytest.raises(Paused, match=f"restored from backup {done.backup}.*by a person"):
        guard.check_environment(context.stores, context.stores.clock())
    context.stores.control.write("paused", None)
    with pytest.raises(Refused, match="restore-epoch"):
        guard.check_environment(context.stores, context.stores.clock())
    epoch = json.loads(context.stores.control.read("restore_epoch") or "")
    assert (epoch["backup"], epoch["kept"]) == (done.backup, done.kept)
    assert datetime.fromisoformat(epoch["taken_at"]) < datetime.fromisoformat(epoch["restored_at"])
    context.stores.control.write("restore_epoch", None)
    guard.check_environment(context.stores, context.stores.clock())
    assert json.loads(context.stores.control.read("kept_database") or "")["name"] == done.kept


@ONE_STORE
def test_what_the_platform_knew_comes_along(context: BackupContext) -> None:
    """Newer runs, batches, backups, uploads and audit are carried over; no tombstone or claim stays open."""
    url = context.settings.database_url
    execute(
        url,
        TOMBSTONE.format(key="a"),
        "INSERT INTO maintenance.claims (owner, run_id) VALUES ('key-a-1', 'r')",
    )
    _record_run(context, "run-old", "applying")
    id = backup_database(context).id
    _record_run(context, "run-old", "verified")
    _record_run(context, "run-new", "verified")
    execute(
        url,
        TOMBSTONE.format(key="b"),
        "INSERT INTO maintenance.batches VALUES ('run-new', '', 1, 1, 0, 0, 0, 0, 0, '{3,4}', '[]')",
        "INSERT INTO maintenance.uploads (upload_id, bucket, key) VALUES ('u', 'b', E'a\\tb\\\\')",
    )  # fmt: skip
    proven = prove(context, id)
    context.stores.audit.record("a-test", "run-new", {"said": 'a\t"b"\\'})
    trail = "SELECT event, run_id, detail, at, actor FROM maintenance.audit ORDER BY at, event"
    before = execute(url, trail)
    swap(context, id, typed=live(context), by="a person")
    runs = {run.id: run for run in context.stores.runs.latest()}
    assert {name: run.state for name, run in runs.items()} == {"run-old": "verified", "run-new": "verified"}
    assert context.stores.runs.finished("run-new") == {1: (3, 4)}
    assert context.stores.catalogue.get(id) == proven
    assert execute(url, "SELECT key FROM maintenance.uploads WHERE upload_id = 'u'") == [("a\tb\\",)]
    after = execute(url, trail)
    assert [row for row in after if row in before] == before
    assert [row[0] for row in after if row not in before] == ["swap"]
    assert execute(url, "SELECT count(*) - count(DISTINCT id) FROM maintenance.audit") == [(0,)]
    context.stores.audit.record("one-more", "", {})
    assert execute(url, "SELECT key, state, note FROM maintenance.tombstones") == [
        ("a", "undone", "restored")
    ]
    assert execute(url, "SELECT owner FROM maintenance.claims WHERE closed_at IS NULL") == []


def _record_run(context: BackupContext, id: str, state: str) -> None:
    now = context.stores.clock()
    context.stores.runs.save(Run(id=id, job="reap", as_of=now, state=state, started_at=now))  # type: ignore[arg-type]


@ONE_STORE
def test_an_older_schema_is_brought_up_to_date(context: BackupContext, tmp_path: Path) -> None:
    """The backup is older than the catalogue of backups."""
    url, copy = context.settings.database_url, beside(context, f"{live(context)}_copy")
    shutil.copytree(folder(), tmp_path / "sql")
    for path in (tmp_path / "sql" / "migrations").glob("*.sql"):
        if not path.name.startswith("0001"):
            path.unlink()
    execute(url, f"CREATE DATABASE {live(context)}_copy")
    engine = connect_engine(copy)
    migrate(engine, tmp_path / "sql")
    engine.dispose()
    add_jobs(copy, "old", 2)
    id = backup_database(replace(context, settings=replace(context.settings, database_url=copy))).id
    proven = prove(context, id)
    swap(context, id, typed=live(context), by="a person")
    assert count(url) == 2
    assert context.stores.catalogue.get(id) == proven
    engine = connect_engine(url)
    assert pending(engine) == []
    engine.dispose()


@ONE_STORE
@pytest.mark.parametrize(
    "lost", ["DROP SCHEMA maintenance CASCADE", "DROP TABLE maintenance.audit, jobs CASCADE"]
)
def test_a_ruined_live_database_is_replaced(context: BackupContext, lost: str) -> None:
    id = backup_database(context).id
    execute(context.settings.database_url, lost)
    done = swap(context, id, typed=live(context), by="a person")
    assert count(context.settings.database_url) == 5
    assert done.kept


@ONE_STORE
def test_what_is_refused_leaves_all_as_it_was(context: BackupContext, postgres_server: Postgres) -> None:
    id = backup_database(context).id
    before = databases(postgres_server)
    for typed in ("", "other"):
        with pytest.raises(UsageError, match="type its name"):
            swap(context, id, typed=typed, by="a person")
    with pytest.raises(UsageError, match="nothing to go back to"):
        undo_swap(context, typed=live(context), by="a person")
    for right, why in (("NOCREATEDB", "may not create or rename"), ("CREATEDB", "belongs to another role")):
        weak = make_url(role(postgres_server, "weak", right)).set(database=live(context))
        settings = replace(context.settings, database_url=weak.render_as_string(hide_password=False))
        with pytest.raises(RightsMissing, match=why):
            swap(replace(context, settings=settings), id, typed=live(context), by="a person")
    with (
        pg_swap.open_admin(context.settings.database_url, live(context)),
        pytest.raises(JobBusy, match=live(context)),
    ):
        swap(context, id, typed=live(context), by="a person")
    with postgres_server.connect(live(context)) as admin, admin.cursor() as cursor:
        cursor.execute("CREATE TABLE theirs (a int)")
        cursor.execute("ALTER TABLE theirs OWNER TO maintainer")
    with pytest.raises(RightsMissing, match="given back to their owners maintainer"):
        swap(context, id, typed=live(context), by="a person")
    assert databases(postgres_server) == before
    assert context.stores.control.paused() is None


@ONE_STORE
def test_a_manifest_that_was_exchanged(context: BackupContext, place: Place) -> None:
    """The manifest was rewritten with a valid inner hash, but the catalogue records another one."""
    id = backup_database(context).id
    manifest, _ = manifests.read(id, context.stores.backup_bucket)
    body = manifests.encode(replace(manifest, previous="0" * 64))
    place.boto.put_object(Bucket=place.settings.backup_bucket, Key=manifest.key, Body=body)
    with pytest.raises(BackupDamaged, match="not the one that was written"):
        swap(context, id, typed=live(context), by="a person")


@ONE_STORE
def test_the_database_itself_is_like_the_old_one(context: BackupContext, postgres_server: Postgres) -> None:
    """Properties that no dump holds: who may connect, settings, connection limit and comment."""
    url, name = context.settings.database_url, live(context)
    execute(
        url, f"REVOKE ALL ON DATABASE {name} FROM PUBLIC", f"COMMENT ON DATABASE {name} IS 'theirs'",
        f'ALTER DATABASE {name} SET search_path = "$user", public, "Odd one"',
        f"ALTER DATABASE {name} SET work_mem = '7MB'", f"ALTER ROLE keeper IN DATABASE {name} SET jit = off",
        f"ALTER DATABASE {name} CONNECTION LIMIT 50",
    )  # fmt: skip
    answer = (
        "SELECT datconnlimit, datacl::text, shobj_description(d.oid, 'pg_database'), "
        "(SELECT array_agg(setrole::text || setconfig::text ORDER BY setrole) FROM pg_db_role_setting "
        "WHERE setdatabase = d.oid) FROM pg_database AS d WHERE datname = current_database()"
    )
    execute(url, "GRANT SELECT ON jobs TO maintainer")
    before = execute(url, answer)
    swapped(context)
    assert execute(url, answer) == before
    assert execute(url, "SELECT has_table_privilege('maintainer', 'jobs', 'SELECT')") == [(True,)]


@ONE_STORE
def test_a_long_name_still_fits(place: Place, postgres_server: Postgres) -> None:
    long = "é" * 31
    with kept_database(postgres_server) as url:
        execute(
            temporary_server.beside(url, "postgres"),
            f'ALTER DATABASE "{make_url(url).database}" RENAME TO "{long}"',
        )
        with context_of(place, temporary_server.beside(url, long)) as context:
            done = swapped(context)
            assert len(done.kept.encode()) <= 63
            assert done.kept in databases(postgres_server)
            assert undo_swap(context, typed=long, by="a person").database == long
