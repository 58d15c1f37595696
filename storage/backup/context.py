"""Context of backup operations, and their records in the catalogue."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import BinaryIO

from storage.backup import authentication
from storage.backup import manifest as manifests
from storage.backup.encryption import Sink, recipients
from storage.backup.errors import BackupDamaged
from storage.backup.model import Backup, BackupId, BackupKind, Manifest, Part, folder
from storage.backup.ports import BackupStores
from storage.core.errors import StorageError
from storage.core.model import ObjectKey
from storage.core.settings import Settings

Progress = Callable[[str, int], None]
MIB = 1 << 20


@dataclass(frozen=True, kw_only=True)
class BackupContext:
    """The installation as backups use it: its stores, and the settings the programs need."""

    stores: BackupStores
    settings: Settings

    @property
    def auth_keys(self) -> authentication.AuthKeys:
        return authentication.read(self.settings.backup_auth_key_file)

    def new_id(self) -> BackupId:
        return BackupId(f"{self.stores.clock():%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}")


@contextmanager
def entered(context: BackupContext, kind: BackupKind, id: BackupId) -> Iterator[None]:
    """Record a backup as running; if the block fails, record it as failed with the reason.

    The lock of its kind is held, so any other row in state running is of a killed process: it turns to
    failed. Unfinished uploads of that process are aborted by the next ``cleanup_old_backups``.
    """
    stores = context.stores
    _ = context.auth_keys  # a file that cannot be read ends the backup here, not after an hour
    with stores.runs.lock(f"backup_{kind}"):
        for left in stores.catalogue.all(kind):
            stores.catalogue.move(left.id, ["running"], "failed", "interrupted")
        stores.catalogue.save(Backup(id=id, kind=kind, state="running", taken_at=stores.clock()))
        try:
            yield
        except BaseException as error:  # also a cancel: the row must not stay running
            with suppress(StorageError):
                stores.catalogue.move(id, ["running"], "failed", str(error) or type(error).__name__)
            raise


@contextmanager
def part(
    context: BackupContext, kind: BackupKind, id: BackupId, name: str, size_hint: int = 0
) -> Iterator[PartWriter]:
    """Open a sink for one part; its ``part`` is set once the block has ended."""
    suffix = ".zst.age" if recipients(context.settings.backup_recipients) else ".zst"
    key = ObjectKey(f"{folder(kind, id)}{name}{suffix}")
    with context.stores.backup_bucket.writer(key, size_hint) as sink:
        holder = PartWriter(sink)
        yield holder
    holder.part = Part(name, key, sink.size, sink.sha256)


class PartWriter:
    """Sink of a part, and the part once it is written."""

    def __init__(self, sink: Sink) -> None:
        self.sink = sink
        self.part: Part


def finish(context: BackupContext, manifest: Manifest, items: int) -> Backup:
    """Write the manifest, then turn the row to complete."""
    stores = context.stores
    previous = next((b for b in stores.catalogue.all(manifest.kind) if b.manifest_sha256), None)
    chained = replace(manifest, previous=previous.manifest_sha256 if previous else "")
    backup = Backup(
        id=manifest.id,
        kind=manifest.kind,
        state="complete",
        taken_at=manifest.facts.taken_at,
        size=manifest.size,
        items=items,
        manifest_sha256=manifests.write(chained, stores.backup_bucket, context.auth_keys),
        finished_at=stores.clock(),
    )
    stores.catalogue.save(backup)
    stores.audit.record(
        "backup", "", {"id": backup.id, "kind": backup.kind, "sha256": backup.manifest_sha256}
    )
    return backup


class ProgressReader:
    """Byte stream that reports how many MiB were read from it."""

    def __init__(self, source: BinaryIO, progress: Progress | None) -> None:
        self._source, self._progress, self.bytes_read, self._reported = source, progress, 0, 0

    def read(self, size: int = -1) -> bytes:
        data = self._source.read(size)
        self.bytes_read += len(data)
        if self._progress and self.bytes_read // MIB > self._reported:
            self._reported = self.bytes_read // MIB
            self._progress("MiB dumped", self._reported)
        return data


def as_recorded(context: BackupContext, id: BackupId, sha256: str) -> None:
    """Raise BackupDamaged unless the manifest is the one that the catalogue recorded when it was written."""
    known = context.stores.catalogue.get(id)
    if known and known.manifest_sha256 not in ("", sha256):
        raise BackupDamaged("its manifest is not the one that was written: the SHA-256 differs")
