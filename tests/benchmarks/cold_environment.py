"""Objects to compress: made once, restored before each start, checked after it."""

from __future__ import annotations

import gzip
import hashlib
import io
import random
import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import zstandard
from minio.commonconfig import CopySource
from minio.deleteobjects import DeleteObject

from storage.cli.installation import probe_now
from tests.benchmarks import cold_mix
from tests.benchmarks.cold_mix import Thing
from tests.benchmarks.environment import FILLERS, Environment
from tests.benchmarks.race import Unfit

ORIGINALS = "originals"  # the bucket that the objects are copied from
PACKED = "packed/"  # prefix for files that a contestant leaves under other names
LOOKS = 60  # objects read back and compared after each start
FORGET = "TRUNCATE maintenance.cold_objects, maintenance.savings"
JOB = """INSERT INTO jobs (id, status, updated_at, completed_at)
SELECT unnest(%s), 'completed', now() - interval '100 days', now() - interval '100 days'"""


def fill(on: Environment) -> list[Thing]:
    """Write the originals into a separate bucket, insert the rows of their jobs, and probe the store."""
    on.minio.make_bucket(ORIGINALS)
    probe_now(on.settings)
    with on.database.connect("bench") as session, session.cursor() as cursor:
        cursor.execute(JOB, [cold_mix.job_ids()])

    def put(content: tuple[str, bytes]) -> Thing:
        key, data = content
        on.minio.put_object(ORIGINALS, key, io.BytesIO(data), len(data))
        return cold_mix.thing(key, data)

    things: list[Thing] = []
    with ThreadPoolExecutor(FILLERS) as pool:
        for job in cold_mix.job_ids():
            things += pool.map(put, cold_mix.contents(job))
    return things


def put_back(on: Environment, things: Sequence[Thing]) -> None:
    """Restore exactly these objects; delete their rows in the database, and the files of an earlier start."""
    bucket, wanted = on.settings.bucket, {one.key for one in things}
    to_delete = [DeleteObject(key) for key in stored(on) if key not in wanted]
    if failures := list(on.minio.remove_objects(bucket, to_delete)):
        raise Unfit(f"{bucket} cannot be emptied: {failures[0]}")

    def copy(key: str) -> None:
        on.minio.copy_object(bucket, key, CopySource(ORIGINALS, key))

    with ThreadPoolExecutor(FILLERS) as pool:
        list(pool.map(copy, wanted))
    with on.database.connect("bench") as session, session.cursor() as cursor:
        cursor.execute(FORGET)
    shutil.rmtree(on.temporary)
    on.temporary.mkdir()


def stored(on: Environment) -> dict[str, int]:
    """Return the size of every object of a job or left by a contestant, as another client lists them."""
    return {
        str(found.object_name): int(found.size or 0)
        for prefix in ("processed/", PACKED)
        for found in on.minio.list_objects(on.settings.bucket, prefix=prefix, recursive=True)
    }


def readable(on: Environment, things: Sequence[Thing], prefix: str) -> None:
    """Check the number of objects, and that a random sample decodes to the original bytes. Raises Unfit."""
    found = {key: size for key, size in stored(on).items() if key.startswith(prefix)}
    if len(found) != len(things):
        raise Unfit(f"{len(found):,} objects are left of {len(things):,}")
    for one in random.sample(list(things), min(LOOKS, len(things))):
        key = one.key if one.key in found else PACKED + one.key.partition("/")[2] + ".zst"
        if hashlib.sha256(_original(on, key)).hexdigest() != one.sha256:
            raise Unfit(f"{key} does not come back as it was")


def _original(on: Environment, key: str) -> bytes:
    answer = on.minio.get_object(on.settings.bucket, key)
    with answer:
        data = b"".join(answer.stream(1 << 20, decode_content=False))
        encoding = "zstd" if key.endswith(".zst") else answer.headers.get("content-encoding", "")
    if encoding == "gzip":
        return gzip.decompress(data)
    return zstandard.ZstdDecompressor().decompressobj().decompress(data) if encoding == "zstd" else data
