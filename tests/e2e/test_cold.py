"""Cold storage on a real Airflow: planned, carried out by mapped tasks, recorded once."""

from __future__ import annotations

import pytest

from tests.e2e.world import World

DAG, JOB = "cold_storage", "cold_storage"
STEPS = ("follow_up_transitions", "compress_cold_objects", "transition_tiers")


@pytest.fixture(autouse=True)
def probed(world: World) -> None:
    """Probe the store: compression requires proof that it replaces no object but the one that was read."""
    assert world.cli("probe").returncode == 0


def stored(world: World) -> dict[str, int]:
    bucket = world.stack.env()["STORAGE_BUCKET"]
    pages = world.bucket().get_paginator("list_objects_v2").paginate(Bucket=bucket)
    return {one["Key"]: one["Size"] for page in pages for one in page.get("Contents", ())}


def test_a_manual_run_only_plans(world: World) -> None:
    before = stored(world)
    run = world.trigger(DAG)
    assert run.end() == "success", run.states()
    states = run.states()
    assert {states[f"{JOB}.{step}"] for step in STEPS} == {"skipped"}
    answer = run.xcom(f"{JOB}.record")
    assert answer["dry_run"]
    assert answer["planned"] > 0
    assert stored(world) == before


def test_asked_to_act_it_compresses_in_parts_and_accounts_for_it(world: World) -> None:
    """The ledger equals the difference of two listings, and a second run finds nothing to do."""
    before = stored(world)
    asked = {"dry_run": False, "classes": ["transcripts", "audio"]}
    run = world.trigger(DAG, asked)
    assert run.end() == "success", run.states()
    parts = [
        one
        for one in world.api.task_instances(DAG, run.id)
        if one["task_id"] == f"{JOB}.compress_cold_objects"
    ]
    assert [one["state"] for one in parts] == ["success"] * 4
    assert sorted(one["rendered_map_index"] for one in parts) == [f"{n} of 4" for n in (1, 2, 3, 4)]
    answer, after = run.xcom(f"{JOB}.record"), stored(world)
    assert answer["failed"] == 0
    changed = {key for key in before if before[key] != after[key]}
    assert changed
    assert all("/transcription/" in key or "/audio/" in key for key in changed)
    ((saved,),) = world.sql("SELECT sum(before_bytes - after_bytes) FROM maintenance.savings")
    assert saved == sum(before[key] - after[key] for key in changed)
    assert "Saved by compression" in run.log(f"{JOB}.record")
    again = world.trigger(DAG, asked)
    assert again.end() == "success", again.states()
    assert again.xcom(f"{JOB}.record")["done"] == 0
    assert stored(world) == after


def test_while_maintenance_is_paused_nothing_begins(world: World) -> None:
    before = stored(world)
    world.sql("INSERT INTO maintenance.control (name, value) VALUES ('paused', 'a rest')")
    run = world.trigger(DAG, {"dry_run": False})
    assert run.end() == "success"
    assert set(run.states().values()) == {"skipped"}
    assert "a rest" in run.log(f"{JOB}.plan")
    assert stored(world) == before
