"""Backing up the database: one snapshot, dumped, compressed, perhaps encrypted, hashed and uploaded as a
stream, while the same snapshot's tables are counted and hashed beside it. Nothing touches the disk."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import replace

from storage.backup.context import BackupContext, Progress, ProgressReader, entered, finish, part
from storage.backup.encryption import recipients, seal
from storage.backup.errors import DumpFailed, EmptyDatabase
from storage.backup.model import Backup, BackupId, DatabaseFacts, Manifest, Part
from storage.backup.postgres import dump as pg_dump
from storage.backup.postgres import fingerprint

TOOLS = ("pg_dump", "pg_dumpall", "pg_restore")


def backup_database(context: BackupContext, progress: Progress | None = None) -> Backup:
    """Take a backup of the whole database; complete, and not yet proven.

    Raises NoPostgresProgram, DumpFailed, EmptyDatabase, or what database and store raise; the row then
    says failed, and no manifest exists.
    """
    id, url = context.new_id(), context.settings.database_url
    to = recipients(context.settings.backup_recipients)
    with entered(context, "database", id), fingerprint.snapshot(url) as (snapshot, first, read):
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
            recipients=tuple(str(one) for one in to),
            tools=tools,
        )
        return finish(context, manifest, facts.rows)


@contextmanager
def _beside(read: fingerprint.Reader) -> Iterator[Future[DatabaseFacts]]:
    """The reading in a thread of its own; what ends the block early ends the reading too, at once."""
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(read)
        try:
            yield reading
        except BaseException as error:
            if reading.done() and isinstance(error, DumpFailed):
                reading.result()  # where it failed first, pg_dump did only because the snapshot was gone
            while not reading.done():
                read.cancel()
                wait([reading], 0.1)
            raise


def _dump(
    context: BackupContext, id: BackupId, first: DatabaseFacts, snapshot: str, progress: Progress | None
) -> Part:
    to = recipients(context.settings.backup_recipients)
    # The part is the outer block: pg_dump's verdict comes before the upload is completed, or it is aborted.
    with part(context, "database", id, "dump", first.bytes) as writer:  # noqa: SIM117
        with pg_dump.dump(context.settings.database_url, first.major, snapshot) as stream:
            seal(ProgressReader(stream, progress), writer.sink, to)
    return writer.part


def _globals(context: BackupContext, id: BackupId, first: DatabaseFacts) -> Part:
    to = recipients(context.settings.backup_recipients)
    with part(context, "database", id, "globals") as writer:  # noqa: SIM117
        with pg_dump.globals_of(context.settings.database_url, first.major) as stream:
            seal(stream, writer.sink, to)
    return writer.part
