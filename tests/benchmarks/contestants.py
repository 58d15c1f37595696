"""Python contestants, each run in a separate process: ``python -m tests.benchmarks.contestants NAME``

The settings come as JSON in BENCH_SETTINGS. A contestant prepares itself (imports, clients), then does its
work and returns the number of objects or files it worked on. The last line printed is JSON: that count, the
HTTP requests sent, and of the work alone the CPU and wall seconds, the bytes written to disk (CPU and bytes
with the programs it started) and by how many MiB this process grew at most. Imports are inside the functions,
so that no contestant loads another's libraries.
"""

from __future__ import annotations

import json
import os
import re
import resource
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from storage.installation import open_installation

if TYPE_CHECKING:
    from storage.core.ports import Stores
    from storage.core.settings import Settings

Work = Callable[[], int]
PREFIX = "temp/"
THREADS = 4  # as many as the engine uses
#: Objects made just now must count as old: the guard allows an as-of a minute ahead, and no more.
AHEAD, HOURS_OLD = timedelta(seconds=50), 1 / 120

requests = 0


def counting_pool() -> Any:
    """Return the platform's own connection pool, with every request counted."""
    import urllib3

    from storage.stores.s3.transport import pool

    counted: urllib3.PoolManager = pool()
    send = counted.urlopen

    def urlopen(*args: Any, **named: Any) -> Any:
        global requests
        requests += 1
        return send(*args, **named)

    counted.urlopen = urlopen  # type: ignore[method-assign]
    return counted


def settings() -> Settings:
    """Return the settings of the servers, bucket and temp folder."""
    from storage.core.settings import Settings

    return Settings(**json.loads(os.environ["BENCH_SETTINGS"]))


def _bucket() -> Any:
    from storage.connect import endpoint
    from storage.core.model import BucketName
    from storage.stores.s3.bucket import S3Bucket

    where = settings()
    return S3Bucket(endpoint(where), BucketName(where.bucket), http=counting_pool())


def _minio() -> tuple[Any, str]:
    from urllib.parse import urlsplit

    import minio

    where = json.loads(os.environ["BENCH_SETTINGS"])
    address = urlsplit(where["endpoint_url"])
    client = minio.Minio(
        address.netloc,
        access_key=where["access_key"],
        secret_key=where["secret_key"],
        region=where["region"],
        secure=address.scheme == "https",
    )
    send = client._http.urlopen

    def urlopen(*args: Any, **named: Any) -> Any:
        global requests
        requests += 1
        return send(*args, **named)

    client._http.urlopen = urlopen  # type: ignore[method-assign]
    return client, where["bucket"]


def list_scan() -> Work:
    """List with S3Bucket.scan."""
    from storage.core.model import Prefix

    bucket = _bucket()
    return lambda: sum(1 for _ in bucket.scan(Prefix(PREFIX)))


def list_minio() -> Work:
    """List with minio-py's list_objects."""
    client, bucket = _minio()
    return lambda: sum(1 for _ in client.list_objects(bucket, prefix=PREFIX, recursive=True))


def delete_scan() -> Work:
    """Delete with S3Bucket.scan and its bulk delete, batches of 1000 on threads; no plan, guard or check."""
    from concurrent.futures import ThreadPoolExecutor
    from itertools import islice

    from storage.core.model import DeleteTarget, Prefix

    bucket = _bucket()

    def work() -> int:
        targets = (DeleteTarget(i.key, i.etag, i.versions) for i in bucket.scan(Prefix(PREFIX)))
        batches, deleted = iter(lambda: list(islice(targets, 1000)), []), 0
        with ThreadPoolExecutor(THREADS) as pool:
            while window := list(islice(batches, THREADS)):
                failures = [failure for found in pool.map(bucket.delete, window) for failure in found]
                assert not failures, failures[0]
                deleted += sum(map(len, window))
        return deleted

    return work


