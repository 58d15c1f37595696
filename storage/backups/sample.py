"""Proof of a metadata backup: read again, counted, and compared with a sample of the real objects."""

from __future__ import annotations

from typing import Any

from storage.backup_model import Manifest
from storage.backups.site import Site


def proof(site: Site, manifest: Manifest) -> dict[str, Any]:
    """What a certificate says of it. Raises BackupDamaged or NotProven."""
    raise NotImplementedError
