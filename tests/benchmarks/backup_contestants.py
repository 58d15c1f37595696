"""Contestants that back up: ``python -m tests.benchmarks.backup_contestants NAME``

As :mod:`tests.benchmarks.contestants`; each makes one backup of the database and leaves it in the bucket.
"""

from __future__ import annotations

import atexit
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING

from storage.backup.connect import open_context
from tests.benchmarks.contestants import Work, main, settings

if TYPE_CHECKING:
    from storage.backup.context import BackupContext

LARGEST = 1 << 16  # bytes of a file that the product may write


def documents() -> Work:
    """Back up as the pipeline's documents describe: a file of ``pg_dump | gzip``, hashed, then uploaded."""
    import hashlib
    import os
    import subprocess
    import tempfile
    from pathlib import Path

    from storage.connect import endpoint

    where = settings()
    client, path = endpoint(where).minio(), Path(tempfile.gettempdir(), "dump.sql.gz")
    command = f"{os.environ['BENCH_PG_DUMP']} | gzip > '{path}'"

    def work() -> int:
        subprocess.run(["sh", "-c", command], check=True)
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        client.fput_object(where.backup_bucket, "database/dump.sql.gz", str(path), metadata={"sha256": found})
        return 1

    return work


def _context() -> BackupContext:
    """Open a context and its connections; from then on no file, named or not, may grow beyond LARGEST."""
    import resource

    from storage.core.model import ObjectKey

    stack = ExitStack()
    atexit.register(stack.close)
    context = stack.enter_context(open_context(settings()))
    context.stores.backup_bucket.head(ObjectKey("warm"))
    context.stores.backup_bucket.boto  # type: ignore[attr-defined] # noqa: B018 - imported before the work
    context.stores.catalogue.all("database")
    resource.setrlimit(resource.RLIMIT_FSIZE, (LARGEST, LARGEST))
    return context


def whole() -> Work:
    """Back up with the product: with hashes of all tables' content, roles, manifest and catalogue."""
    from storage.backup.database import backup_database

    context = _context()

    def work() -> int:
        return int(backup_database(context).state == "complete")

    return work


def pipeline() -> Work:
    """Back up with the product's pipeline alone: one dump, compressed, hashed and uploaded as a stream."""
    from storage.backup.context import part
    from storage.backup.encryption import seal
    from storage.backup.postgres import dump as pg_dump
    from storage.backup.postgres import fingerprint

    context = _context()

    def work() -> int:
        url, id = context.settings.database_url, context.new_id()
        with (
            fingerprint.snapshot(url) as (snapshot, first, _),
            part(context, "database", id, "dump", first.bytes) as writer,
            pg_dump.dump(url, first.major, snapshot) as stream,
        ):
            seal(stream, writer.sink)
        return int(writer.part.size > 0)

    return work


ALL = {one.__name__: one for one in (documents, whole, pipeline)}


if __name__ == "__main__":
    sys.exit(main(ALL))
