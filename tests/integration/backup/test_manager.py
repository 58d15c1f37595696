"""``BackupManager``, the documents' interface, on real servers: its methods and their result keys."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from psycopg2 import sql
from sqlalchemy.engine import make_url

from devstack.postgres import Postgres
from storage.backup import BackupManager
from storage.backup.errors import NoSuchBackup
from storage.core.errors import InvalidName
from storage.installation import open_installation
from tests.conftest import Place


@pytest.fixture
def manager(place: Place, postgres_server: Postgres) -> BackupManager:
    """Return a manager whose role may create databases, as a restore beside the live database needs."""
    with postgres_server.connect() as session, session.cursor() as cursor:
        cursor.execute("ALTER ROLE maintainer CREATEDB")
    return BackupManager(settings=replace(place.settings))


def test_backup_restore(
    manager: BackupManager, place: Place, add_job: Callable[..., None], postgres_server: Postgres
) -> None:
    """Back up, prove, restore beside the live database: that stays as it is, and the copy is equal."""
    add_job("job-1", "completed", datetime(2026, 3, 1, tzinfo=UTC))
    taken = manager.backup_database()
    assert {"backup_file", "size_mb", "timestamp"} <= set(taken)
    assert taken["state"] == "proven"
    add_job("job-2", "completed", datetime(2026, 3, 2, tzinfo=UTC))
    answer = manager.restore_database(taken["backup_file"])
    try:
        assert answer["status"] == "restored"
        assert answer["backup_file"] == taken["backup_file"]
        assert rows(postgres_server, answer["database"]) == ["job-1"]
        live = str(make_url(place.settings.database_url).database)
        assert rows(postgres_server, live) == ["job-1", "job-2"]
    finally:
        with postgres_server.connect() as session, session.cursor() as cursor:
            cursor.execute(sql.SQL("DROP DATABASE {}").format(sql.Identifier(answer["database"])))


def rows(server: Postgres, database: str) -> list[str]:
    with server.connect(database) as session, session.cursor() as cursor:
        cursor.execute("SELECT id FROM jobs ORDER BY id")
        return [row[0] for row in cursor.fetchall()]


def test_metadata(manager: BackupManager, place: Place) -> None:
    place.put("processed/job-1/metadata.json", b'{"a": 1}')
    place.put("processed/job-1/segment.ts")
    answer = manager.backup_minio_metadata()
    assert {"backup_file", "metadata_files", "size_mb"} <= set(answer)
    assert answer["metadata_files"] == 1
    assert answer["state"] == "proven"


def test_a_restore_of_what_is_not_there_is_no_success(manager: BackupManager) -> None:
    """The documents' code answered 'restored' to a file that did not exist."""
    with pytest.raises(NoSuchBackup, match="storage backup list"):
        manager.restore_database("database/20260101T000000Z-00000000")
    with pytest.raises(InvalidName):
        manager.restore_database("/data/backups/postgres_20250101_000000.sql.gz")


def test_young_backups_are_kept(manager: BackupManager, place: Place) -> None:
    for _ in range(2):
        manager.backup_database()
    answer = manager.cleanup_old_backups(days=30)
    assert answer["done"] == 0
    with open_installation(place.settings) as stores:
        assert [one.state for one in stores.catalogue.all()] == ["proven", "proven"]
