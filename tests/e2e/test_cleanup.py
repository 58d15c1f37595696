"""The nightly clean-up on a real Airflow: plan, approval, action, with deletions counted independently."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import pytest

from devstack.errors import AirflowApiError
from devstack.sample_objects import SURVIVORS
from devstack.witness import Changes, Snapshot, compare
from storage import catalog
from tests.e2e.world import Run, World, until

DAG = "storage_cleanup"
JOBS = (
    *("cleanup_temp_files", "cleanup_temp_objects", "abort_uploads"),
    *("cleanup_orphan_uploads", "cleanup_failed_jobs", "cleanup_stuck_jobs"),
)
HEAD = {"run", "state", "dry_run", "sha256", "uri", "considered", "planned", "planned_bytes", "explained"}
DOCUMENTED = {
    "deleted_folders",
    "freed_bytes",
    "freed_gb",
    "deleted_jobs",
    "condemned_jobs",
    "marked_as_failed",
}
SOON = 0.01  # hours; the sample's temp objects and files are older than that 36 s after loading


@pytest.fixture
def aged(world: World) -> None:
    time.sleep(max(0.0, world.loaded + 40 - time.monotonic()))


def assert_near_misses_survive(after: Snapshot) -> None:
    assert {key for key, _, _ in SURVIVORS} <= set(after.objects)


def test_the_probe_stores_what_the_endpoint_does(world: World) -> None:
    run = world.trigger("storage_probe")
    assert run.end() == "success"
    endpoint = world.stack.env()["STORAGE_ENDPOINT_URL"]
    stored = world.sql("SELECT found FROM maintenance.capabilities WHERE endpoint = %s", endpoint)
    answer = run.xcom("probe")
    plain = {name: value for name, value in stored[0][0].items() if not isinstance(value, list)}
    assert plain == {name: answer[name] for name in plain}
    assert plain["server"]
    assert plain["conditional_put"] is not None


def test_a_manual_run_only_plans(world: World) -> None:
    """The run is green, each plan's head is in its XCom, no byte, file or row of the pipeline changed."""
    before = world.snapshot()
    run = world.trigger(DAG, {"temp_hours_old": SOON})
    assert run.end() == "success"
    for job in JOBS:
        head, answer = run.xcom(f"{job}.plan"), run.xcom(f"{job}.apply")
        assert set(head) == HEAD
        assert head["dry_run"] is True
        assert answer == head, "apply hands the head on and does nothing"
        assert "Dry run" in run.log(f"{job}.apply")
        assert world.record(head["run"])[0] in ("planned", "waiting")
    assert set(run.states().values()) == {"success", "skipped"}
    assert run.xcom("cleanup_failed_jobs.plan")["planned"] > 0
    assert not compare(before, world.snapshot())
    assert world.sql("SELECT count(*) FROM maintenance.tombstones") == [(0,)]


def test_a_backfill_is_refused(world: World) -> None:
    """A job that acts on the present state cannot be run for a past date."""
    body = {"dag_id": DAG, "from_date": "2026-01-01T00:00:00Z", "to_date": "2026-01-03T00:00:00Z"}
    with pytest.raises(AirflowApiError) as refused:
        world.api.call("POST", "/api/v2/backfills", body)
    assert refused.value.status == 400
    assert "backfill" in str(refused.value)


@pytest.mark.parametrize("conf", [{"days_old": 0}, {"max_objects": 10_001}, {"dry_run": "false"}])
def test_an_unfit_form_is_refused(conf: dict[str, Any], world: World) -> None:
    with pytest.raises(AirflowApiError) as refused:
        world.trigger(DAG, conf)
    assert refused.value.status in (400, 422)


def test_beyond_a_limit_it_asks_and_obeys_the_answer(world: World, aged: None) -> None:
    """Approved: applied, with the approver's name on record. Rejected: red, and never applied.

    Meanwhile the command line does not apply an unapproved plan either.
    """
    before = world.snapshot()
    run = world.trigger(DAG, {"dry_run": False, "max_objects": 1, "temp_hours_old": SOON})
    waiting = all_that_wait(world, run)
    assert {"cleanup_temp_objects", "cleanup_failed_jobs", "cleanup_stuck_jobs"} <= waiting
    heads = {job: run.xcom(f"{job}.plan") for job in waiting}
    for head in heads.values():
        assert head["state"] == world.record(head["run"])[0] == "waiting"
        assert "allowed" in head["explained"]
    refused = world.cli("apply", heads["cleanup_failed_jobs"]["run"])
    assert refused.returncode == 4, refused.stderr
    assert "waits for approval" in refused.stderr

    for job in waiting:
        run.answer(f"{job}.approve", "Approve" if job == "cleanup_temp_objects" else "Reject")
    assert run.end() == "failed", "a rejection is red"
    assert_answers_were_obeyed(world, run, waiting, heads)
    assert_rejection_is_final(world, heads["cleanup_failed_jobs"])
    changes = compare(before, world.snapshot())
    small = [job for job in JOBS if job not in waiting]  # at most one action each, within every limit
    removed = (
        sum(run.xcom(f"{job}.apply")["done"] for job in small) + heads["cleanup_temp_objects"]["planned"]
    )
    assert len(changes.objects_removed) <= removed
    assert {key.split("/")[0] for key in changes.objects_removed} == {"temp"}
    assert not changes.rows_changed


