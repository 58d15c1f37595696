"""Memory of a plan: that of one batch, whatever its length. No server: a synthetic listing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[3]
OBJECTS, MIB = 200_000, 1 << 20

PROGRAM = '''
import json, re, shutil, sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from storage import catalog
from storage.engine.plan import read
from storage.engine.sweep import plan
from storage.core.model import ObjectInfo, ObjectKey
from storage.testing import MemoryFiles, MemoryObjects, memory_stores

NOW, count, folder = datetime(2026, 3, 8, 2, tzinfo=UTC), int(sys.argv[1]), Path(sys.argv[2])

class Endless(MemoryObjects):
    """Lists so many objects and holds none."""
    length = 10
    def scan(self, prefix):
        for number in range(self.length):
            key = f"{prefix}job-{number // 50:06}/segment_{number:07}.ts"
            yield ObjectInfo(ObjectKey(key), number, NOW - timedelta(days=2), f"{number:032x}")

class OnDisk(MemoryObjects):
    """Keeps plans in files."""
    def put_file(self, key, path):
        shutil.copy(path, folder / key.rpartition("/")[2])
    def open(self, key):
        return (folder / key.rpartition("/")[2]).open("rb")

def memory(name):
    return int(re.search(name + r":\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024

objects, clock = Endless(lambda: NOW), lambda: NOW
stores = memory_stores(MemoryFiles(clock), clock, objects=objects, plans=OnDisk(clock, bucket="maintenance"))
job = catalog.get("cleanup_temp_objects")
plan(job, stores, NOW, run_id="warm")  # imports and caches
before, objects.length = memory("VmRSS"), count
run = plan(job, stores, NOW, run_id="large")
planned = memory("VmHWM") - before
lines = sum(1 for _ in read(run, stores.plans, job.by_verb))
both = memory("VmHWM") - before
print(json.dumps({"count": run.planned.count, "lines": lines, "plan": planned, "read": both}))
'''


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak is read from Linux's /proc")
def test_two_hundred_thousand_objects_are_planned_and_read_in_little_memory(tmp_path: Path) -> None:
    command = [sys.executable, "-c", PROGRAM, str(OBJECTS), str(tmp_path)]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["count"] == answer["lines"] == OBJECTS
    assert answer["plan"] < 60 * MIB
    assert answer["read"] < 60 * MIB
