"""Lifecycle rules on a real Airflow: a daily report, and changes only with an operator's approval."""

from __future__ import annotations

from typing import Any

from tests.e2e.world import Run, World

DAG = "lifecycle_drift"
TEMP = "storage-platform:delete-temp-files"
OPS = {
    "ID": "ops",
    "Status": "Enabled",
    "Filter": {"Prefix": "logs/"},
    "Expiration": {"Days": 400},
}


def place(world: World) -> dict[str, str]:
    return {"Bucket": world.stack.env()["STORAGE_BUCKET"]}


def forge(run: Run, task: str, value: dict[str, Any]) -> None:
    """Overwrite what a task returned, as whoever may write XComs could."""
    run.api.call("PATCH", f"{run.path}/taskInstances/{task}/xcomEntries/return_value", {"value": value})


def rules(world: World) -> dict[str, Any]:
    answer = world.bucket().get_bucket_lifecycle_configuration(**place(world))
    return {one["ID"]: one for one in answer["Rules"]}


def test_drift_is_red_and_mended_by_a_person(world: World) -> None:
    """Changes are rejected, approved and compared again; an operator's own rule stays throughout."""
    world.bucket().put_bucket_lifecycle_configuration(**place(world), LifecycleConfiguration={"Rules": [OPS]})
    settled = world.trigger(DAG, {"apply": True})  # the rules that apply without a request
    world.asks(settled, "approve")
    settled.answer("approve", "Approve")
    assert settled.end() == "success"

    wanted = {"apply": True, "with_rules": ["delete-temp-files"]}
    assert_rejection_changes_nothing(world, wanted)
    run = world.trigger(DAG, wanted)
    world.asks(run, "approve")
    assert "delete objects outside the engine" in run.asked("approve")
    forge(run, "plan", {"sha256": "0" * 64, "changes": 0, "deletes": False})
    run.answer("approve", "Approve")
    assert run.end() == "success"
    assert run.xcom("apply")["changed"] == [TEMP]
    assert rules(world)["ops"] == OPS
    assert rules(world)[TEMP]["Expiration"] == {"Days": 1}

    report = world.trigger(DAG)
    assert report.end() == "success"
    assert report.states() == {
        "plan": "skipped",
        "approve": "skipped",
        "apply": "skipped",
        "check": "success",
    }

    world.bucket().put_bucket_lifecycle_configuration(**place(world), LifecycleConfiguration={"Rules": [OPS]})
    report = world.trigger(DAG)
    assert report.end() == "failed"
    assert f"add {TEMP}" in report.log("check")
    assert report.task("check")["try_number"] == 1, "a person must look: no retry"
    assert list(rules(world)) == ["ops"], "a report changes nothing"


def assert_rejection_changes_nothing(world: World, wanted: dict[str, Any]) -> None:
    run = world.trigger(DAG, wanted)
    world.asks(run, "approve")
    run.answer("approve", "Reject")
    assert run.end() == "failed"
    assert run.states()["apply"] == "upstream_failed"
    query = "SELECT event, detail ->> 'by' FROM maintenance.audit WHERE run_id = %s ORDER BY id"
    assert world.sql(query, f"{DAG}-{run.id}") == [("ask", None), ("reject", "admin (Airflow)")]
    assert TEMP not in rules(world)
