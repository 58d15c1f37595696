"""Reaping on a real Airflow: scheduled, paused, cancelled, and with an unreachable store."""

from __future__ import annotations

import secrets
from pathlib import Path

import pytest

from devstack import stack
from tests.e2e.conftest import SETTINGS
from tests.e2e.world import World, until

DAG, APPLY, PLAN = "storage_reap", "reap.apply", "reap.plan"
CANCELLED_WITHIN = 15.0  # seconds


@pytest.fixture
def to_delete(world: World) -> str:
    """Create a failed job whose two objects are condemned and due; return its id."""
    job = f"doomed-{secrets.token_hex(4)}"
    world.sql(
        "INSERT INTO jobs (id, status, updated_at) VALUES (%s, 'failed', now() - interval '9 days')", job
    )
    for key in (f"processed/{job}/360p/video_360p.mp4", f"uploads/{job}/source.mp4"):
        world.bucket().put_object(Bucket=world.stack.env()["STORAGE_BUCKET"], Key=key, Body=b"old" * 100)
    done = world.cli("run", "cleanup_failed_jobs")
    assert done.returncode == 0, done.stderr
    world.sql(
        "UPDATE maintenance.tombstones SET delete_after = now() - interval '1 hour' WHERE owner = %s", job
    )
    assert tombstones(world, job) == {"condemned": 3}
    return job


def tombstones(world: World, job: str) -> dict[str, int]:
    query = "SELECT state, count(*) FROM maintenance.tombstones WHERE owner = %s GROUP BY state"
    return dict(world.sql(query, job))


def assert_untouched(world: World, job: str) -> None:
    assert len(objects(world, job)) == 2
    assert status(world, job) == "failed"


def assert_gone(world: World, job: str) -> None:
    assert objects(world, job) == []
    assert status(world, job) == "cleaned_up"
    assert tombstones(world, job) == {"reaped": 3}


def objects(world: World, job: str) -> list[str]:
    return [*world.keys(f"processed/{job}/"), *world.keys(f"uploads/{job}/")]


def status(world: World, job: str) -> str:
    return str(world.sql("SELECT status FROM jobs WHERE id = %s", job)[0][0])


def test_a_paused_platform_does_nothing(world: World, to_delete: str) -> None:
    """The kill switch: the run is skipped and says why; after `storage resume` the next run works."""
    assert world.cli("pause", "--reason", "a flood").returncode == 0
    run = world.trigger(DAG, {"dry_run": False})
    assert run.end() == "success", "a decision, not a failure"
    assert run.states() == {PLAN: "skipped", "reap.approve": "skipped", APPLY: "skipped"}
    log = run.log(PLAN)
    assert "Maintenance is paused since " in log
    assert " (command line): a flood. `storage resume` lifts it" in log
    assert_untouched(world, to_delete)
    assert world.cli("resume").returncode == 0
    again = world.trigger(DAG, {"dry_run": False})
    assert again.end() == "success"
    assert again.xcom(APPLY)["deleted_jobs"] == 1
    assert_gone(world, to_delete)


def test_a_run_of_the_scheduler_acts(world: World, to_delete: str) -> None:
    """A run that the schedule starts, without a request or a form, does the work."""
    known = {run.id for run in world.runs_of(DAG)}
    world.strike_the_hour(DAG)
    fresh = until(lambda: [run for run in world.runs_of(DAG) if run.id not in known], 30, "scheduled run")
    (run,) = fresh
    assert run.end() == "success"
    assert world.api.call("GET", run.path)["run_type"] == "scheduled"
    assert run.xcom(PLAN)["dry_run"] is False
    assert run.xcom(APPLY)["deleted_jobs"] == 1
    assert_gone(world, to_delete)
    asked_by = world.sql("SELECT requested_by FROM maintenance.runs WHERE id = %s", run.xcom(PLAN)["run"])
    assert asked_by == [("storage_reap, scheduled run",)]


def test_a_cancelled_run_ends_soon_and_leaves_nothing_half_done(world: World, to_delete: str) -> None:
    """Cancelled in the middle of a statement: the process ends, and the next run completes the work."""
    with world.session() as blocker:
        blocker.execute("LOCK TABLE maintenance.tombstones IN EXCLUSIVE MODE")  # reads pass, writes wait
        run = world.trigger(DAG, {"dry_run": False})
        until(lambda: blocked(world), 60, "apply that waits for the lock")
        pid = int(run.task(APPLY)["pid"])
        run.fail()
        until(lambda: not Path(f"/proc/{pid}").exists(), CANCELLED_WITHIN, f"end of process {pid}")
        assert run.end() == "failed"
    until(lambda: not blocked(world), 20, "end of the cancelled statement")
    assert world.record(run.xcom(PLAN)["run"])[0] in ("applying", "failed"), "never called verified"
    assert_untouched(world, to_delete)
    again = world.trigger(DAG, {"dry_run": False})
    assert again.end() == "success"
    assert_gone(world, to_delete)


def blocked(world: World) -> list[tuple[object, ...]]:
    return world.sql(
        "SELECT pid FROM pg_stat_activity "
        "WHERE application_name = 'storage-maintenance' AND wait_event_type = 'Lock'"
    )


def test_a_store_that_does_not_answer_is_named_and_tried_again(world: World) -> None:
    """The log names the service that does not answer and the remedy; the task waits for its next try."""
    world.stack.store.stop()
    try:
        run = world.trigger(DAG, {"dry_run": False})
        until(lambda: run.states()[PLAN] == "up_for_retry", 60, "first try that failed")
        log = run.log(PLAN)
        run.fail()
    finally:
        stack.up(world.stack.store.kind, home=world.stack.home, extra_env=SETTINGS, fsync=False)
    assert "Unreachable" in log
    assert "does not answer" in log
    assert "Check the address" in log
