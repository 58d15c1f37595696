"""Encoding of a part: zstd compression, then age encryption if recipients are set; and the inverse."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from shutil import copyfileobj
from typing import BinaryIO, Protocol, cast

import pyrage
import zstandard

from storage.backup.errors import BackupDamaged, NoKey
from storage.core.errors import ConfigError

LEVEL = 1  # of zstd: higher levels hardly shrink a dump, and are several times slower
CHUNK = 1 << 20
LEAST = 9  # bytes of the smallest zstd frame
_AGE = b"age-encryption.org/"


class Source(Protocol):
    """Byte stream to read from."""

    def read(self, size: int = -1, /) -> bytes: ...


class Sink(Protocol):
    """Byte stream to write to."""

    def write(self, data: bytes, /) -> object: ...


def recipients(words: str) -> tuple[pyrage.x25519.Recipient, ...]:
    """Parse age recipients (age1...), separated by blanks or commas. Raises ConfigError."""
    found = []
    for word in words.replace(",", " ").split():
        try:
            found.append(pyrage.x25519.Recipient.from_str(word))
        except pyrage.RecipientError as error:
            raise ConfigError(
                f"STORAGE_BACKUP_RECIPIENTS: {word[:8]}... is no age recipient ({error}). A recipient begins "
                "with age1; `age-keygen` creates a key and prints it. Never put a private key here."
            ) from error
    return tuple(found)


def identities(path: str) -> tuple[pyrage.x25519.Identity, ...]:
    """Read the private keys of a file as age-keygen writes it; none for an empty path. Raises ConfigError."""
    if not path:
        return ()
    try:
        lines = Path(path).read_text().split("\n")
        keys = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
        return tuple(pyrage.x25519.Identity.from_str(key) for key in keys)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"STORAGE_BACKUP_IDENTITY_FILE: {path} cannot be read ({error}).") from error
    except pyrage.IdentityError as error:
        raise ConfigError(f"STORAGE_BACKUP_IDENTITY_FILE: {path} holds no age identity ({error}).") from error


def seal(source: Source, sink: Sink, to: Sequence[pyrage.x25519.Recipient] = ()) -> None:
    """Compress all of ``source``, encrypt it to the recipients if there are any, and write it to ``sink``."""
    packer = zstandard.ZstdCompressor(level=LEVEL, write_checksum=True)
    with packer.stream_reader(cast(BinaryIO, source), read_size=CHUNK, closefd=False) as packed:
        if to:
            _encrypt(packed, sink, to)
        else:
            copyfileobj(packed, sink, CHUNK)


def _encrypt(source: BinaryIO, sink: Sink, to: Sequence[pyrage.x25519.Recipient]) -> None:
    """Encrypt the stream. An error of source or sink is raised unchanged.

    pyrage would convert it to its own type, and hide that of the last write altogether.
    """
    noting = _Noting(source, sink)
    try:
        pyrage.encrypt_io(noting, noting, list(to))
    except pyrage.EncryptError:
        if noting.error is None:
            raise
    if noting.error:
        raise noting.error


class _Noting:
    def __init__(self, source: BinaryIO, sink: Sink) -> None:
        self._source, self._sink = source, sink
        self.error: BaseException | None = None

    def read(self, size: int = -1) -> bytes:
        try:
            return self._source.read(size)
        except BaseException as error:  # also a cancel
            self.error = error
            raise

    def write(self, data: bytes) -> int:
        try:
            self._sink.write(data)
        except BaseException as error:  # also a cancel
            self.error = error
            raise
        return len(data)

    def flush(self) -> None:
        """Do nothing: no data is buffered."""


def unseal(source: BinaryIO, sink: Sink, keys: Sequence[pyrage.x25519.Identity] = ()) -> None:
    """Invert :func:`seal`, in little memory whatever the compression ratio.

    Raises BackupDamaged, or NoKey if none of ``keys`` decrypts it.
    """
    encrypted = source.read(len(_AGE)) == _AGE
    source.seek(0)
    if encrypted and not keys:
        raise NoKey("no identity is set")
    try:
        with zstandard.ZstdDecompressor().stream_writer(cast(BinaryIO, sink), closefd=False) as unpacked:
            if encrypted:
                pyrage.decrypt_io(source, unpacked, list(keys))
            else:
                copyfileobj(source, unpacked, CHUNK)
            _at_end(unpacked, source.tell())
    except zstandard.ZstdError as error:
        raise BackupDamaged(f"it does not decompress ({error})") from error
    except pyrage.DecryptError as error:
        if "No matching keys" in str(error):
            raise NoKey(str(error)) from error
        raise BackupDamaged(f"it does not decrypt ({error})") from error
    except OSError as error:
        if error.errno is None:  # raised by pyrage; an error of the system has a number
            raise BackupDamaged(f"it does not decrypt ({error})") from error
        raise


def _at_end(unpacked: Sink, size: int) -> None:
    """Raise BackupDamaged if a frame is truncated: zstd's writer accepts less than a whole frame.

    Only after the end of a frame does it parse further bytes as a new frame, and these are none.
    """
    try:
        unpacked.write(b"no frame")
    except zstandard.ZstdError as error:
        if size >= LEAST and "Unknown frame descriptor" in str(error):
            return
    raise BackupDamaged("it does not decompress (its end is missing)")
