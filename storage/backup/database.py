"""Database backups: one snapshot, dumped, compressed, perhaps encrypted, hashed and uploaded as a stream.

Meanwhile the tables of the same snapshot are counted and hashed. Nothing is written to disk.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import replace

from storage.backup.context import BackupContext, Progress, ProgressReader, entered, finish, part
from storage.backup.encryption import recipients, seal
from storage.backup.errors import DumpFailed, EmptyDatabase, NothingDumped
from storage.backup.model import Backup, BackupId, DatabaseFacts, Manifest, Part
from storage.backup.postgres import dump as pg_dump
from storage.backup.postgres import fingerprint

TOOLS = ("pg_dump", "pg_dumpall", "pg_restore")
TRIES = 3  # a TRUNCATE or ALTER that is queued when pg_dump begins makes it give way


def backup_database(context: BackupContext, progress: Progress | None = None) -> Backup:
    """Back up the whole database. The backup is complete, and not yet proven.

    Raises NoPostgresProgram, DumpFailed, EmptyDatabase, or errors of database and store; the row then turns
    to failed, and no manifest exists.
    """
    id = context.new_id()
    recipients(context.settings.backup_recipients)  # a wrong one is refused before anything is entered
    with entered(context, "database", id):
        for left in reversed(range(TRIES)):
            try:
                return _taken(context, id, progress)
            except NothingDumped:
                if not left:
                    raise
    raise AssertionError("the last try returns or raises")


def _taken(context: BackupContext, id: BackupId, progress: Progress | None) -> Backup:
    to = recipients(context.settings.backup_recipients)
    with fingerprint.snapshot(context.settings.database_url) as (snapshot, first, read):
        tools = {name: pg_dump.tool(name, first.major) for name in TOOLS}
        with _beside(read) as reading:
            dumped = _dump(context, id, first, snapshot, progress)
            roles = _globals(context, id, first)
            facts = reading.result()
        if not facts.tables:
            raise EmptyDatabase(facts.database)
        manifest = Manifest(
            id=id,
            kind="database",
            parts=(dumped, roles),
            facts=replace(facts, taken_at=first.taken_at),
            recipients=tuple(str(recipient) for recipient in to),
            tools=tools,
        )
        return finish(context, manifest, facts.rows)


@contextmanager
def _beside(read: fingerprint.Reader) -> Iterator[Future[DatabaseFacts]]:
    """Run ``read`` in a separate thread; cancel it at once if the block ends early."""
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(read)
        try:
            yield reading
        except BaseException as error:
            if reading.done() and isinstance(error, DumpFailed):
                reading.result()  # if it failed first, pg_dump failed only because the snapshot was gone
            while not reading.done():
                read.cancel()
                wait([reading], 0.1)
            raise


def _dump(
    context: BackupContext, id: BackupId, first: DatabaseFacts, snapshot: str, progress: Progress | None
) -> Part:
    to = recipients(context.settings.backup_recipients)
    reader: ProgressReader | None = None
    try:
        # The part is the outer block: the upload is completed only after pg_dump succeeded, else aborted.
        with part(context, "database", id, "dump", first.bytes) as writer:  # noqa: SIM117
            with pg_dump.dump(context.settings.database_url, first.major, snapshot) as stream:
                reader = ProgressReader(stream, progress)
                seal(reader, writer.sink, to)
    except DumpFailed as error:
        if reader and not reader.bytes_read:
            raise NothingDumped(*error.args) from error
        raise
    return writer.part


def _globals(context: BackupContext, id: BackupId, first: DatabaseFacts) -> Part:
    to = recipients(context.settings.backup_recipients)
    with part(context, "database", id, "globals") as writer:  # noqa: SIM117
        with pg_dump.globals_of(context.settings.database_url, first.major) as stream:
            seal(stream, writer.sink, to)
    return writer.part
