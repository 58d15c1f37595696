"""The ``storage`` commands: their output, their effects, and every exit code."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine

from storage import catalog
from storage.core.clock import utcnow
from storage.stores.postgres.runs import PostgresRuns
from tests.conftest import Place
from tests.support.command_line import Person, environment, everything, keys, put_aged, rows, run_ahead, shell

OLD = ("processed/old/360p.mp4", "uploads/old/source.mp4", "temp/old/part.ts", "failed/old/log.txt")
YOUNG = ("processed/old-2/360p.mp4", "processed/young/360p.mp4", "uploads/done/source.mp4", "loose.mp4")


@pytest.fixture
def failed(place: Place, add_job: Callable[..., None]) -> Place:
    """Add a job that failed long ago and four objects of it, beside jobs and objects that must stay."""
    now = utcnow()
    add_job("old", "failed", now - timedelta(days=10))
    add_job("old-2", "completed", now - timedelta(days=10))
    add_job("young", "failed", now - timedelta(days=1))
    add_job("done", "completed", now - timedelta(days=30))
    for key in (*OLD, *YOUNG):
        place.put(key)
    return place


def test_jobs_needs_no_settings(person: Person) -> None:
    """The list of jobs is available before anything is set up."""
    person.sits_at({})
    assert [one["name"] for one in person("jobs", "--json").document] == list(catalog.JOBS)
    shown = person("jobs")
    assert shown.code == 0
    assert all(name in shown.out for name in catalog.JOBS)


def test_plan_changes_nothing(storage: Person, failed: Place) -> None:
    """A plan adds a record and an object for itself; everything else stays as it is."""
    before = everything(failed)
    answer = storage("plan", "cleanup_failed_jobs", "--json")
    assert (answer.code, answer.err) == (0, "")
    assert answer.document["run"]["state"] == "planned"
    assert {one["key"] for one in answer.document["actions"]} == {*OLD, "old"}
    assert everything(failed) == before


def test_condemn_undo_condemn_reap(storage: Person, failed: Place) -> None:
    """Exactly the failed job's files are deleted, after their notice; until then everything can be undone."""
    before = everything(failed)
    run = storage("run", "cleanup_failed_jobs", "--json").document["run"]
    assert (run["state"], run["done"]["count"]) == ("verified", len(OLD) + 1)
    assert everything(failed) == before
    foretold = storage("undo", run["id"], "--dry-run", "--job", "old")
    assert (foretold.code, "5 of 5 marks can be taken back (4 B)" in foretold.out) == (0, True)
    one = storage("undo", run["id"], "--key", OLD[0], "--json").document
    assert [(mark["key"], mark["status"]) for mark in one["marks"]] == [(OLD[0], "done")]
    undone = storage("undo", run["id"])
    assert undone.code == 0
    assert "4 of 5 marks were taken back (3 B)" in undone.out
    assert "1 were taken back before (1 B)" in undone.out
    assert storage("run", "reap", "--json").document["run"]["planned"]["count"] == 0
    assert storage("run", "cleanup_failed_jobs").code == 0
    assert storage("run", "reap", "--json").document["run"]["planned"]["count"] == 0, "notice not over"
    rows(failed, "UPDATE maintenance.tombstones SET delete_after = now() - interval '1 minute'")
    reaped = storage("run", "reap", "--json").document["run"]
    assert (reaped["state"], reaped["done"]["count"]) == ("verified", len(OLD) + 1)
    assert keys(failed) == {*YOUNG, ".maintenance/bucket-id"}
    states = dict(rows(failed, "SELECT id, status FROM jobs"))
    assert states == {"old": "cleaned_up", "old-2": "completed", "young": "failed", "done": "completed"}
    late = storage("undo", reaped["id"])
    assert (late.code, f"run {reaped['id']} deleted 4 objects for good (4 B)" in late.out) == (1, True)
    strange = storage("undo", run["id"], "--job", "young")
    assert (strange.code, "did nothing to young" in strange.err) == (2, True)


@pytest.mark.parametrize("place", ["minio"], indirect=True)  # only MinIO can set an object's date back
def test_run_deletes_exactly_the_old(storage: Person, place: Place, add_job: Callable[..., None]) -> None:
    """In temp/, exactly the old objects that belong to no running job are deleted."""
    add_job("runs", "processing", utcnow())
    for key in ("temp/gone/a.ts", "temp/x.tmp", "temp/gone/b/c.ts", "temp/runs/a.ts"):
        put_aged(place, key, timedelta(hours=1))
    place.put("temp/new/a.ts")
    place.put("uploads/gone/a.ts")
    answer = storage("run", "cleanup_temp_objects", "--param", f"hours_old={1 / 120}", "--json")
    assert answer.document["run"]["done"]["count"] == 3
    assert keys(place) == {"temp/runs/a.ts", "temp/new/a.ts", "uploads/gone/a.ts", ".maintenance/bucket-id"}