def delete_minio() -> Work:
    """Delete with minio-py's remove_objects(list_objects())."""
    from minio.deleteobjects import DeleteObject

    client, bucket = _minio()

    def work() -> int:
        deleted = 0

        def to_delete() -> Iterator[Any]:
            nonlocal deleted
            for found in client.list_objects(bucket, prefix=PREFIX, recursive=True):
                deleted += 1
                yield DeleteObject(found.object_name)

        failures = list(client.remove_objects(bucket, to_delete()))
        assert not failures, failures[0]
        return deleted

    return work


@contextmanager
def _opened() -> Iterator[Stores]:

    def count(**_: Any) -> None:
        global requests
        requests += 1

    with open_installation(settings(), http=counting_pool()) as stores:
        for bucket in (stores.objects, stores.plans):
            bucket.boto.meta.events.register("before-send", count)  # type: ignore[attr-defined]
        yield stores


def _engine(job: str, **params: float) -> Work:
    """Plan, apply and verify with the engine; a plan beyond its limits is approved by its hash."""
    from storage import catalog, connect  # noqa: F401 - imported before the measured work
    from storage.core.clock import utcnow
    from storage.engine.sweep import plan
    from tests.support.runs import apply

    def work() -> int:
        with _opened() as stores:
            as_of: datetime = utcnow() + AHEAD
            planned = plan(catalog.get(job), stores, as_of, params, requested_by="benchmark")
            done = apply(planned.id, stores, approve=planned.plan_sha256, by="benchmark")
            assert done.state == "verified", done
            return done.done.count

    return work


def delete_engine() -> Work:
    """Run the maintenance job cleanup_temp_objects."""
    return _engine("cleanup_temp_objects", hours_old=HOURS_OLD)


def sweep_engine() -> Work:
    """Run the maintenance job cleanup_temp_files: files are set aside, their folders removed."""
    return _engine("cleanup_temp_files", hours_old=HOURS_OLD)


def sweep_reap() -> Work:
    """Run the maintenance job reap: files set aside are unlinked."""
    return _engine("reap")


def sweep_walk() -> Work:
    """Sweep with os.walk and getsize, then shutil.rmtree, folder by folder."""
    import shutil

    root = Path(json.loads(os.environ["BENCH_SETTINGS"])["temp_dir"])

    def work() -> int:
        count = freed = 0
        for folder in (entry for entry in root.iterdir() if entry.is_dir()):
            for parent, _, files in os.walk(folder):
                freed += sum(os.path.getsize(os.path.join(parent, name)) for name in files)  # noqa: PTH118, PTH202
                count += len(files)
            shutil.rmtree(folder)
        return count

    return work


ALL: dict[str, Callable[[], Work]] = {
    one.__name__: one
    for one in (
        list_scan, list_minio, delete_scan, delete_minio, delete_engine, sweep_engine, sweep_reap, sweep_walk
    )
}  # fmt: skip


def main(contestants: Mapping[str, Callable[[], Work]] = ALL) -> int:
    """Prepare, do the work, and print the cost of the work alone."""
    work = contestants[sys.argv[1]]()
    before, memory, wall = _used(), _memory("VmRSS"), time.perf_counter()
    count = work()
    wall, grown = time.perf_counter() - wall, _memory("VmHWM") - memory
    cpu, written = (after - first for after, first in zip(_used(), before, strict=True))
    answer = {"count": count, "requests": requests, "work_cpu": cpu, "work_wall": wall}
    print(json.dumps(answer | {"written": written, "growth_mib": grown}))
    return 0


def _used() -> tuple[float, int]:
    """Return CPU seconds so far, and bytes written to files on disk, including unnamed files."""
    own, others = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    cpu = own.ru_utime + own.ru_stime + others.ru_utime + others.ru_stime
    return cpu, 512 * (own.ru_oublock + others.ru_oublock)


def _memory(name: str) -> float:
    """Return this process's memory in MiB by that name in /proc; NaN without /proc."""
    status = Path("/proc/self/status")
    found = re.search(rf"{name}:\s+(\d+) kB", status.read_text()) if status.exists() else None
    return int(found[1]) / 1024 if found else float("nan")


if __name__ == "__main__":
    sys.exit(main())
