"""What a swap carries that no dump holds, and what it cannot carry: found before anything is restored."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from devstack import postgres
from devstack.postgres import Postgres
from storage.backup import manifest as manifests
from storage.backup.context import BackupContext
from storage.backup.database import backup_database
from storage.backup.errors import LeftBehind, NotLikeLive
from storage.backup.model import BackupId
from storage.backup.postgres import properties
from storage.backup.restore.swap import swap, undo_swap
from storage.core.errors import StorageError
from tests.conftest import Place
from tests.support.plain_owner import (
    ONE_STORE,
    beside,
    context_of,
    databases,
    execute,
    kept_database,
    live,
)
from tests.support.servers import server_folder

STORED = (
    "SELECT setrole::regrole::text, setconfig FROM pg_db_role_setting WHERE setdatabase = "
    "(SELECT oid FROM pg_database WHERE datname = current_database()) ORDER BY 1"
)


@pytest.fixture
def context(place: Place, postgres_server: Postgres) -> Iterator[BackupContext]:
    """Open the context as a superuser, who alone may set libraries to preload."""
    with kept_database(postgres_server) as url, context_of(place, url) as made:
        admin = postgres_server.dsn(live(made), "postgres", postgres_server.password)
        yield replace(made, settings=replace(made.settings, database_url=admin))


@ONE_STORE
def test_settings_that_are_lists(context: BackupContext) -> None:
    """Two libraries are two, not one of a long name, with which nobody could connect any more."""
    url, name = context.settings.database_url, live(context)
    alter = f"ALTER ROLE keeper IN DATABASE {name} SET"
    execute(
        url, f"ALTER DATABASE {name} SET session_preload_libraries = 'auto_explain', 'passwordcheck'",
        f"{alter} session_preload_libraries = 'passwordcheck', 'auto_explain'",
        f"ALTER ROLE maintainer IN DATABASE {name} SET my.words = E'a \\\\ \\'b\\', c'",
    )  # fmt: skip
    before, id = execute(url, STORED), backup_database(context).id
    done = swap(context, id, typed=name, by="a person")
    assert execute(url, STORED) == before
    assert execute(url, "SHOW session_preload_libraries") == [("auto_explain, passwordcheck",)]
    assert execute(beside(context, done.kept), "SELECT 1") == [(1,)]
    assert undo_swap(context, typed=name, by="a person").database == name


@ONE_STORE
def test_what_would_shut_everybody_out(context: BackupContext, place: Place) -> None:
    """Found before the restore, which could not even begin here: the dump is gone from the bucket."""
    url, name = context.settings.database_url, live(context)
    id = without_dump(context, place)
    set_up = f"ALTER ROLE maintainer IN DATABASE {name} SET session_preload_libraries"
    execute(url, f"{set_up} = 'auto_explain', 'no_such_library'")
    answer = refused(context, id, NotLikeLive)
    assert "session_preload_libraries" in answer and "of the role maintainer" in answer
    assert 'could not access file "no_such_library"' in answer
    execute(url, f"ALTER ROLE maintainer IN DATABASE {name} RESET session_preload_libraries")
    assert "RESET session_preload_libraries" in answer
    execute(
        url, "SET allow_system_table_mods = on",
        "INSERT INTO pg_shseclabel SELECT oid, 'pg_database'::regclass, 'selinux', 'secret' FROM pg_database "
        f"WHERE datname = '{name}'",
    )  # fmt: skip
    assert 'label provider "selinux" is not loaded' in refused(context, id, StorageError)


def without_dump(context: BackupContext, place: Place) -> BackupId:
    """Take a backup and delete its dump, so that no restore of it can begin."""
    id = backup_database(context).id
    manifest, _ = manifests.read(id, context.stores.backup_bucket)
    place.boto.delete_object(Bucket=place.settings.backup_bucket, Key=manifest.part("dump").key)
    return id


def refused(context: BackupContext, id: BackupId, error: type[StorageError]) -> str:
    """Try to swap; return what is said. Nothing is left of the attempt."""
    admin, answer = beside(context, "postgres"), "SELECT datname FROM pg_database ORDER BY 1"
    before = execute(admin, answer)
    with pytest.raises(error) as said:
        swap(context, id, typed=live(context), by="a person")
    assert execute(admin, answer) == before
    assert context.stores.control.paused() is None
    return str(said.value)


def test_how_options_are_written() -> None:
    assert properties.escaped("a b\\'\t") == "a\\ b\\\\'\\\t"


@pytest.fixture(scope="module")
def logical(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    """Start a server with logical replication and prepared transactions."""
    folder = server_folder(tmp_path_factory.mktemp("logical"))
    first = postgres.start(folder, fsync=False)
    with first.connect() as session, session.cursor() as cursor:
        cursor.execute("ALTER SYSTEM SET wal_level = logical")
        cursor.execute("ALTER SYSTEM SET max_prepared_transactions = 5")
        cursor.execute("CREATE ROLE maintainer")
    first.stop()
    server = postgres.start(folder, fsync=False)
    yield server
    server.stop()


SLOT = "SELECT pg_create_logical_replication_slot('feed', 'pgoutput')"
BOUND = {
    "the subscription s": (
        "CREATE SUBSCRIPTION s CONNECTION 'dbname=x' PUBLICATION p WITH (connect = false, slot_name = NONE)",
        "DROP SUBSCRIPTION s",
    ),
    "the replication slot feed": (SLOT, "SELECT pg_drop_replication_slot('feed')"),
    "the prepared transaction 'two phases'": (
        "BEGIN; INSERT INTO jobs (id) VALUES ('x'); PREPARE TRANSACTION 'two phases'",
        "ROLLBACK PREPARED 'two phases'",
    ),
}


@ONE_STORE
def test_what_would_be_left_behind(place: Place, logical: Postgres) -> None:
    with kept_database(logical) as url, context_of(place, url) as context:
        admin, before = logical.dsn(live(context), "postgres", logical.password), databases(logical)
        id = without_dump(context, place)
        for name, (make, remedy) in BOUND.items():
            execute(admin, make)
            answer = refused(context, id, LeftBehind)
            assert name in answer and remedy in answer, answer
            execute(admin, remedy)
        execute(
            url, "CREATE TABLE bulk AS SELECT repeat(md5(n::text), 40) FROM generate_series(1, 2000) AS n"
        )
        id, made = backup_database(context).id, list[object]()

        def arrive(what: str, done: int) -> None:
            if not made:
                made.append(execute(admin, BOUND["the prepared transaction 'two phases'"][0]))

        with pytest.raises(LeftBehind, match="the prepared transaction 'two phases'"):
            swap(context, id, typed=live(context), by="a person", progress=arrive)
        assert databases(logical) == before
        execute(admin, "ROLLBACK PREPARED 'two phases'")
        swap(context, id, typed=live(context), by="a person")
        execute(admin, SLOT)
        with pytest.raises(LeftBehind, match="the replication slot feed"):
            undo_swap(context, typed=live(context), by="a person")
        execute(admin, BOUND["the replication slot feed"][1])
