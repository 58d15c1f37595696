"""Steps that check that an installation of an earlier version continues to work under the code of today.

Every step is a function of the operator; they depend on their order, which :mod:`test_upgrade` defines.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import Path
from typing import Any

from sqlalchemy.engine import make_url

from devstack.postgres import Postgres
from tests.support.command_line import Person, environment, keys
from tests.support.restored_database import gone
from tests.support.tiered_job import eventually, head
from tests.upgrade import database
from tests.upgrade.load import Loaded, tier_class

COLD_1 = "processed/cold-1"


class Operator:
    """Operator who runs commands, each of which must exit with the expected code."""

    def __init__(self, person: Person, on: Loaded) -> None:
        self._person, self.on = person, on
        person.sits_at(environment(on.place.settings))

    def __call__(self, *argv: str, code: int = 0) -> Any:
        answer = self._person(*argv, "--json")
        assert answer.code == code, (argv, answer)
        return answer.document if answer.out else None

    def apply(self, name: str, *argv: str) -> tuple[int, int]:
        """Apply a run of the facts; assert that no action failed; return how many were done and skipped."""
        run: dict[str, Any] = self("apply", self.on.runs[name]["id"], *argv)["run"]
        assert (run["state"], run["failed"]["count"]) == ("verified", 0), (name, run)
        return run["done"]["count"], run["skipped"]["count"]

    def status_of(self, *ids: str) -> list[str]:
        """Return the status of each job."""
        known = dict(self.on.sql("SELECT id, status FROM jobs"))
        return [known[id] for id in ids]


def records_read_as_written(storage: Operator) -> None:
    """Compare the output of the commands with the earlier version's counts."""
    facts = storage.on.facts
    for id, state in facts["run_states"].items():
        shown = storage("runs", id)
        assert shown["run"]["state"] == state
        assert len(shown["actions"]) == shown["run"]["planned"]["count"], id  # the whole plan is readable
    assert {one["id"]: one["state"] for one in storage("backup", "list", "--all")} == facts["backup_states"]
    total = storage("savings")["total"]
    assert {name: total[name] for name in ("objects", "saved")} == facts["savings"]
    storage("lifecycle", "check")  # fails when the rules are not as declared
    rules = storage("lifecycle", "show")
    assert len(rules["ours"]) + len(rules["others"]) == len(facts["lifecycle_rules"])
    assert len(storage("lifecycle", "history")) == facts["lifecycle_versions"]
    reply = storage("status")
    for kind in ("job", "object", "file"):
        wanted = sum(facts["tombstones"].get(f"{kind} {state}", 0) for state in ("condemned", "reaping"))
        assert reply[f"condemned_{kind}s"].split(" ")[0] == str(wanted)


def rows_are_kept(storage: Operator) -> None:
    """Compare the tables whose rows no command lists one by one."""
    sql, facts = storage.on.sql, storage.on.facts
    assert dict(sql("SELECT id, status FROM jobs")) == facts["jobs"]
    assert dict(sql("SELECT owner, verdict FROM maintenance.verdicts")) == {
        owner: verdict for verdict, owners in facts["verdicts"].items() for owner in owners
    }
    found = sql("SELECT kind, state, count(*) FROM maintenance.tombstones GROUP BY 1, 2")
    assert {f"{kind} {state}": count for kind, state, count in found} == facts["tombstones"]
    found = sql(
        "SELECT kind, count(*), sum(before_bytes), sum(after_bytes) FROM maintenance.savings GROUP BY 1"
    )
    assert {kind: [count, int(was), int(now)] for kind, count, was, now in found} == facts["ledger"]
    found = sql("SELECT coding, key FROM maintenance.cold_objects WHERE coding <> '' ORDER BY 1, 2")
    kept = {"compressed": facts["compressed"], "skipped": facts["incompressible"]}
    assert found == [(compression, key) for compression, keys in kept.items() for key in keys]
    assert sql("SELECT count(*) FROM maintenance.accesses") == [(facts["accesses"],)]
    assert sql("SELECT count(*) FROM maintenance.uploads WHERE closed_at IS NULL") == [(facts["journal"],)]
    assert {name for (name,) in sql("SELECT name FROM maintenance.control")} >= set(facts["controls"])


