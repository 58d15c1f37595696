"""Content of a fixture: an example of all stored state that a later version has to take over."""

from __future__ import annotations

import hashlib
import json
import random
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.support import remote_tier
from tests.support.command_line import ROOT, bare, environment
from tests.upgrade import product
from tests.upgrade.installation import Installation
from tests.upgrade.stored import listing

TEXT = "".join(f"00:00:{n:02d} The speaker says line {n} of the transcript.\n" for n in range(60)).encode()
OPERATORS_RULE = {
    "ID": "operator-logs",
    "Status": "Enabled",
    "Filter": {"Prefix": "logs/"},
    "Expiration": {"Days": 400},
}


def noise(seed: str, size: int) -> bytes:
    """Return incompressible bytes, the same for the same seed."""
    return random.Random(seed).randbytes(size)


def fill(on: Installation, key_file: Path) -> None:
    """Run all steps, in an order in which no step handles what an earlier one left open."""
    steps: list[Callable[[Installation], None]] = [
        introduce, pipeline, first_backup, verdicts, cold, failed_jobs, temp_files, uploads, waiting, stuck,
        planned,
    ]  # fmt: skip
    for step in steps:
        print(f"{datetime.now(UTC):%H:%M:%S} {step.__name__}", flush=True)
        step(on)
    later_backups(on, key_file)
    on.let_time_pass()


def introduce(on: Installation) -> None:
    """Set the platform up, with its own lifecycle rules beside an operator's."""
    remote_tier.install(on.boto, on.settings.bucket, OPERATORS_RULE)
    on.storage("migrate")
    on.storage("probe")
    on.storage("lifecycle", "apply", "--apply")
    rules = on.boto.get_bucket_lifecycle_configuration(Bucket=on.settings.bucket)["Rules"]
    on.facts |= {"lifecycle_rules": sorted(one["ID"] for one in rules)}


def pipeline(on: Installation) -> None:
    """Insert pipeline jobs that maintenance does not act on, one of each status."""
    on.sql(
        "INSERT INTO api_keys (key_hash, storage_quota_bytes, storage_used_bytes) VALUES ('key-1', 1000, 9)"
    )
    for status in ("queued", "processing", "transcoding", "uploading", "cleaned_up", "failed", "completed"):
        on.job(f"plain-{status}", status, 0.01)
    on.put("uploads/plain-processing/in.mp4", noise("in", 3000), 0.01, parts=(3000,))
    on.put("processed/plain-completed/metadata.json", b'{"title": "plain"}', 0.01)


def first_backup(on: Installation) -> None:
    """Take the proven backup that the guard requires for any delete."""
    [made] = on.storage("backup", "run", "database")
    on.facts["backups"] = {"proven": made["id"]}
    on.facts["jobs_in_backup"] = {"proven": on.sql("SELECT count(*) FROM jobs")[0][0]}


def verdicts(on: Installation) -> None:
    """Give verdicts on jobs whose rows a restore lost. Nothing is restored: only a restore epoch opens."""
    on.put("processed/lost-condemned/360p/a.mp4", noise("lost", 900), 3)
    on.put("uploads/lost-adopted/in.mp4", noise("adopted", 900), 60)
    reply = {"backup": on.facts["backups"]["proven"], "taken_at": (on.now - timedelta(days=1)).isoformat()}
    epoch = json.dumps(reply | {"restored_at": on.now.isoformat(), "kept": ""})
    product.control(on.settings, "restore_epoch", epoch)
    owners = {one["owner"] for one in on.storage("reconcile")} - {"lost-condemned"}
    on.storage("reconcile", "--condemn", "lost-condemned", "--adopt", *sorted(owners))
    on.storage("reconcile", "--close")
    on.facts["verdicts"] = {"condemn": ["lost-condemned"], "adopt": sorted(owners)}
    on.facts["runs"] = {"unreconciled": on.plan("condemn_unreconciled")}


