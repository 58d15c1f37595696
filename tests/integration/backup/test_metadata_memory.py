"""Memory of a metadata backup: that of one part, whatever its length. No server: a synthetic listing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

MIB = 1 << 20

PROGRAM = '''
import json, re, shutil, sys
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from storage.backup.metadata import backup_minio_metadata
from storage.backup.prove import prove
from storage.backup.context import BackupContext
from storage.core.attributes import Attributes, Document
from storage.core.model import ObjectInfo, ObjectKey
from storage.core.settings import Settings
from storage.testing import MemoryObjects, memory_stores

NOW, count = datetime(2026, 3, 8, 2, tzinfo=UTC), int(sys.argv[1])

class Endless(MemoryObjects):
    """Lists so many objects, of which each fortieth is a document, and holds none."""
    def inventory(self):
        for number in range(count):
            name = "metadata.json" if number % 40 == 0 else "segment.ts"
            key = f"processed/job-{number:07}/{name}"
            yield ObjectInfo(ObjectKey(key), 3, NOW - timedelta(days=2), f"{number:032x}")
    def document(self, key, most):
        return Document(key, "0-1", False, Attributes("application/json"), b"abc")
    def head(self, key):
        number = int(re.search(r"\\d+", key)[0])
        return ObjectInfo(key, 3, NOW - timedelta(days=2), f"{number:032x}")

def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024

objects, clock = Endless(lambda: NOW), lambda: NOW
settings = Settings(endpoint_url="http://s3.example", access_key="a", secret_key="b", database_url="")
context = BackupContext(stores=memory_stores(None, clock, objects=objects), settings=settings)
before = peak()
taken = backup_minio_metadata(context)
done = prove(context, taken.id)
print(json.dumps({"items": taken.items, "state": done.state, "peak": peak() - before, "held": taken.size}))
'''


def _run(count: int) -> dict[str, Any]:
    command = [sys.executable, "-c", PROGRAM, str(count)]
    root = Path(__file__).resolve().parents[3]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak is read from Linux's /proc")
def test_memory_is_flat_in_the_number_of_objects() -> None:
    """The backup's own bytes, which the fake backup bucket keeps in memory, are not counted."""
    few, many = _run(60_000), _run(240_000)
    assert (many["items"], many["state"]) == (240_000, "proven")
    assert many["peak"] - few["peak"] < 2 * (many["held"] - few["held"]) + 8 * MIB
    assert few["peak"] < 30 * MIB
