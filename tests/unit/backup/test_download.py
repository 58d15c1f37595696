"""Limits of what a part may unpack to: a forged part of a few kilobytes may hold gigabytes."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from datetime import UTC, datetime

import pyrage
import pytest

from storage.backup import download
from storage.backup.documents import LINE, lines
from storage.backup.download import FACTOR, SMALL, NullWriter, read_decrypted, write_decrypted
from storage.backup.encryption import seal
from storage.backup.errors import BackupDamaged
from storage.backup.model import Part
from storage.core.model import ObjectKey
from storage.testing import MemoryObjects
from tests.unit.backup.test_manifest import of_database

KEY = pyrage.x25519.Identity.generate()


class Repeated:
    """Byte stream of ``size`` times the same letter, without holding it."""

    def __init__(self, size: int) -> None:
        self._left = size

    def read(self, size: int = -1) -> bytes:
        taken = min(self._left, 1 << 20 if size < 0 else size)
        self._left -= taken
        return b"x" * taken


@pytest.fixture
def bucket() -> MemoryObjects:
    return MemoryObjects(lambda: datetime(2026, 3, 1, tzinfo=UTC))


def stored(bucket: MemoryObjects, size: int, to: tuple[pyrage.x25519.Recipient, ...] = ()) -> Part:
    """Put a part that unpacks to ``size`` bytes into the bucket."""
    sealed = io.BytesIO()
    seal(Repeated(size), sealed, to)
    data, key = sealed.getvalue(), ObjectKey("database/20260301T030000Z-00000000/objects-1.zst")
    bucket.put(key, data)
    return Part("objects-1", key, len(data), hashlib.sha256(data).hexdigest())


@pytest.mark.parametrize("to", [(), (KEY.to_public(),)])
def test_a_part_read_into_memory(bucket: MemoryObjects, to: tuple[pyrage.x25519.Recipient, ...]) -> None:
    """As much as allowed is read; a byte more is damage, encrypted or not."""
    assert len(read_decrypted(stored(bucket, SMALL, to), bucket, [KEY])) == SMALL
    with pytest.raises(BackupDamaged, match="unpacks to more than 67,108,864 bytes"):
        read_decrypted(stored(bucket, SMALL + 1, to), bucket, [KEY])


def test_a_part_written_to_disk(bucket: MemoryObjects, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its limit is a multiple of its stored size, which no part of ours comes near."""
    monkeypatch.setattr(download, "SMALL", 1000)
    part = stored(bucket, 30 << 20)
    assert part.size * FACTOR < 30 << 20, "more than a thousandfold"
    with pytest.raises(BackupDamaged, match=f"more than {part.size * FACTOR:,} bytes"):
        write_decrypted(part, bucket, NullWriter(), ())
    write_decrypted(stored(bucket, 1000), bucket, NullWriter(), ())


def test_a_line_without_end(bucket: MemoryObjects) -> None:
    part = stored(bucket, LINE + 1)
    manifest = of_database(parts=(part,))
    found: Iterator[object] = lines(manifest, "objects", bucket, (), lambda values: values)
    with pytest.raises(BackupDamaged, match=f"line 1 of its part objects-1 has more than {LINE:,} bytes"):
        next(found)