def cold(on: Installation) -> None:
    """Compress with every codec, record what does not shrink, and move; then ask for an unconfirmed move."""
    on.job("cold-1", "completed", 200)
    files = {
        "transcription/notes.vtt": TEXT, "transcription/notes.json": TEXT * 2, "transcription/back.txt": TEXT,
        "metadata.json": json.dumps({"title": "cold", "lines": TEXT.decode()}).encode(),
        "extra/log.txt": TEXT * 3, "360p/output.mp4": noise("film", 4000),
        "audio/output.mp3": noise("mp3", 3000),
    }  # fmt: skip
    for name, data in files.items():
        on.put(f"processed/cold-1/{name}", data, 200)
    on.job("pinned-1", "completed", 200)
    on.put("processed/pinned-1/transcription/notes.vtt", TEXT, 200)
    on.storage("tier", "pin", "pinned-1", "--reason", "a person watches it")
    on.facts["originals"] = originals(on)
    on.facts["runs"]["cold"] = on.seen(on.run("cold_storage"))
    on.storage("decompress", "processed/cold-1/transcription/back.txt", "--apply")
    on.storage("get", "processed/cold-1/transcription/notes.vtt", "-o", f"{on.settings.temp_dir}/../got")
    ask_without_answer(on)


def ask_without_answer(on: Installation) -> None:
    """Send an object to the tier while the second store is down, so that its arrival is not seen."""
    on.job("cold-2", "completed", 200)
    on.put("processed/cold-2/audio/output.mp3", noise("mp3 of two", 3000), 200)
    on.facts["originals"] |= originals(on, "processed/cold-2/")
    on.cold.stop()
    patience, product.tiering.TIMEOUT = product.tiering.TIMEOUT, 1.0  # otherwise it waits for two minutes
    on.facts["runs"]["asked"] = on.seen(on.run("cold_storage"))
    product.tiering.TIMEOUT = patience
    [(on.facts["asked"],)] = on.sql("SELECT key FROM maintenance.cold_objects WHERE tier_state = 'asked'")


def originals(on: Installation, prefix: str = "") -> dict[str, str]:
    """Return the hash of each object as it is now."""
    found = {}
    for key in (one["Key"] for one in listing(on.boto, on.settings.bucket)):
        if key.startswith(prefix) and not key.startswith("."):
            body = on.boto.get_object(Bucket=on.settings.bucket, Key=key)["Body"].read()
            found[key] = hashlib.sha256(body).hexdigest()
    return found


def failed_jobs(on: Installation) -> None:
    """Leave failed jobs in every state: undone, claimed and half deleted, due, and just condemned."""
    runs = on.facts["runs"]
    runs["undone"] = on.seen(_condemned(on, "failed-undone"))
    on.storage("undo", runs["undone"]["id"])
    on.sql("UPDATE jobs SET status = 'completed' WHERE id = 'failed-undone'")
    _condemned(on, "failed-claimed")
    on.let_time_pass()
    runs["reap_killed"] = _killed(on, on.plan("reap")["id"], "delete")
    runs["due"] = on.seen(_condemned(on, "failed-due"))
    runs["to_undo"] = on.seen(_condemned(on, "failed-to-undo"))


def _condemned(on: Installation, id: str) -> str:
    """Condemn a failed job with its objects; return the run's id."""
    on.job(id, "failed", 30)
    on.put(f"processed/{id}/360p/output.mp4", noise(id, 700), 30)
    on.put(f"uploads/{id}/in.mp4", noise(f"{id} in", 800), 30)
    return on.run("cleanup_failed_jobs")