def test_explain(storage: Person, failed: Place) -> None:
    """For a key, and for everything that belongs to a job: what each maintenance job would do and why."""
    answer = storage("explain", "processed/old/360p.mp4", "--json")
    by_job = {one["job"]: one for one in answer.document}
    assert {job: one["verb"] for job, one in by_job.items()} == {
        "cleanup_failed_jobs": "condemn",
        "cold_storage": "keep",
    }
    assert "failed 10 days ago" in by_job["cleanup_failed_jobs"]["reason"]
    assert by_job["cold_storage"]["reason"] == "job old is failed"
    of_job = {one["key"] for one in storage("explain", "old", "--json").document}
    assert of_job >= {*OLD, "old"}
    assert not any("old-2" in key for key in of_job)
    nothing = storage("explain", "no-such-thing")
    assert nothing.code == 0
    assert "No maintenance job has anything to do with it" in nothing.out


def test_as_of_the_past(storage: Person, failed: Place) -> None:
    """As of a week ago the job had not been failed for long enough."""
    week_ago = (utcnow() - timedelta(days=7)).isoformat()
    answer = storage("plan", "cleanup_failed_jobs", "--as-of", week_ago, "--json")
    assert (answer.code, answer.document["run"]["planned"]["count"]) == (0, 0)
    assert answer.document["run"]["as_of"] == week_ago


def test_runs_and_status(storage: Person, failed: Place) -> None:
    """The latest run is first, is found by its id with its plan, and status counts what is condemned."""
    assert storage("run", "cleanup_failed_jobs").code == 0
    run = storage("runs", "--json").document[0]
    one = storage("runs", run["id"], "--json").document
    assert (one["run"]["id"], len(one["actions"])) == (run["id"], len(OLD) + 1)
    assert "verified" in storage("runs").out
    assert OLD[0] in storage("runs", run["id"]).out
    facts = storage("status", "--json").document
    assert (facts["paused"], facts["jobs_failed"]) == ("no", "2")
    assert facts["condemned_objects"].startswith("4 ")
    assert facts["last_cleanup_failed_jobs"].startswith("verified")
    assert (facts["last_reap"], storage("status").code) == ("never", 0)


def test_approval(storage: Person, failed: Place) -> None:
    """A plan beyond a limit waits (4); a wrong SHA is refused (3), the right one applies that plan (0)."""
    before = everything(failed)
    planned = storage("plan", "cleanup_failed_jobs", "--param", "max_objects=2", "--json")
    run = planned.document["run"]
    assert (planned.code, run["state"]) == (4, "waiting")
    assert f"storage apply {run['id']} --approve {run['plan_sha256']}" in planned.err
    waits = storage("apply", run["id"])
    assert waits.code == 4
    assert "waits for approval" in waits.err
    assert storage("run", "cleanup_failed_jobs", "--param", "max_objects=2").code == 4
    wrong = storage("apply", run["id"], "--approve", "0" * 64)
    assert wrong.code == 3
    assert "Plan again" in wrong.err
    assert everything(failed) == before
    assert rows(failed, "SELECT count(*) FROM maintenance.tombstones") == [(0,)]
    done = storage("apply", run["plan_uri"], "--approve", run["plan_sha256"], "--json")
    assert (done.code, done.document["run"]["state"]) == (0, "verified")
    assert storage("apply", run["id"]).code == 0, "applying what is verified does nothing"


def test_pause_and_resume(storage: Person, failed: Place) -> None:
    """While paused, nothing is planned or applied (5); the message has the reason and the way to resume."""
    run = storage("plan", "cleanup_failed_jobs", "--json").document["run"]["id"]
    assert storage("pause", "--reason", "disk swap").code == 0
    for command in (("run", "cleanup_failed_jobs"), ("plan", "reap"), ("apply", run)):
        refused = storage(*command)
        assert refused.code == 5
        assert "disk swap" in refused.err
        assert "storage resume" in refused.err
        assert f"Maintenance is paused since {utcnow():%Y-%m-%d }" in refused.err
    facts = storage("status", "--json")
    assert (facts.code, facts.document["paused"][-11:]) == (0, ": disk swap")
    assert " UTC by " in facts.document["paused"], "who paused it"
    assert rows(failed, "SELECT count(*) FROM maintenance.tombstones") == [(0,)]
    assert storage("resume").code == 0
    assert storage("apply", run).code == 0


