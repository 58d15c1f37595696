"""Pruning of records in memory: what goes and what stays."""

from __future__ import annotations

import gzip
import hashlib
from dataclasses import replace
from typing import Any

import pytest

from storage.core.errors import ActionsFailed
from storage.core.model import ObjectKey, RunState
from storage.engine.plan import lines
from storage.engine.sweep import HISTORY
from storage.records import policy
from storage.records.search import deleted
from tests.support.in_memory import DAY, HOUR, World
from tests.support.old_runs import (
    JOB,
    LOGS,
    OLD,
    PLANS,
    files,
    first,
    found,
    in_state,
    nights,
    world_with_an_old_run,
)
from tests.support.runs import apply


@pytest.fixture
def world() -> World:
    return world_with_an_old_run()


def copies(world: World, count: int, **values: Any) -> None:
    """Add runs like the first one, an hour younger, so that it is not among the newest of its state."""
    run = first(world)
    for number in range(count):
        id = f"{values['state']}-{number:02}"
        world.database.runs[id] = replace(run, id=id, started_at=run.as_of + HOUR, **values)


def test_an_old_run_goes_and_its_deletions_are_known(world: World) -> None:
    run = first(world)
    [before] = deleted("temp/a", world.stores)[0]
    assert before.run == run.id
    done = world.run("prune_records")
    assert (done.state, done.done.count) == ("verified", 1)
    assert world.stores.runs.get(run.id) is None
    assert not [key for key in world.database.batches if key[0] == run.id]
    assert files(world, LOGS) == [f"deletions/2026-03/{run.id}.jsonl.gz"]
    assert run.id not in "".join(files(world, PLANS))
    assert deleted("temp/a", world.stores) == ([before], [])


def test_the_newest_runs_of_a_job_and_state_are_kept(world: World) -> None:
    world.run("prune_records")
    assert len(world.stores.runs.latest(JOB, 100)) == HISTORY


def test_nothing_to_prune_leaves_one_run_and_no_file(world: World) -> None:
    world.run("prune_records")
    before, runs = files(world, PLANS), len(world.database.runs)
    done = world.run("prune_records")
    assert (done.plan_uri, done.planned.count, files(world, PLANS)) == ("", 0, before)
    assert len(world.database.runs) == runs + 1


def test_its_own_records_go_as_well(world: World) -> None:
    own = world.run("prune_records")
    for _ in range(HISTORY):
        world.time += HOUR
        world.run("prune_records")
    world.time += OLD
    world.run("prune_records")
    assert world.stores.runs.get(own.id) is None
    assert own.id not in "".join(files(world, PLANS))


@pytest.mark.parametrize("state", ["applying", "waiting"])
def test_a_run_in_flight_or_waiting_stays(world: World, state: RunState) -> None:
    in_state(world, first(world), state)
    assert world.run("prune_records").planned.count == 0


@pytest.mark.parametrize("state", ["planned", "refused", "rejected", "failed"])
def test_a_run_in_another_final_state_goes(world: World, state: RunState) -> None:
    copies(world, HISTORY, state=state)
    run = first(world)
    in_state(world, run, state)
    if state != "failed":
        world.database.batches.pop((run.id, run.plan_sha256))
    world.run("prune_records")
    assert run.id not in world.database.runs
    assert f"{state}-00" in world.database.runs
    assert found(world) == ([run.id] if state == "failed" else [])


def test_a_run_that_ended_lately_stays_however_early_it_started(world: World) -> None:
    run = first(world)
    world.database.runs[run.id] = replace(run, finished_at=world.time - 89 * DAY)
    assert world.run("prune_records").planned.count == 0


def test_the_plan_of_a_refused_run_goes_too(world: World) -> None:
    """Its file was written before the guard refused it; its row does not name it."""
    copies(world, HISTORY, state="refused")
    gone = replace(first(world), id="refused", state="refused", plan_uri="", plan_sha256="")
    world.database.runs["refused"] = gone
    world.plans.put(f"plans/{JOB}/refused.jsonl.gz", b"anything")
    world.run("prune_records")
    assert "refused" not in world.database.runs
    assert world.plans.head(ObjectKey(f"plans/{JOB}/refused.jsonl.gz")) is None


def test_a_run_stays_as_long_as_a_tombstone_names_it() -> None:
    """The tombstone goes first, 90 days after it was closed, and the run on a later night."""
    world = World()
    world.job("j", "failed", 8 * DAY)
    world.put("processed/j/a", 8 * DAY)
    run = world.run("cleanup_failed_jobs")
    for _ in range(HISTORY):
        world.time += HOUR
        world.run("cleanup_failed_jobs")
    world.time += OLD
    world.run("prune_records")
    assert world.stores.runs.get(run.id) is not None, "nothing was reaped: its tombstones are open"
    assert len(world.tombstones("condemned")) == 2
    world.run("reap")
    world.run("prune_records")
    assert len(world.tombstones("reaped")) == 2, "closed a moment ago"
    world.time += OLD
    world.run("prune_records")
    assert world.tombstones() == []
    world.run("prune_records")
    assert world.stores.runs.get(run.id) is None