def judgements_hold(storage: Operator) -> None:
    """Check that verdicts, pins and the record of a refusal still take effect."""
    adopted = [one["reason"] for one in storage("explain", "uploads/lost-adopted/in.mp4")]
    assert "job lost-adopted was adopted after a restore" in adopted
    [pinned] = storage.on.facts["cold_pins"].items()
    reasons = [one["reason"] for one in storage("explain", f"processed/{pinned[0]}/transcription/notes.vtt")]
    assert f"job {pinned[0]} is pinned: {pinned[1]}" in reasons
    [refused] = [id for id, state in storage.on.facts["run_states"].items() if state == "refused"]
    storage("apply", refused, code=3)


def plans_are_applied(storage: Operator) -> None:
    """Apply the plans that were not applied: every action is done, except the one noted below."""
    on = storage.on
    assert storage.apply("temp_planned") == (3, 0)
    assert not keys(on.place, "temp/gone/")
    assert on.runs["failed_planned"]["verbs"] == {"condemn": 1, "condemn-job": 1}
    assert storage.apply("failed_planned") == (2, 0)
    assert on.runs["uploads_planned"]["verbs"] == {"abort": 1, "condemn": 2}
    assert storage.apply("uploads_planned") == (2, 1)  # the upload itself ended with its server
    assert on.sql("SELECT count(*) FROM maintenance.uploads WHERE closed_at IS NULL") == [(0,)]
    assert storage.apply("unreconciled") == (1, 0)
    condemned = "SELECT count(*) FROM maintenance.tombstones WHERE owner = 'lost-condemned'"
    assert on.sql(condemned) == [(1,)]


def cold_plan_is_applied(storage: Operator) -> None:
    """Apply the cold plan: the requested move is confirmed, the other objects are compressed and moved."""
    on, cold = storage.on, tier_class(storage.on.facts)
    for key in (*on.facts["moved"], on.facts["asked"]):
        eventually(lambda key=key: head(on.place, key).get("StorageClass") == cold)  # type: ignore[misc]
    anew = Counter(one["key"] for one in storage("plan", "cold_storage")["actions"])
    new = "processed/cold-3"  # all other objects are compressed, recorded, pinned or moved already
    mp3, notes = f"{new}/audio/output.mp3", f"{new}/transcription/notes.json"
    assert anew == {on.facts["asked"]: 1, mp3: 2, notes: 1}
    verbs = on.runs["cold_planned"]["verbs"]
    assert verbs == {"compress": 2, "follow": 1, "transition": 1}
    assert storage.apply("cold_planned") == (3, 1)  # the incompressible object is skipped
    states = dict(on.sql("SELECT key, tier_state FROM maintenance.cold_objects WHERE tier = 'cold'"))
    assert states[on.facts["asked"]] == "held"
    assert mp3 in states
    total = storage("savings")["total"]
    assert total["saved"] > on.facts["savings"]["saved"]


def waiting_plans_are_applied(storage: Operator) -> None:
    """Apply the plan that waits for approval, by the hash shown at the time, and the approved plan."""
    waiting = storage.on.runs["waiting"]
    assert waiting["state"] == "waiting"
    storage("apply", waiting["id"], code=4)
    assert storage.apply("waiting", "--approve", waiting["plan_sha256"]) == (2, 0)
    assert storage.apply("approved") == (2, 0)
    assert storage.status_of("stuck-1", "stuck-2") == ["failed", "failed"]


def interrupted_runs_are_resumed(storage: Operator) -> None:
    """Resume the run that was killed between two batches."""
    killed, temp = storage.on.runs["files_killed"], Path(storage.on.place.settings.temp_dir)
    assert (killed["state"], killed["finished_batches"]) == ("applying", [0])
    assert (temp / "killed").is_dir()
    assert storage.apply("files_killed") == (sum(killed["verbs"].values()), 0)
    assert not (temp / "killed").exists()


