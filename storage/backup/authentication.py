"""Keyed hashes of manifests and certificates: who may write to the bucket cannot make a backup.

The key is in a file of the installation, beside the age identity, and in neither bucket nor database. The
file's first key signs; the others still verify what they signed (:func:`rotate`).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import re
import secrets
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from storage.backup.errors import BackupDamaged
from storage.core.errors import ConfigError

Document = Literal["manifest", "certificate"]
_KEY = re.compile(r"storage-auth-key-([A-Za-z0-9_-]{43})")
SETTING = "STORAGE_BACKUP_AUTH_KEY_FILE"


@dataclass(frozen=True)
class AuthKeys:
    """The keys of an installation, the one that signs first. Without any, nothing is authenticated."""

    secrets: tuple[bytes, ...] = field(default=(), repr=False)

    def __bool__(self) -> bool:
        return bool(self.secrets)

    def sign(self, document: Document, data: bytes) -> dict[str, str]:
        """Return the authentication of a document: the key's id, and the keyed hash of its bytes."""
        return {"key": _id(self.secrets[0]), "hmac": _hmac(self.secrets[0], document, data)}

    def authenticate(self, document: Document, data: bytes, claim: Mapping[str, Any] | None) -> bool:
        """Return True for a document signed with one of these keys, False for one of another key or of none.

        Raises BackupDamaged where it names one of these keys and the hash is not that key's.
        """
        claim = claim if isinstance(claim, Mapping) else {}
        for secret in self.secrets:
            if claim.get("key") == _id(secret):
                if hmac.compare_digest(str(claim.get("hmac")), _hmac(secret, document, data)):
                    return True
                raise BackupDamaged(
                    f"its {document} names this installation's key, but the keyed hash is wrong"
                )
        return False


def read(path: str) -> AuthKeys:
    """Read the keys of a file, a line each; none for an empty path. Raises ConfigError."""
    if not path:
        return AuthKeys()
    try:
        lines = Path(path).read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{SETTING}: {path} cannot be read. Copy it from the machine that takes backups. Only a new "
            "installation creates it: `storage backup rotate-key`."
        ) from error
    keys = [_KEY.fullmatch(line.strip()) for line in lines if line.strip() and not line.startswith("#")]
    if not keys or None in keys:
        raise ConfigError(
            f"{SETTING}: {path} holds no keys as `storage backup rotate-key` writes them: "
            "storage-auth-key-..., a line each."
        )
    return AuthKeys(tuple(base64.urlsafe_b64decode(f"{key[1]}=") for key in keys if key))


def rotate(path: str) -> str:
    """Put a new key first in the file, which is created if it does not exist. Return the new key's id.

    The file is replaced as a whole. Raises ConfigError.
    """
    if not path:
        raise ConfigError(
            f"{SETTING} is not set: name the file that is to hold the key, beside the age identity."
        )
    file = Path(path)
    try:
        before = file.read_text() if file.exists() else ""
        if before:
            read(path)
        secret = secrets.token_bytes(32)
        word = base64.urlsafe_b64encode(secret).decode().rstrip("=")
        handle, new = tempfile.mkstemp(prefix=f".{file.name}-", dir=file.parent)  # readable by its owner only
        with os.fdopen(handle, "w") as out:
            out.write(f"storage-auth-key-{word}\n{before}")
            out.flush()
            os.fsync(out.fileno())
        Path(new).replace(file)
    except OSError as error:
        raise ConfigError(f"{SETTING}: {path} cannot be written ({error.strerror}).") from error
    return _id(secret)


def _id(secret: bytes) -> str:
    return hashlib.sha256(b"key id\0" + secret).hexdigest()[:16]


def _hmac(secret: bytes, document: Document, data: bytes) -> str:
    return hmac.new(secret, document.encode() + b"\0" + data, hashlib.sha256).hexdigest()