def test_a_run_that_is_condemned_again_in_between_stays(world: World) -> None:
    run = first(world)
    planned = world.plan("prune_records")
    world.job("j", "failed", 8 * DAY)
    world.put("processed/j/a", 8 * DAY)
    world.run("cleanup_failed_jobs")
    tombstone = world.tombstones()[0]
    world.database.tombstones[tombstone.id] = replace(tombstone, run_id=run.id)
    done = apply(planned.id, world.stores)
    assert (done.skipped.count, world.stores.runs.get(run.id)) == (1, run)


def test_the_audit_goes_by_its_age_alone(world: World) -> None:
    """The run is pruned, what the audit says of it stays for 400 days."""
    run = first(world).id
    world.run("prune_records")
    assert [event for event, of, _ in world.database.audit if of == run] == ["apply", "verified"]
    world.time += 400 * DAY - OLD - (HISTORY + 1) * HOUR
    world.run("prune_records")
    assert [event for event, of, _ in world.database.audit if of == run] == ["apply", "verified"]
    world.time += 2 * HOUR
    world.run("prune_records")
    assert run not in {of for _, of, _ in world.database.audit}


def test_a_log_goes_with_the_audit(world: World) -> None:
    world.run("prune_records")
    [log] = files(world, LOGS)
    world.time += 330 * DAY
    world.run("prune_records")
    assert log in files(world, LOGS), "its month is over, and 400 days after it are not"
    world.time += DAY * 25
    world.run("prune_records")
    assert log not in files(world, LOGS)
    assert found(world) == []


def test_every_version_of_a_plan_goes(world: World) -> None:
    world.plans.versioned = True
    run = first(world)
    key = ObjectKey(run.plan_uri.partition("maintenance/")[2])
    data = gzip.compress(b"".join(lines(run, world.plans)), 3, mtime=0)
    world.plans.put(key, data)
    again = replace(run, plan_sha256=hashlib.sha256(data).hexdigest())
    world.database.runs[run.id] = again
    assert world.run("prune_records").done.count == 1
    assert world.plans._versions.get(key, []) == []


def test_a_plan_that_was_altered_stays_with_its_run(world: World) -> None:
    run = first(world)
    world.plans.put(run.plan_uri.partition("maintenance/")[2], b"forged")
    done = world.run("prune_records")
    assert (done.done.count, done.skipped.count) == (0, 1)
    assert world.stores.runs.get(run.id) == run
    assert deleted("temp/a", world.stores) == ([], [run.plan_uri])


def test_a_plan_that_is_gone_does_not_keep_its_run(world: World) -> None:
    """Another rule of the bucket deleted it, or a restored database brought a pruned run back."""
    run = first(world)
    world.plans._versions.pop(run.plan_uri.partition("maintenance/")[2])
    assert world.run("prune_records").done.count == 1
    assert world.stores.runs.get(run.id) is None


def test_a_plan_in_another_bucket_keeps_its_run(world: World) -> None:
    run = first(world)
    world.database.runs[run.id] = replace(run, plan_uri="s3://of-old/plans/x")
    assert world.run("prune_records").planned.count == 0


def test_a_plan_that_the_store_does_not_delete_keeps_its_run(world: World) -> None:
    run = first(world)
    world.plans.failing[run.plan_uri.partition("maintenance/")[2]] = "AccessDenied"
    with pytest.raises(ActionsFailed, match="AccessDenied"):
        world.run("prune_records")
    assert world.stores.runs.get(run.id) == run
    assert found(world) == [run.id]


def test_a_failed_run_is_not_pruned_while_its_job_is_at_work(world: World) -> None:
    copies(world, HISTORY, state="failed")
    run = first(world)
    world.database.runs[run.id] = replace(run, state="failed")
    with world.stores.runs.lock(JOB):
        done = world.run("prune_records")
    assert (done.done.count, done.skipped.count) == (0, 1)
    assert world.stores.runs.get(run.id) is not None


def test_each_run_removes_a_bounded_number(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policy, "MOST_RUNS", 2)
    nights(world, 3)
    world.time += OLD
    assert world.run("prune_records").done.count == 2
    assert world.run("prune_records").done.count == 2
    assert world.run("prune_records").done.count == 0