def all_that_wait(world: World, run: Run) -> set[str]:
    """Return the jobs that wait for approval, once every plan is made and every approval task has settled."""

    def waiting() -> set[str]:
        states = run.states()
        if any(states[f"{job}.approve"] not in ("awaiting_input", "skipped") for job in JOBS):
            return set()
        return {job for job in JOBS if states[f"{job}.approve"] == "awaiting_input"}

    found = until(waiting, 90, "approval asked for")
    for job in found:
        world.noted(run, f"{job}.approve")
    assert run.state() == "running", "the run waits"
    return found


def assert_rejection_is_final(world: World, head: Mapping[str, Any]) -> None:
    late = world.cli("apply", head["run"], "--approve", head["sha256"])
    assert late.returncode == 3, late.stderr
    assert "was rejected by admin (Airflow)" in " ".join(late.stderr.split())


def assert_answers_were_obeyed(
    world: World, run: Run, waiting: set[str], heads: Mapping[str, Mapping[str, Any]]
) -> None:
    states = run.states()
    for job in waiting:
        state, _, approver = world.record(heads[job]["run"])
        outcome = (states[f"{job}.approve"], states[f"{job}.apply"], state, approver)
        if job == "cleanup_temp_objects":
            assert outcome == ("success", "success", "verified", "admin (Airflow)")
            assert run.xcom(f"{job}.apply")["done"] == heads[job]["planned"]
        else:
            assert outcome == ("failed", "upstream_failed", "rejected", "")


def test_asked_to_act_it_acts_and_reports_the_truth(world: World, aged: None) -> None:
    """The results carry the documents' keys, and their numbers equal those of an independent snapshot."""
    before = world.snapshot()
    run = world.trigger(DAG, {"dry_run": False, "temp_hours_old": SOON})
    assert run.end() == "success", run.states()
    results = {job: run.xcom(f"{job}.apply") for job in JOBS}
    for job, result in results.items():
        assert result.keys() >= DOCUMENTED
        assert result["state"] == world.record(result["run"])[0] == "verified"
        assert result["failed"] == 0
        assert result["job"] == catalog.get(job).name
    after = world.snapshot()
    changes = compare(before, after)
    assert_files_agree(before, changes, results["cleanup_temp_files"])
    assert_rows_agree(world, after, changes, results)
    assert len(changes.objects_removed) == results["cleanup_temp_objects"]["done"]
    assert not changes.objects_changed
    assert not changes.outside_changed, "links were not followed"
    assert_near_misses_survive(after)


def assert_files_agree(before: Snapshot, changes: Changes, result: Mapping[str, Any]) -> None:
    gone = [before.files[name] for name in changes.files_removed]
    held = [name for name in changes.files_added if name.count("/") == 2]
    assert all(name.startswith(".condemned") for name in changes.files_added), "set aside for an hour"
    assert result["deleted_folders"] == sum(one.kind == "dir" for one in gone) > 0
    assert len(held) == sum(one.kind != "dir" for one in gone)
    once = {one.sha256: one.size for one in gone if one.kind == "file"}  # hard links share their bytes
    assert result["freed_bytes"] == sum(once.values()) > 0, "a link holds none"
    assert result["freed_gb"] == round(result["freed_bytes"] / 2**30, 2)


def assert_rows_agree(
    world: World, after: Snapshot, changes: Changes, results: Mapping[str, Mapping[str, Any]]
) -> None:
    place = after.columns["jobs"].index("status")
    failed = [name for name, _ in changes.rows_changed]
    assert results["cleanup_stuck_jobs"]["marked_as_failed"] == len(failed) > 0
    assert {after.rows["jobs"][name.removeprefix("jobs:")][place] for name in failed} == {"failed"}
    assert {columns for _, columns in changes.rows_changed} == {("status", "error_message", "updated_at")}
    condemned = world.sql("SELECT count(*) FROM maintenance.tombstones WHERE kind = 'job'")
    assert condemned == [(results["cleanup_failed_jobs"]["condemned_jobs"],)]
    assert results["cleanup_failed_jobs"]["deleted_jobs"] == 0, "a day's notice first"
