"""Download of backups: parts as files that match the manifest's hashes, opened as streams."""

from __future__ import annotations

import hashlib
import io
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import BinaryIO, cast

import pyrage

from storage.backup.encryption import CHUNK, Sink, unseal
from storage.backup.errors import BackupDamaged
from storage.backup.model import Manifest, Part
from storage.core.errors import ObjectMissing
from storage.core.ports import ObjectStore

SMALL = 64 << 20  # bytes: the most that roles or a bucket's configuration unpack to
FACTOR = 1000  # times its stored size: the most that any other part unpacks to


@contextmanager
def fetched(part: Part, backup_bucket: ObjectStore) -> Iterator[BinaryIO]:
    """Yield a part's stored bytes in an anonymous file, all checked before any is used.

    Disk: the size of the part. Raises BackupDamaged when it is missing or differs from the manifest.
    """
    with tempfile.TemporaryFile(prefix="storage-part-") as file:
        check(part, backup_bucket, file)
        file.seek(0)
        yield cast(BinaryIO, file)


def check(part: Part, backup_bucket: ObjectStore, into: Sink | None = None) -> None:
    """Read the whole part and compare it with the manifest; copy it to ``into`` where that is given."""
    digest, size = hashlib.sha256(), 0
    try:
        with backup_bucket.open(part.key) as stream:
            while chunk := stream.read(CHUNK):
                digest.update(chunk)
                size += len(chunk)
                if into:
                    into.write(chunk)
    except ObjectMissing as error:
        raise BackupDamaged(f"its part {part.name} is missing") from error
    if size != part.size:
        raise BackupDamaged(f"its part {part.name} has {size:,} bytes, not {part.size:,}")
    if digest.hexdigest() != part.sha256:
        raise BackupDamaged(f"its part {part.name} is not what was written: the SHA-256 differs")


def write_decrypted(
    part: Part, backup_bucket: ObjectStore, sink: Sink, keys: Sequence[pyrage.x25519.Identity]
) -> None:
    """Write the part's plain bytes to ``sink``, after all of it was fetched and checked.

    Raises BackupDamaged where it unpacks to more than a backup of ours does: a few bytes may hold gigabytes.
    """
    with fetched(part, backup_bucket) as file:
        unseal(file, _Limited(sink, max(SMALL, part.size * FACTOR)), keys)


def read_decrypted(part: Part, backup_bucket: ObjectStore, keys: Sequence[pyrage.x25519.Identity]) -> bytes:
    """Return the plain bytes of a part that is always small. Raises BackupDamaged above SMALL bytes."""
    sink = io.BytesIO()
    with fetched(part, backup_bucket) as file:
        unseal(file, _Limited(sink, SMALL), keys)
    return sink.getvalue()


class _Limited:
    """Sink that raises BackupDamaged for more than so many bytes."""

    def __init__(self, sink: Sink, most: int) -> None:
        self._sink, self._most, self._written = sink, most, 0

    def write(self, data: bytes, /) -> int:
        self._written += len(data)
        if self._written > self._most:
            raise BackupDamaged(f"it unpacks to more than {self._most:,} bytes")
        self._sink.write(data)
        return len(data)

    def flush(self) -> None:
        """Do nothing: no data is buffered."""


def verify(manifest: Manifest, backup_bucket: ObjectStore) -> None:
    """Read every part and compare it with the manifest. Raises BackupDamaged."""
    for part in manifest.parts:
        check(part, backup_bucket)


class NullWriter:
    """Sink that discards all data, to check that it can be read."""

    def write(self, data: bytes, /) -> int:
        return len(data)

    def flush(self) -> None:
        """Do nothing: no data is buffered."""
