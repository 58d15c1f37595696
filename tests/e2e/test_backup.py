"""Backups on a real Airflow: taking, proving, the fresh-backup guard, damage, restore."""

from __future__ import annotations

import pytest
from psycopg2 import sql

from tests.e2e.world import World

BACKUP, CLEANUP, DRILL, RESTORE = "daily_backup", "storage_cleanup", "backup_drill", "restore_database"


def newest(world: World, kind: str = "database") -> tuple[str, str]:
    query = "SELECT id, state FROM maintenance.backups WHERE kind = %s ORDER BY taken_at DESC LIMIT 1"
    found: tuple[str, str] = world.sql(query, kind)[0]
    return found


def test_the_night_takes_and_proves_both_backups(world: World) -> None:
    """A green run means restored and found equal; the results carry the documents' keys."""
    run = world.trigger(BACKUP)
    assert run.end() == "success", run.states()
    for kind, task in (("database", "backup_database"), ("metadata", "backup_minio_metadata")):
        answer = run.xcom(task)
        assert {"backup_file", "size_mb", "timestamp"} <= set(answer)
        assert newest(world, kind) == (answer["id"], "proven")
    assert run.xcom("backup_minio_metadata")["metadata_files"] > 0
    certificate = run.xcom("prove.database")
    assert certificate["rows"] >= world.sql("SELECT count(*) FROM jobs")[0][0]
    assert "throw-away server" in certificate["restored_on"]
    events = world.api.call("GET", "/api/v2/assets?name_pattern=proven_backup")
    assert [asset["name"] for asset in events["assets"]] == ["proven_backup"]


def test_without_a_fresh_backup_no_file_is_given_up(world: World) -> None:
    """The proof is 27 hours old: the clean-up of job files refuses; that of temporary objects does not."""
    world.sql("UPDATE maintenance.backups SET taken_at = taken_at - interval '27 hours'")
    try:
        run = world.trigger(CLEANUP)
        assert run.end() == "failed"
        states = run.states()
        assert states["cleanup_failed_jobs.plan"] == "failed"
        assert states["cleanup_temp_objects.plan"] == "success"
        log = run.log("cleanup_failed_jobs.plan")
        assert "fresh-backup" in log
        assert "storage backup run" in log, "it says what to do"
    finally:
        world.sql("UPDATE maintenance.backups SET taken_at = taken_at + interval '27 hours'")


def test_a_restore_beside_the_live_database_asks_first(world: World) -> None:
    rows = world.sql("SELECT count(*) FROM jobs")
    run = world.trigger(RESTORE)
    world.asks(run, "approve")
    assert f"Backup `{newest(world)[0]}`" in run.asked("approve")
    run.answer("approve", "Approve")
    assert run.end() == "success", run.states()
    made = run.xcom("restore")["database"]
    with world.stack.postgres.connect(made) as session, session.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM jobs")
        assert cursor.fetchall() == rows
    with world.stack.postgres.connect() as session, session.cursor() as cursor:
        cursor.execute(sql.SQL("DROP DATABASE {}").format(sql.Identifier(made)))


def test_the_live_database_is_not_replaced_without_its_name(world: World) -> None:
    run = world.trigger(RESTORE, {"into": "the live database", "confirm": "something"})
    assert run.end() == "failed"
    assert "type its name" in run.log("plan")


@pytest.fixture
def damaged(world: World) -> str:
    """Take a second backup and flip one bit of its dump after the proof; return the backup's id."""
    assert world.cli("backup", "run", "database").returncode == 0
    id, _ = newest(world)
    bucket, key = world.stack.env()["STORAGE_BACKUP_BUCKET"], f"database/{id}/dump.zst"
    data = bytearray(world.bucket().get_object(Bucket=bucket, Key=key)["Body"].read())
    data[len(data) // 2] ^= 1
    world.bucket().put_object(Bucket=bucket, Key=key, Body=bytes(data))
    return id


def test_a_drill_finds_a_backup_that_rots(world: World, damaged: str) -> None:
    run = world.trigger(DRILL, {"disaster": True})
    assert run.end() == "failed"
    assert "dump is not what was written" in run.log("prove_newest")
    assert newest(world) == (damaged, "failed"), "it does not count any more"
    again = world.trigger(DRILL, {"disaster": True})
    assert again.end() == "success", again.states()
    answer = again.xcom("disaster")
    assert answer["rows"] > 0
    assert answer["damaged"] == [damaged], "by its certificate it still looks good: it is passed over"
