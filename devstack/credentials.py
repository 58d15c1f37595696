"""Credentials of a stack: generated once, stored in a file only its owner can read."""

from __future__ import annotations

import base64
import json
import os
import secrets
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from devstack.errors import DevstackError


@dataclass(frozen=True, repr=False)
class Credentials:
    """All secrets of a stack; its repr shows none of them."""

    access_key: str
    secret_key: str
    database_password: str
    airflow_database_password: str
    admin_password: str
    jwt_secret: str
    fernet_key: str

    @classmethod
    def generate(cls) -> Credentials:
        """Generate random secrets."""
        return cls(
            access_key="dev" + secrets.token_hex(8),
            secret_key=secrets.token_urlsafe(30),
            database_password=secrets.token_urlsafe(18),
            airflow_database_password=secrets.token_urlsafe(18),
            admin_password=secrets.token_urlsafe(12),
            jwt_secret=secrets.token_hex(48),
            fernet_key=base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
        )


def load_or_create(folder: Path) -> Credentials:
    """Return the credentials stored in `folder`; generate them at the first call."""
    private_folder(folder)
    path = folder / "credentials.json"
    if not path.exists():
        write_private(path, json.dumps(asdict(Credentials.generate()), indent=1))
    try:
        stored = json.loads(path.read_text())
        return Credentials(**{field.name: str(stored[field.name]) for field in fields(Credentials)})
    except (ValueError, KeyError, TypeError) as broken:
        raise DevstackError(f"{path} cannot be read ({broken}); run `python -m devstack reset`") from broken


def private_folder(folder: Path) -> Path:
    """Create `folder`, accessible only to its owner."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    return folder


def write_private(path: Path, text: str) -> None:
    """Replace `path` atomically with a file that only its owner can read."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as out:
        out.write(text)
    draft.replace(path)