def _killed(on: Installation, run_id: str, point: str) -> dict[str, object]:
    """Apply the run in a process that kills itself at the point."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.upgrade.killed", run_id, point],
        env=bare() | environment(on.settings),
        cwd=ROOT,
        check=False,
    )
    assert done.returncode == -9, done
    run = on.seen(run_id)
    batches = on.sql("SELECT number FROM maintenance.batches WHERE run_id = %s ORDER BY 1", [run_id])
    assert run["state"] == "applying", run
    return run | {"finished_batches": [number for (number,) in batches]}


def temp_files(on: Installation) -> None:
    """Set temp files aside: one run to undo, one that is due, and one killed before it removed the folder."""
    runs = on.facts["runs"]
    on.file("to-undo/a.ts", b"to be put back")
    runs["files_to_undo"] = on.seen(product.temp_files_run(on.settings))
    on.file("due/b.ts", b"to be unlinked")
    runs["files_due"] = on.seen(product.temp_files_run(on.settings))
    on.file("killed/c.ts", b"its folder is left")
    run_id = product.temp_files_run(on.settings, only_plan=True)
    runs["files_killed"] = _killed(on, run_id, "batch")


def uploads(on: Installation) -> None:
    """Begin a multipart upload that is in the journal, and leave a group of parts; plan to end both."""
    key = "uploads/plain-uploading/never.mp4"
    begun = on.boto.create_multipart_upload(Bucket=on.settings.bucket, Key=key)
    product.journal_upload(on.settings, key, begun["UploadId"])
    on.sql(
        "UPDATE maintenance.uploads SET initiated_at = now() - interval '5 days',"
        " heartbeat_at = now() - interval '5 days' WHERE closed_at IS NULL"
    )
    for number in (1, 2):
        on.put(f"uploads/gone-parts/film.mp4.part{number}", noise(f"part {number}", 500), 10)
    on.facts["runs"]["uploads_planned"] = on.plan("abort_uploads")
    on.facts["journal"] = on.sql("SELECT count(*) FROM maintenance.uploads WHERE closed_at IS NULL")[0][0]


def waiting(on: Installation) -> None:
    """Condemn an orphan that is due by now; let a plan of others, one multipart, wait for approval."""
    runs = on.facts["runs"]
    on.put("uploads/orphan-due/in.mp4", noise("due", 600), 40)
    runs["orphan_due"] = on.seen(on.run("cleanup_orphan_uploads"))
    on.put("uploads/orphan-1/in.mp4", noise("one", 600), 40)
    on.put("uploads/orphan-2/in.mp4", noise("two", 600), 40, parts=(600,))
    runs["waiting"] = on.plan("cleanup_orphan_uploads", "--param", "max_objects=1", code=4)


def stuck(on: Installation) -> None:
    """Let a plan of stuck jobs wait, approved and not applied; and have one refused by the kill switch."""
    on.job("stuck-1", "processing", 5)
    on.job("stuck-2", "transcoding", 5)
    run = on.plan("cleanup_stuck_jobs", "--param", "max_objects=1", code=4)
    product.approve(on.settings, run["id"], run["plan_sha256"])
    on.facts["runs"]["approved"] = run
    on.storage("pause", "--reason", "for a moment")
    on.storage("plan", "cleanup_temp_objects", code=5)
    on.storage("resume")


def planned(on: Installation) -> None:
    """Make plans that are not applied: deletes, condemnations, compressions, moves and a follow-up."""
    runs = on.facts["runs"]
    for number in (1, 2, 3):
        on.put(f"temp/gone/{number}.ts", noise(f"temp {number}", 300), 3)
    runs["temp_planned"] = on.plan("cleanup_temp_objects")
    on.job("failed-planned", "failed", 30)
    on.put("processed/failed-planned/360p/output.mp4", noise("planned", 700), 30)
    runs["failed_planned"] = on.plan("cleanup_failed_jobs")
    on.job("cold-3", "completed", 200)
    on.put("processed/cold-3/transcription/notes.json", TEXT * 4, 200)
    on.put("processed/cold-3/audio/output.mp3", noise("mp3 of three", 3000), 200)
    on.facts["originals"] |= originals(on, "processed/cold-3/")
    runs["cold_planned"] = on.plan("cold_storage")


def later_backups(on: Installation, key_file: Path) -> None:
    """Take a backup of the metadata, one that is not proven, and one that is encrypted and pinned."""
    backups = on.facts["backups"]
    [made] = on.storage("backup", "run", "metadata", "--details")
    backups["metadata"] = made["id"]
    [made] = on.storage("backup", "run", "database", "--no-proof")
    backups["unproven"] = made["id"]
    recipient = key_file.read_text().split("public key: ")[1].split()[0]
    words = {"backup_recipients": recipient, "backup_identity_file": str(key_file)}
    [made] = on.storage("backup", "run", "database", **words)
    backups["encrypted"] = made["id"]
    on.storage("backup", "pin", made["id"], "--reason", "before the upgrade")
    jobs = on.sql("SELECT count(*) FROM jobs")[0][0]
    on.facts["jobs_in_backup"] |= {"unproven": jobs, "encrypted": jobs}
