"""Backups of the database, taken and proven on real servers; their use of memory and disk."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pyrage
import pytest

from storage.backup import manifest as manifests
from storage.backup.context import BackupContext
from storage.backup.database import backup_database
from storage.backup.errors import BackupDamaged
from storage.backup.prove import prove
from storage.core.errors import JobBusy
from storage.installation import open_installation
from tests.conftest import Place
from tests.support.backup_databases import Bucket, execute, fill, session
from tests.support.command_line import ROOT, bare, environment

NOW = datetime(2026, 3, 8, tzinfo=UTC)
MIB = 1 << 20
BLOCK = 4 * MIB
ALLOWED = 2 * 16 * MIB * 3 + 30 * MIB  # twice the parts in flight, plus a margin

PROGRAM = """
import json, os, re, resource
from pathlib import Path
from storage.backup.context import BackupContext
from storage.backup.database import backup_database
from storage.core.settings import Settings
from storage.installation import open_installation

def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024

settings = Settings.from_env(os.environ)
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, 1 << 16))  # no file of it or its programs may grow
with open_installation(settings) as stores:
    stores.backup_bucket.head("warm"), stores.backup_bucket.boto, stores.catalogue.all()
    before = peak()
    taken = backup_database(BackupContext(stores=stores, settings=settings))
    print(json.dumps({"growth": peak() - before, "size": taken.size}))
"""


@pytest.fixture
def context(place: Place) -> Iterator[BackupContext]:
    with open_installation(place.settings) as stores:
        yield BackupContext(stores=stores, settings=place.settings)


def test_a_backup_is_taken_and_proven(context: BackupContext, add_job: Callable[..., None]) -> None:
    for number in range(50):
        add_job(f"job-{number}", "completed", NOW)
    taken = backup_database(context)
    assert taken.state == "complete"
    assert taken.items >= 50
    proven = prove(context, taken.id)
    assert proven.state == "proven"
    assert ["public.jobs", 50] in [row[:2] for row in proven.certificate["tables"]]
    assert all(row[2] == row[3] for row in proven.certificate["tables"])
    assert context.stores.catalogue.newest_proven("database", context.stores.clock()) == proven


def test_a_flipped_bit_is_found(context: BackupContext, place: Place, add_job: Callable[..., None]) -> None:
    add_job("job-1", "completed", NOW)
    taken = backup_database(context)
    bucket, key = place.settings.backup_bucket, f"database/{taken.id}/dump.zst"
    data = bytearray(place.boto.get_object(Bucket=bucket, Key=key)["Body"].read())
    data[len(data) // 2] ^= 1
    place.boto.put_object(Bucket=bucket, Key=key, Body=bytes(data))
    with pytest.raises(BackupDamaged, match="dump is not what was written"):
        prove(context, taken.id)
    assert context.stores.catalogue.get(taken.id).state == "failed"  # type: ignore[union-attr]


@pytest.mark.parametrize("place", ["ministack"], indirect=True)
def test_what_the_bucket_holds_when_it_is_done(context: BackupContext, place: Place) -> None:
    """Two parts and the manifest, then the certificate. Each manifest names its predecessor."""
    first, second = backup_database(context), backup_database(context)
    bucket = Bucket(place)
    for taken in (first, second):
        names = [key.rpartition("/")[2] for key in bucket.keys if taken.id in key]
        assert names == ["dump.zst", "globals.zst", "manifest.json"]
    manifest, sha256 = manifests.read(second.id, context.stores.backup_bucket)
    assert sha256 == second.manifest_sha256
    assert manifest.previous == first.manifest_sha256
    assert manifest.tools.keys() == {"pg_dump", "pg_dumpall", "pg_restore"}
    assert place.settings.secret_key.encode() not in b"".join(map(bucket.get, bucket.keys))
    proven = prove(context, second.id)
    (key,) = [key for key in bucket.keys if "certificate" in key]
    assert json.loads(bucket.get(key)) == proven.certificate
    assert bucket.uploads() == []


@pytest.mark.parametrize("place", ["ministack"], indirect=True)
def test_it_holds_one_instant(context: BackupContext) -> None:
    """Rows written while the dump runs are neither in it nor in its counts, so the backup can be proven."""
    url = context.settings.database_url
    execute(url, "CREATE TABLE busy (n serial PRIMARY KEY, w text)")
    execute(url, "INSERT INTO busy (w) SELECT repeat(md5(g::text), 40) FROM generate_series(1, 20000) AS g")
    ending = False

    def write() -> int:
        written = 0
        with session(url) as one, one.cursor() as cursor:
            while not ending:
                cursor.execute(
                    "INSERT INTO busy (w) VALUES ('new'); UPDATE busy SET w = 'changed' WHERE n % 97 = 1"
                )
                cursor.execute("DELETE FROM busy WHERE n = (SELECT min(n) FROM busy)")
                written += 1
        return written

    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(write)
        taken = backup_database(context)
        ending = True
    assert writing.result() > 2
    assert prove(context, taken.id).state == "proven"


@pytest.mark.parametrize("place", ["ministack"], indirect=True)
def test_only_one_at_a_time(context: BackupContext) -> None:
    with context.stores.runs.lock("backup_database"), pytest.raises(JobBusy):
        backup_database(context)
    with context.stores.runs.lock("prove"), pytest.raises(JobBusy):
        prove(context, backup_database(context).id)


@pytest.mark.parametrize("place", ["minio"], indirect=True)
def test_memory_does_not_grow_with_the_database_and_nothing_is_on_disk(place: Place, tmp_path: Path) -> None:
    key = pyrage.x25519.Identity.generate().to_public()
    settings = replace(place.settings, backup_recipients=str(key))
    env = bare() | environment(settings) | {"TMPDIR": str(tmp_path / "temporary")}
    (tmp_path / "temporary").mkdir()
    growth = []
    for blocks in (5, 50):
        fill(settings.database_url, "blocks", blocks, BLOCK)
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM], cwd=ROOT, env=env, capture_output=True, text=True, timeout=120,
            check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        answer = json.loads(done.stdout)
        assert answer["size"] > blocks * BLOCK * 0.7
        growth.append(answer["growth"])
    assert max(growth) <= ALLOWED
    assert list((tmp_path / "temporary").iterdir()) == []


def test_a_lost_manifest_is_found(context: BackupContext, place: Place, add_job: Callable[..., None]) -> None:
    """The backup was proven and must not count any more, neither for the guard nor for retention."""
    add_job("job-1", "completed", NOW)
    proven = prove(context, backup_database(context).id)
    key = f"database/{proven.id}/manifest.json"
    place.boto.delete_object(Bucket=place.settings.backup_bucket, Key=key)
    with pytest.raises(BackupDamaged, match="manifest is missing"):
        prove(context, proven.id)
    assert context.stores.catalogue.get(proven.id).state == "failed"  # type: ignore[union-attr]
    assert context.stores.catalogue.newest_proven("database", context.stores.clock()) is None
