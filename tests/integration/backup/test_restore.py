"""Restoring a database from the store alone, and refusals before anything is created."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pyrage
import pytest

from devstack.postgres import Postgres
from storage import connect
from storage.backup import manifest as manifests
from storage.backup.connect import open_backup_bucket
from storage.backup.context import BackupContext
from storage.backup.database import backup_database
from storage.backup.encryption import identities
from storage.backup.errors import (
    BackupDamaged,
    NoKey,
    NoSuchBackup,
    RightsMissing,
    ServerTooOld,
    TargetInUse,
    TargetLeft,
)
from storage.backup.postgres import fingerprint, swap, temporary_server
from storage.backup.prove import differences
from storage.backup.restore.database import globals_sql, restore
from storage.core.errors import InvalidName, JobBusy, Paused, UsageError
from storage.core.ports import ObjectStore
from storage.engine import guard
from storage.installation import open_installation
from tests.conftest import PASSWORD, Place
from tests.support.plain_owner import (
    ONE_STORE,
    add_jobs,
    context_of,
    count,
    databases,
    execute,
    kept_database,
    live,
    role,
)


@pytest.fixture
def context(place: Place, postgres_server: Postgres) -> Iterator[BackupContext]:
    with kept_database(postgres_server) as url, context_of(place, url) as made:
        yield made


def test_into_a_new_database(context: BackupContext, postgres_server: Postgres) -> None:
    id = backup_database(context).id
    add_jobs(context.settings.database_url, "later", 5)
    answer: list[tuple[str, int]] = []
    made = restore(
        context.settings, open_backup_bucket(context.settings), id, progress=lambda *one: answer.append(one)
    )
    assert made.database == f"restored_{id.replace('-', '_').lower()}"
    assert (count(made.url), count(context.settings.database_url)) == (5, 10)
    manifest, _ = manifests.read(id, context.stores.backup_bucket)
    assert differences(manifest.database, fingerprint.facts(made.url)) == []
    assert made.rows == manifest.database.rows
    assert PASSWORD not in repr(made)
    with pytest.raises(TargetInUse, match="it is not empty"):
        restore(context.settings, context.stores.backup_bucket, id)
    assert made.database in databases(postgres_server)


@ONE_STORE
def test_into_a_named_database(context: BackupContext, postgres_server: Postgres) -> None:
    """The name is typed twice; the database is created, or used if it is empty and without sessions."""
    id, name = backup_database(context).id, f"{live(context)}_back"
    for typed in ("", "other"):
        with pytest.raises(UsageError, match="type its name twice"):
            restore(context.settings, context.stores.backup_bucket, id, into=name, typed=typed)
    with pytest.raises(InvalidName, match="1 to 63 bytes"):
        restore(context.settings, context.stores.backup_bucket, id, into="é" * 32, typed="é" * 32)
    made = restore(context.settings, context.stores.backup_bucket, id, into=name, typed=name)
    assert (made.database, count(made.url)) == (name, 5)
    postgres_server.create_database(f"{name}_there", "keeper", PASSWORD)
    into = {"into": f"{name}_there", "typed": f"{name}_there"}
    busy = pytest.raises(TargetInUse, match="as postgres is connected to it")
    with postgres_server.connect(f"{name}_there"), busy:
        restore(context.settings, context.stores.backup_bucket, id, **into)
    admin = replace(context.settings, database_url=role(postgres_server, "reader", "NOCREATEDB"))
    with postgres_server.connect(f"{name}_there") as session, session.cursor() as cursor:
        cursor.execute(f"GRANT CREATE ON DATABASE {name}_there TO reader")
        cursor.execute("GRANT ALL ON SCHEMA public TO reader")
    assert (
        count(restore(admin, context.stores.backup_bucket, id, **into).url) == 5
    )  # although it may not create a database


@ONE_STORE
@pytest.mark.parametrize("what", ["TABLE x ()", "SEQUENCE s", "VIEW v AS SELECT 1"])
def test_never_into_one_that_holds_anything(context: BackupContext, what: str) -> None:
    id, name = backup_database(context).id, f"{live(context)}_full"
    url = temporary_server.beside(context.settings.database_url, name)
    execute(context.settings.database_url, f"CREATE DATABASE {name}")
    execute(url, "CREATE SCHEMA odd", f"CREATE {what.replace(' ', ' odd.', 1)}")
    with pytest.raises(TargetInUse, match="it is not empty: it holds (table|sequence|view|schema) odd"):
        restore(context.settings, context.stores.backup_bucket, id, into=name, typed=name)
    assert execute(url, "SELECT count(*) FROM pg_namespace WHERE nspname = 'maintenance'") == [(0,)]


@ONE_STORE
def test_never_into_the_live_one_or_a_template(context: BackupContext) -> None:
    id = backup_database(context).id
    context.stores.runs.latest()  # our own pool is a session as well, and not exempt
    for name, why in ((live(context), "connected to it|use a swap"), ("template1", "template")):
        with pytest.raises(TargetInUse, match=why):
            restore(context.settings, context.stores.backup_bucket, id, into=name, typed=name)
    assert count(context.settings.database_url) == 5


@ONE_STORE
def test_after_a_disaster_the_live_name_is_made_anew_and_shut(
    context: BackupContext, postgres_server: Postgres
) -> None:
    """The database is lost; recreated under its name it is paused, has an epoch, and condemns nothing."""
    url, name = context.settings.database_url, live(context)
    execute(url, CONDEMNED)
    id = backup_database(context).id
    with postgres_server.connect() as session, session.cursor() as cursor:
        cursor.execute(f"DROP DATABASE {name} WITH (FORCE)")
    backup_bucket = open_backup_bucket(context.settings)
    made = restore(context.settings, backup_bucket, id, into=name, typed=name)
    assert (made.database, count(url)) == (name, 5)
    assert execute(url, "SELECT state, note FROM maintenance.tombstones") == [("undone", "restored")]
    connect.set_up(context.settings)
    with open_installation(context.settings) as stores:
        with pytest.raises(Paused, match="restored from backup"):
            guard.check_environment(stores, stores.clock())
        stores.control.write("paused", None)
        with pytest.raises(Exception, match="restore-epoch"):
            guard.check_environment(stores, stores.clock())


CONDEMNED = (
    "INSERT INTO maintenance.tombstones (run_id, job, kind, place, key, size, seen, reason, delete_after) "
    "VALUES ('run-1', 'reap', 'object', 'bucket', 'a', 1, 'etag', 'old', now())"
)


@ONE_STORE
def test_what_fails_leaves_no_database(
    context: BackupContext, place: Place, postgres_server: Postgres
) -> None:
    id = backup_database(context).id
    bucket, key = place.settings.backup_bucket, f"database/{id}/dump.zst"
    body = place.boto.get_object(Bucket=bucket, Key=key)["Body"].read()
    place.boto.put_object(Bucket=bucket, Key=key, Body=body[:-1])
    before = databases(postgres_server)
    with pytest.raises(BackupDamaged, match="bytes, not"):
        restore(context.settings, context.stores.backup_bucket, id)
    assert databases(postgres_server) == before
    execute(context.settings.database_url, f"CREATE DATABASE {live(context)}_mine")
    with pytest.raises(TargetLeft, match="was not dropped; empty it to try again: The backup is damaged"):
        restore(
            context.settings,
            context.stores.backup_bucket,
            id,
            into=f"{live(context)}_mine",
            typed=f"{live(context)}_mine",
        )
    assert databases(postgres_server) == sorted([*before, f"{live(context)}_mine"])


@ONE_STORE
def test_what_a_killed_restore_left_is_made_anew(context: BackupContext) -> None:
    id = backup_database(context).id
    url, name = context.settings.database_url, f"restored_{id.replace('-', '_').lower()}"
    execute(url, f"CREATE DATABASE {name}", f"COMMENT ON DATABASE {name} IS '{swap.UNFINISHED}'")
    execute(temporary_server.beside(url, name), "CREATE TABLE jobs (half int)")
    with swap.open_admin(url, name), pytest.raises(JobBusy, match=name):
        restore(context.settings, context.stores.backup_bucket, id)
    assert count(restore(context.settings, context.stores.backup_bucket, id).url) == 5


@ONE_STORE
def test_what_is_wrong_is_said_before_anything_is_made(
    context: BackupContext, place: Place, postgres_server: Postgres, tmp_path: Path
) -> None:
    id = backup_database(context).id
    before = databases(postgres_server)
    weak = replace(context.settings, database_url=role(postgres_server, "reader", "NOCREATEDB"))
    with pytest.raises(RightsMissing, match="permission denied to create database"):
        restore(weak, context.stores.backup_bucket, id)
    with pytest.raises(NoSuchBackup, match="20200101T000000Z-00000000"):
        restore(context.settings, context.stores.backup_bucket, type(id)("20200101T000000Z-00000000"))
    newer = f"{int(postgres_server.version.partition('.')[0]) + 1}.0"
    with pytest.raises(ServerTooOld, match=f"is of PostgreSQL {newer[:2]}"):
        restore(context.settings, _of_version(context, place, id, newer), id)
    assert databases(postgres_server) == before


def _of_version(context: BackupContext, place: Place, id: manifests.BackupId, version: str) -> ObjectStore:
    manifest, _ = manifests.read(id, context.stores.backup_bucket)
    edited = replace(manifest, facts=replace(manifest.database, version=version))
    body = manifests.encode(edited)
    place.boto.put_object(Bucket=place.settings.backup_bucket, Key=manifest.key, Body=body)
    return open_backup_bucket(context.settings)


@ONE_STORE
def test_an_encrypted_one_asks_for_its_key(context: BackupContext, tmp_path: Path) -> None:
    key = pyrage.x25519.Identity.generate()
    sealed = replace(context, settings=replace(context.settings, backup_recipients=str(key.to_public())))
    id = backup_database(sealed).id
    with pytest.raises(NoKey, match="no identity is set"):
        restore(context.settings, context.stores.backup_bucket, id)
    (tmp_path / "key").write_text(f"# a key\n{key}\n")
    opening = replace(context.settings, backup_identity_file=str(tmp_path / "key"))
    assert count(restore(opening, context.stores.backup_bucket, id).url) == 5
    manifest, _ = manifests.read(id, context.stores.backup_bucket)
    roles = globals_sql(context.stores.backup_bucket, manifest, identities(opening.backup_identity_file))
    assert "CREATE ROLE keeper;" in roles
    assert PASSWORD not in roles


@ONE_STORE
def test_owners_and_grants_where_asked(context: BackupContext, postgres_server: Postgres) -> None:
    """As the superuser does it: the roles exist and get back their ownership and grants."""
    execute(context.settings.database_url, "GRANT SELECT ON jobs TO maintainer")
    id = backup_database(context).id
    admin = postgres_server.dsn("postgres", "postgres", postgres_server.password)
    settings = replace(context.settings, database_url=admin)
    made = restore(
        settings, context.stores.backup_bucket, id, into="as_it_was", typed="as_it_was", access=True
    )
    owned = "SELECT tableowner, has_table_privilege('maintainer', 'jobs', 'SELECT') FROM pg_tables "
    assert execute(made.url, f"{owned} WHERE tablename = 'jobs'") == [("keeper", True)]
    with pytest.raises(RightsMissing, match="maintainer|keeper"):
        maker = replace(context.settings, database_url=role(postgres_server, "maker", "CREATEDB"))
        restore(maker, context.stores.backup_bucket, id, into="not_mine", typed="not_mine", access=True)
    assert "not_mine" not in databases(postgres_server)
