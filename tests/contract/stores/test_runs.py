"""Run records: saved fields are read back, a batch counts once, a job's lock is held once."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from storage.core.errors import JobBusy, NoSuchRun, PlanBegun, PlanChanged, PlanRejected, Refused, RunBegun
from storage.core.model import Outcome, Run, Totals
from storage.core.records import Question

T = datetime(2026, 3, 1, 12, tzinfo=UTC)
SHA = "ab" * 32


def planned(id: str, job: str = "sweep", hours: int = 0, **values: Any) -> Run:
    at = T + timedelta(hours=hours)
    return Run(id=id, job=job, as_of=at, state="planned", started_at=at, **values)


def test_save_and_get_every_field(database: Any) -> None:
    run = planned(
        "r1",
        plan_uri="s3://maintenance/plans/r1",
        plan_sha256=SHA,
        considered=Totals(10, 1 << 50),
        planned=Totals(4, 400),
        done=Totals(2, 200),
        skipped=Totals(1, 100),
        failed=Totals(1, 100),
        params={"hours_old": 24, "max_objects": 0.5},
        kept={"it's 100% 'é'": 3},
        message="it's 100% 'é' \n",
        requested_by="o'brien",
        finished_at=T + timedelta(seconds=90),
    )
    database.runs.save(run)
    assert database.runs.get("r1") == run
    assert database.runs.get("r2") is None


def test_save_again_updates(database: Any) -> None:
    database.runs.save(planned("r1"))
    after = planned("r1", done=Totals(1, 2), message="x", finished_at=T)
    database.runs.save(replace(after, state="failed"))
    assert database.runs.get("r1") == replace(after, state="failed")
    assert len(database.runs.latest()) == 1


def test_latest_is_newest_first(database: Any) -> None:
    for hours, name in ((2, "b"), (1, "a"), (3, "c")):
        database.runs.save(planned(name, hours=hours))
    database.runs.save(planned("other", "reap", hours=9))
    assert [run.id for run in database.runs.latest("sweep")] == ["c", "b", "a"]
    assert [run.id for run in database.runs.latest()] == ["other", "c", "b", "a"]
    assert [run.id for run in database.runs.latest("sweep", 2)] == ["c", "b"]
    assert database.runs.latest("none") == []


def test_newest_of_each_job_and_state(database: Any) -> None:
    """A run with another outcome, of another job or without a start does not stand for it."""
    for hours in range(3):
        database.runs.save(replace(planned(f"v{hours}", hours=hours), state="verified"))
        database.runs.save(planned(f"p{hours}", hours=hours))
    database.runs.save(replace(planned("never-started"), state="verified", started_at=None))
    database.runs.save(replace(planned("a-tie", hours=2), state="verified"))
    database.runs.save(replace(planned("reaped", "reap", hours=9), state="failed"))
    database.runs.save(planned("other", "other", hours=10))
    assert [run.id for run in database.runs.newest(["reap", "sweep", "never"])] == ["reaped", "v2", "p2"]
    assert database.runs.newest(["sweep"])[0] == database.runs.get("v2")
    assert database.runs.newest([]) == []


def test_approve_names_one_plan(database: Any) -> None:
    database.runs.save(replace(planned("r1", plan_sha256=SHA), state="waiting"))
    with pytest.raises(PlanChanged):
        database.runs.approve("r1", "cd" * 32, "eve")
    assert database.runs.get("r1").approved_sha256 == ""
    database.runs.approve("r1", SHA, "ann")
    run = database.runs.get("r1")
    assert (run.approved_sha256, run.approved_by, run.state) == (SHA, "ann", "waiting")


def test_approve_of_no_run(database: Any) -> None:
    with pytest.raises(NoSuchRun):
        database.runs.approve("none", SHA, "ann")


def test_save_neither_gives_nor_takes_an_approval(database: Any) -> None:
    stale = replace(planned("r1", plan_sha256=SHA), state="waiting")
    database.runs.save(replace(stale, approved_sha256=SHA, approved_by="forged"))
    assert database.runs.get("r1").approved_sha256 == ""
    database.runs.approve("r1", SHA, "ann")
    database.runs.save(stale)
    assert database.runs.get("r1").approved_sha256 == SHA


def test_lock_is_held_once_a_job(database: Any) -> None:
    with database.runs.lock("sweep") as still_held:
        still_held()
        with pytest.raises(JobBusy), database.runs.lock("sweep"):
            pytest.fail("held twice")
        with database.runs.lock("reap"):
            still_held()
    with database.runs.lock("sweep") as still_held:
        still_held()


def test_lock_is_released_by_an_error(database: Any) -> None:
    with pytest.raises(ZeroDivisionError), database.runs.lock("sweep"):
        raise ZeroDivisionError
    with database.runs.lock("sweep") as still_held:
        still_held()


def test_batches_add_up(database: Any) -> None:
    database.runs.save(planned("r1"))
    database.runs.save(planned("r2"))
    database.runs.finish_batch(
        "r1", 0, [Outcome("done", bytes=5), Outcome("skipped", "gone", 3)], [1], first=0
    )
    database.runs.finish_batch(
        "r1", 7, [Outcome("failed", "503", 2), Outcome("done", bytes=1)], [1002], first=0
    )
    database.runs.finish_batch("r1", 8, [Outcome("skipped", "gone", 3), Outcome("done")], [1004], first=0)
    assert database.runs.finished("r1") == {0: (1,), 7: (1002,), 8: (1004,)}
    assert database.runs.totals("r1") == (Totals(3, 6), Totals(2, 6), Totals(1, 2))
    assert database.runs.details("r1") == [("skipped", "gone", 2), ("failed", "503", 1)]
    assert database.runs.finished("r2") == {}
    assert database.runs.totals("r2") == (Totals(), Totals(), Totals())
    assert database.runs.details("r2") == []


def test_batch_recorded_twice_counts_once(database: Any) -> None:
    database.runs.save(planned("r1"))
    for _ in range(2):
        database.runs.finish_batch(
            "r1", 0, [Outcome("done", bytes=5), Outcome("failed", "no", 1)], [1], first=0
        )
    database.runs.finish_batch("r1", 0, [Outcome("skipped", "already gone", 5)] * 2, [0, 1], first=0)
    assert database.runs.finished("r1") == {0: (1,)}
    assert database.runs.totals("r1") == (Totals(1, 5), Totals(), Totals(1, 1))
    assert database.runs.details("r1") == [("failed", "no", 1)]


def test_audit_takes_any_detail(database: Any) -> None:
    detail = {"planned": 3, "text": "it's é\n", "nested": {"a": [1, None]}}
    database.audit.record("apply", "r1", detail)
    database.audit.record("undo", "", {})
    assert database.audited() == [("apply", "r1", detail), ("undo", "", {})]


def test_shared_locks_stand_beside_each_other_only(database: Any) -> None:
    with database.runs.lock("j", shared=True) as still, database.runs.lock("j", shared=True):
        still()
        with pytest.raises(JobBusy), database.runs.lock("j"):
            pass
    with database.runs.lock("j"), pytest.raises(JobBusy), database.runs.lock("j", shared=True):
        pass
    with database.runs.lock("j"):
        pass


@pytest.mark.parametrize("state", ["planned", "waiting"])
def test_a_rejection_is_final(database: Any, state: Any) -> None:
    """Neither an approval nor a plan or a begin under the same id takes it back."""
    run = replace(planned("r1", plan_sha256=SHA), state=state)
    database.runs.save(run)
    with pytest.raises(PlanChanged):
        database.runs.reject("r1", "cd" * 32, "eve")
    with pytest.raises(NoSuchRun):
        database.runs.reject("r2", SHA, "eve")
    database.runs.reject("r1", SHA, "ann")
    database.runs.reject("r1", SHA, "bob")  # repeated by a retry: the first one counts
    with pytest.raises(PlanRejected, match="The plan of run r1 was rejected by ann, 20.* UTC"):
        database.runs.approve("r1", SHA, "eve")
    for later in ("planned", "waiting", "applying"):
        with pytest.raises(PlanRejected):
            database.runs.save(replace(run, state=later))
    assert database.runs.get("r1").state == "rejected"
    assert "rejected by ann" in database.runs.get("r1").message


@pytest.mark.parametrize("state", ["applying", "verified", "failed", "refused"])
def test_what_was_begun_cannot_be_rejected(database: Any, state: Any) -> None:
    database.runs.save(replace(planned("r1", plan_sha256=SHA), state=state))
    with pytest.raises(PlanBegun, match=f"it is {state}"):
        database.runs.reject("r1", SHA, "ann")
    assert database.runs.get("r1").state == state


def test_a_question_without_a_run_is_answered_once(database: Any) -> None:
    """A rejection is final, whichever task asks again; an approval is for the task that asked."""
    audit = database.audit
    assert audit.question("drift-1") is None
    with pytest.raises(Refused, match="drift-1 has asked nothing"):
        audit.answer("drift-1", "task-1", True, "ann")
    assert audit.ask("drift-1", "task-1", "it's 100% ' plan") == Question("it's 100% ' plan")
    assert audit.ask("drift-2", "task-1", "it's 100% ' plan").approved is None
    first = audit.answer("drift-1", "task-1", False, "ann")
    assert (first.what, first.approved, first.by) == ("it's 100% ' plan", False, "ann")
    assert first.at is not None
    assert audit.answer("drift-1", "task-1", True, "eve") == first
    assert audit.ask("drift-1", "task-2", "it's 100% ' plan") == first == audit.question("drift-1")
    assert audit.ask("drift-1", "task-3", "another plan") == audit.question("drift-1")
    assert audit.answer("drift-1", "task-1", True, "eve") == first, "the answer is to what this task asked"
    assert audit.question("drift-1") == Question("another plan")
    assert audit.answer("drift-1", "task-3", True, "bob").approved is True
    assert audit.answer("drift-1", "task-3", False, "eve").by == "bob", "the first answer counts"
    assert audit.ask("drift-1", "task-4", "another plan").approved is None, (
        "asked again, to be answered again"
    )
    assert audit.answer("drift-1", "task-4", False, "ann").approved is False
    assert audit.ask("drift-1", "task-5", "another plan").approved is False
    assert audit.question("drift-2") == Question("it's 100% ' plan")
    decided = [(event, detail["by"]) for event, _, detail in database.audited() if event != "ask"]
    assert decided == [("reject", "ann"), ("approve", "bob"), ("reject", "ann")]


def test_what_a_guard_refused_cannot_be_approved(database: Any) -> None:
    database.runs.save(replace(planned("r1", plan_sha256=SHA, message="clocks differ"), state="refused"))
    with pytest.raises(Refused, match="clocks differ"):
        database.runs.approve("r1", SHA, "ann")
    assert database.runs.get("r1").approved_by == ""


def test_a_task_asks_about_the_plan_of_that_moment(database: Any) -> None:
    database.runs.save(planned("r1", plan_sha256=SHA))
    assert database.runs.asked("task-1") is None
    with pytest.raises(PlanChanged):
        database.runs.ask("r1", "cd" * 32, "task-1")
    database.runs.ask("r1", SHA, "task-1")
    database.runs.save(planned("r1", plan_sha256="cd" * 32))
    assert database.runs.asked("task-1") == ("r1", SHA)
    with pytest.raises(PlanChanged):
        database.runs.approve(*database.runs.asked("task-1"), "ann")


def test_what_was_begun_is_not_planned_again(database: Any) -> None:
    """A task that was still listing while its repetition planned and applied the run."""
    for number, state in enumerate(("applying", "verified", "failed")):
        run = replace(planned(f"r{number}"), state=state, plan_sha256=SHA)
        database.runs.save(run)
        for late in ("planned", "waiting", "refused"):
            with pytest.raises(RunBegun, match=state):
                database.runs.save(replace(run, state=late, plan_sha256="cd" * 32))
        assert database.runs.get(run.id) == run
        database.runs.save(replace(run, state="verified"))
