"""Disaster drill: from the bucket and its keys alone to a working database on an empty server."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from storage.backup import authentication
from storage.backup import manifest as manifests
from storage.backup.authentication import AuthKeys
from storage.backup.download import verify
from storage.backup.encryption import identities
from storage.backup.errors import BackupDamaged, NoSuchBackup, NotProven
from storage.backup.load import COPY, load
from storage.backup.manifest import UNSIGNED
from storage.backup.model import BucketBackup, Manifest
from storage.backup.policy import SKEW
from storage.backup.postgres import fingerprint, temporary_server
from storage.backup.prove import differences
from storage.backup.rebuild import of_bucket
from storage.core.clock import utcnow
from storage.core.ports import ObjectStore
from storage.core.settings import Settings


def newest(backup_bucket: ObjectStore, keys: AuthKeys = UNSIGNED) -> BucketBackup:
    """Return the newest proven database backup, by the bucket alone. Raises NoSuchBackup."""
    for backup in _proven(backup_bucket, keys):
        return backup
    raise NoSuchBackup("latest")


def _proven(backup_bucket: ObjectStore, keys: AuthKeys) -> Iterator[BucketBackup]:
    return (
        backup
        for backup in of_bucket(backup_bucket, keys)
        if backup.kind == "database" and backup.state == "proven" and backup.taken_at <= utcnow() + SKEW
    )


def drill(settings: Settings, backup_bucket: ObjectStore) -> dict[str, Any]:
    """Restore the newest proven backup that is undamaged on a throw-away server; return a summary.

    The server is removed afterwards. ``damaged`` names newer backups that could not be used.
    """
    began, damaged = time.monotonic(), list[str]()
    for backup in _proven(backup_bucket, authentication.read(settings.backup_auth_key_file)):
        try:
            done = _brought_back(settings, backup_bucket, backup, began)
            return done | {"authenticated": backup.authenticated, "damaged": damaged}
        except BackupDamaged:
            damaged.append(str(backup.id))
    raise NoSuchBackup("latest")


def _brought_back(
    settings: Settings, backup_bucket: ObjectStore, backup: BucketBackup, began: float
) -> dict[str, Any]:
    manifest, sha256 = manifests.read(backup.id, backup_bucket)
    if sha256 != backup.manifest_sha256:
        raise BackupDamaged("its manifest was replaced meanwhile")
    verify(manifest, backup_bucket)  # before a server is started for it
    keys = identities(settings.backup_identity_file)
    with temporary_server.server(manifest.database.major) as server:
        started = time.monotonic()
        with temporary_server.database(server, "drill", manifest.database.locale) as url:
            load(manifest, backup_bucket, url, keys, COPY)
            loaded = time.monotonic()
            found = fingerprint.facts(url)
    if wrong := differences(manifest.database, found):
        raise NotProven(wrong[0])
    return _summary(manifest, began, started, loaded)


def _summary(manifest: Manifest, began: float, started: float, loaded: float) -> dict[str, Any]:
    return {
        "backup": manifest.id,
        "taken_at": manifest.facts.taken_at.isoformat(),
        "tables": len(manifest.database.tables),
        "rows": manifest.database.rows,
        "seconds_to_find_and_start": round(started - began, 2),
        "seconds_to_restore": round(loaded - started, 2),
        "seconds_in_all": round(time.monotonic() - began, 2),
    }
