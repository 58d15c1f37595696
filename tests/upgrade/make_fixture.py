"""Maker of a version's fixture: ``python -m tests.upgrade.make_fixture tests/upgrade/fixtures/0.1.0``.

The README beside this file says when and how to run it.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
import tempfile
from collections import Counter
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pyrage

from tests.support.command_line import ROOT
from tests.upgrade import contents, database, stored
from tests.upgrade.installation import Installation, installation

DATABASE, OBJECTS, TEMP, FACTS = "database.sql.gz", "objects.zip", "temp.tar", "facts.json"
KEY = "throw-away-test-key.txt"
PRODUCT = ("storage", "sql", "plugins", "dags")
MOST = 400 << 10  # bytes of a fixture, which stays in the repository for good


def main(folder: Path) -> None:
    """Make the fixture in a new folder."""
    commit = _commit()
    folder.mkdir(parents=True)
    with tempfile.TemporaryDirectory(prefix="upgrade-") as scratch:
        key_file = _test_key(folder / KEY)
        with installation(Path(scratch), version("transcode-flow-storage")) as on:
            on.facts |= {"version": version("transcode-flow-storage"), "commit": commit}
            on.facts |= {"made_at": on.now.isoformat(), "store": "minio"}
            contents.fill(on, key_file)
            cold = on.cold.restart()  # so that the objects in it can be read
            try:
                _save(on, folder)
            finally:
                cold.stop()
    size = sum(path.stat().st_size for path in folder.iterdir())
    print(f"{folder}: {size:,} bytes")
    if size > MOST:
        raise SystemExit(f"a fixture may have {MOST:,} bytes")


def _commit() -> str:
    """Return the last commit of the product; refuse a product with uncommitted changes."""
    changed = _git("status", "--porcelain", "--", *PRODUCT)
    if changed:
        raise SystemExit(f"commit these changes first, for a fixture says which commit made it:\n{changed}")
    return _git("log", "-1", "--format=%H", "--", *PRODUCT)


def _git(*argv: str) -> str:
    done = subprocess.run(["git", *argv], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def _test_key(path: Path) -> Path:
    key = pyrage.x25519.Identity.generate()
    words = "# A throw-away key made for this test fixture. It protects nothing."
    path.write_text(f"{words}\n# public key: {key.to_public()}\n{key}\n")
    return path


def _save(on: Installation, folder: Path) -> None:
    """Write database, objects, temp folder and facts, none of which changes any more."""
    settings = on.settings
    names = ("bucket", "maintenance_bucket", "backup_bucket", "cold_rules", "tiers", "proof_server")
    on.facts["settings"] = {name: getattr(settings, name) for name in names}
    on.facts["endpoint"] = settings.endpoint_url
    buckets = (settings.bucket, settings.maintenance_bucket, settings.backup_bucket)
    objects = stored.save(on.boto, buckets, folder / OBJECTS)
    on.facts |= {"objects": dict(Counter(one.bucket for one in objects)), **_counts(on)}
    on.facts["lifecycle"] = on.boto.get_bucket_lifecycle_configuration(Bucket=settings.bucket)["Rules"]
    database.dump(settings.database_url, int(on.server.version.partition(".")[0]), folder / DATABASE)
    with tarfile.open(folder / TEMP, "w") as file:
        file.add(settings.temp_dir, arcname=".", filter=_nobody)
    (folder / FACTS).write_text(json.dumps(on.facts, indent=1, sort_keys=True, default=str) + "\n")


def _nobody(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    """Return the entry without its owner, which belongs to the machine, not to the installation."""
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    return entry


def _counts(on: Installation) -> dict[str, Any]:
    """Return the content of the tables, as queried from the database."""
    by_state = "SELECT kind, state, count(*) FROM maintenance.tombstones GROUP BY 1, 2 ORDER BY 1, 2"
    memory = "SELECT key FROM maintenance.cold_objects WHERE coding = '{}' ORDER BY 1"
    ledger = "SELECT kind, count(*), sum(before_bytes), sum(after_bytes) FROM maintenance.savings GROUP BY 1"
    return {
        "jobs": dict(on.sql("SELECT id, status FROM jobs ORDER BY 1")),
        "tombstones": {f"{kind} {state}": count for kind, state, count in on.sql(by_state)},
        "claims": [
            owner for (owner,) in on.sql("SELECT owner FROM maintenance.claims WHERE closed_at IS NULL")
        ],
        "compressed": [key for (key,) in on.sql(memory.format("compressed"))],
        "moved": [
            key for (key,) in on.sql("SELECT key FROM maintenance.cold_objects WHERE tier_state = 'held'")
        ],
        "incompressible": [key for (key,) in on.sql(memory.format("skipped"))],
        "ledger": {kind: [count, int(was), int(now)] for kind, count, was, now in on.sql(ledger)},
        "savings": {name: on.storage("savings")["total"][name] for name in ("objects", "saved")},
        "backup_states": dict(on.sql("SELECT id, state FROM maintenance.backups ORDER BY 1")),
        "run_states": dict(on.sql("SELECT id, state FROM maintenance.runs ORDER BY 1")),
        "accesses": on.sql("SELECT count(*) FROM maintenance.accesses")[0][0],
        "cold_pins": dict(on.sql("SELECT owner, reason FROM maintenance.cold_pins")),
        "lifecycle_versions": on.sql("SELECT count(*) FROM maintenance.lifecycle_versions")[0][0],
        "controls": [name for (name,) in on.sql("SELECT name FROM maintenance.control ORDER BY 1")],
    }


if __name__ == "__main__":
    main(Path(sys.argv[1]))