def test_a_long_pause_is_not_safe(storage: Person, failed: Place) -> None:
    """A pause that was forgotten for a day is the verdict of status, and its exit code."""
    assert storage("pause", "--reason", "[/] moved").code == 0
    assert storage("status").code == 0
    rows(failed, "UPDATE maintenance.control SET changed_at = now() - interval '25 hours'")
    answer = storage("status")
    assert (answer.code, "Not safe: maintenance has been paused since" in answer.err) == (1, True)
    assert "[/] moved" in answer.err
    assert "`storage resume`" in answer.err
    as_json = storage("status", "--json")
    assert (as_json.code, "moved" in as_json.document["not_safe"]) == (1, True)


def test_a_failure_is_one(storage: Person, place: Place, engine: Engine) -> None:
    """Exit code 1: a file that cannot be put back, and a job that is busy elsewhere."""
    file = Path(place.settings.temp_dir, "gone", "a.ts")
    file.parent.mkdir()
    file.write_bytes(b"first")
    run = run_ahead(place, "cleanup_temp_files")
    assert not file.exists()
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(b"second")
    undone = storage("undo", run.id)
    assert undone.code == 1
    assert "a new file has its path" in undone.out
    assert file.read_bytes() == b"second"
    planned = storage("plan", "reap", "--json").document["run"]["id"]
    with PostgresRuns(engine).lock("reap"):
        busy = storage("apply", planned)
    assert busy.code == 1
    assert "Another process is applying reap" in busy.err


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        ((), "COMMAND"),
        (("delete-everything",), "invalid choice"),
        (("plan",), "job"),
        (("plan", "clean"), "`storage jobs` lists them"),
        (("run", "reap", "--param", "days_old=1"), "it has max_objects"),
        (("run", "reap", "--param", "max_objects"), "name=value"),
        (("plan", "reap", "--as-of", "yesterday"), "ISO date"),
        (("runs", "no-such-run"), "`storage runs` lists the latest"),
        (("runs", "--limit", "-1"), "limit"),
        (("undo", "no-such-run"), "`storage runs` lists the latest"),
        (("apply", "s3://maintenance/plans/reap/x.jsonl.gz"), "There is no run 'x'"),
    ],
)
@pytest.mark.parametrize("place", ["ministack"], indirect=True)
def test_usage_is_two(storage: Person, argv: tuple[str, ...], says: str) -> None:
    """Invalid usage is reported on stderr, with the way to find valid values."""
    answer = storage(*argv)
    assert answer.code == 2
    assert says in " ".join(answer.err.split())
    assert answer.out == ""


def test_every_command_speaks_json(storage: Person, failed: Place) -> None:
    """With --json there is exactly one document on stdout, whatever the command."""
    run = storage("plan", "cleanup_failed_jobs", "--json").document["run"]["id"]
    for command in (
        ("apply", run), ("undo", run), ("jobs",), ("runs",), ("runs", run), ("explain", "old"), ("status",),
        ("probe",), ("migrate",), ("pause", "--reason", "a"), ("resume",), ("run", "reap"), ("plan", "reap"),
    ):  # fmt: skip
        answer = storage(*command, "--json")
        assert answer.code == 0, (command, answer.err)
        assert answer.document is not None, command


def test_probe(storage: Person, place: Place) -> None:
    """The probe leaves nothing behind, and its results are shown and stored."""
    found = storage("probe", "--json").document
    assert found["server"]
    assert found["conditional_bulk_delete"] in (True, False)
    assert found["lists_below_objects"] is (place.kind != "minio"), "MinIO hides keys below an object"
    answer = place.boto.list_object_versions(Bucket=place.settings.maintenance_bucket)
    assert not [*answer.get("Versions", ()), *answer.get("DeleteMarkers", ())]
    assert storage("status", "--json").document["server"] == found["server"]
    shown = storage("probe")
    assert "conditional bulk delete" in shown.out
    assert ("does not list temp/1/a" in shown.err) is (place.kind == "minio")


@pytest.mark.parametrize("place", ["minio"], indirect=True)
def test_a_process_of_its_own(failed: Place) -> None:
    """stdout holds the document, stderr the rest; the exit code reaches the caller."""
    env = environment(failed.settings)
    waits = shell(env, "plan", "cleanup_failed_jobs", "--param", "max_objects=2", "--json")
    assert waits.code == 4
    assert waits.document["run"]["state"] == "waiting"
    assert "Waits for approval" in waits.err
    wrong = shell(env, "plan", "clean", "--json")
    assert (wrong.code, "UnknownJob" in wrong.err) == (2, True)
    gone = shell(env | {"STORAGE_ENDPOINT_URL": "http://127.0.0.1:9"}, "run", "reap")
    assert (gone.code, gone.out, "Traceback" in gone.err) == (6, "", False)