def condemnations_are_undone(storage: Operator) -> None:
    """Undo a run's condemnations of objects and files."""
    reply = storage("undo", storage.on.runs["to_undo"]["id"])["marks"]
    assert Counter((one["kind"], one["status"]) for one in reply) == {
        ("object", "done"): 2,
        ("job", "done"): 1,
    }
    reply = storage("undo", storage.on.runs["files_to_undo"]["id"])["marks"]
    assert [(one["key"], one["status"]) for one in reply] == [("to-undo/a.ts", "done")]
    temp = Path(storage.on.place.settings.temp_dir)
    assert (temp / "to-undo/a.ts").read_bytes() == b"to be put back"
    before = storage("undo", storage.on.runs["undone"]["id"])["marks"]
    assert {one["why"] for one in before} == {"undone before"}


def what_is_due_is_reaped(storage: Operator) -> None:
    """Finish the claim of the killed reap; delete what is due and nothing else."""
    on = storage.on
    assert on.facts["claims"] == ["failed-claimed"]
    assert on.runs["reap_killed"]["finished_batches"] == [0]
    run = storage("run", "reap")["run"]
    assert (run["state"], run["done"]["count"], run["skipped"]["count"]) == ("verified", 8, 0), run
    gone = ("failed-claimed", "failed-due", "orphan-due")
    assert not [
        key for id in gone for key in (*keys(on.place, f"processed/{id}/"), *keys(on.place, f"uploads/{id}/"))
    ]
    assert storage.status_of("failed-claimed", "failed-due") == ["cleaned_up", "cleaned_up"]
    kept = {"processed/failed-to-undo/360p/output.mp4", "processed/failed-planned/360p/output.mp4"}
    assert kept | {"uploads/orphan-1/in.mp4", "uploads/orphan-2/in.mp4"} <= keys(on.place)
    assert on.sql("SELECT count(*) FROM maintenance.claims WHERE closed_at IS NULL") == [(0,)]
    assert on.sql("SELECT count(*) FROM maintenance.tombstones WHERE state = 'reaping'") == [(0,)]
    assert not list(Path(on.place.settings.temp_dir).glob(".condemned/*/*"))
    killed = storage("runs", on.runs["reap_killed"]["id"])["run"]
    assert (killed["state"], killed["message"]) == ("failed", "interrupted")


def objects_read_as_their_originals(storage: Operator, target: Path) -> None:
    """Get every object the earlier version compressed, moved or left unchanged; then decompress a job's."""
    on, wanted = storage.on, storage.on.facts["originals"]
    assert len(on.facts["compressed"]) >= 4
    for key in sorted(keys(on.place) & wanted.keys()):
        storage("get", key, "-o", str(target))
        assert hashlib.sha256(target.read_bytes()).hexdigest() == wanted[key], key
    ours = [key for key in on.facts["compressed"] if key.startswith(COLD_1)]
    reply = storage("decompress", "--job", "cold-1", "--apply")
    assert {one["codec"] for one in reply["objects"]} == {"gzip", "lz4", "zstd"}
    assert {one["key"]: one["status"] for one in reply["outcomes"]} == dict.fromkeys(ours, "done")
    for key in ours:
        body = on.place.boto.get_object(Bucket=on.place.settings.bucket, Key=key)["Body"].read()
        assert hashlib.sha256(body).hexdigest() == wanted[key], key


def backups_are_restored(storage: Operator, server: Postgres) -> None:
    """Verify, prove and restore the earlier version's backups; check that the retention rule covers them."""
    facts = storage.on.facts
    for name, id in facts["backups"].items():
        storage("backup", "verify", id)
        storage("backup", "prove", id)
        if name != "metadata":
            made = storage("restore", id)["database"]
            url = make_url(storage.on.place.settings.database_url).set(database=made)
            there = url.render_as_string(hide_password=False)
            try:
                assert database.execute(there, "SELECT count(*) FROM jobs") == [
                    (facts["jobs_in_backup"][name],)
                ]
            finally:
                gone(server, made)
    states = {one["id"]: one["state"] for one in storage("backup", "list", "--all")}
    assert [states[id] for id in facts["backups"].values()] == ["proven"] * 4
    pruned = storage("backup", "prune")
    assert pruned["run"]["state"] == "planned"
    assert pruned["run"]["considered"]["count"] == len(states)
    [pinned] = [one for one in storage("backup", "list") if one["pinned"]]
    assert (pinned["id"], pinned["pinned"]) == (facts["backups"]["encrypted"], "before the upgrade")
