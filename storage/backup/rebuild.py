"""Reconciliation of the catalogue with the bucket. The bucket's manifests are authoritative."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime
from typing import Any

from storage.backup import manifest as manifests
from storage.backup.model import KINDS, MANIFEST, Backup, BackupState, Manifest, folder
from storage.backup.ports import BackupStores
from storage.backup.prove import entry
from storage.core.errors import Refused, StorageError
from storage.core.model import ObjectKey
from storage.core.ports import ObjectStore

LOST = "its manifest is not in the bucket"
MOST = 16 << 20  # maximum bytes read of a certificate


def of_bucket(backup_bucket: ObjectStore) -> list[Backup]:
    """Return every backup in the bucket by its manifest and certificate, newest first.

    A backup whose manifest cannot be read is failed, with the reason as its message.
    """
    found = []
    for kind in KINDS:
        for id, answer, sha256 in manifests.scan(backup_bucket, kind):
            if isinstance(answer, StorageError):
                found.append(Backup(id=id, kind=kind, state="failed", taken_at=id.begun, message=str(answer)))
            else:
                found.append(_with_certificate(answer, entry(answer, sha256), backup_bucket))
    return sorted(found, key=lambda backup: (backup.taken_at, backup.id), reverse=True)


def _with_certificate(manifest: Manifest, backup: Backup, backup_bucket: ObjectStore) -> Backup:
    """Return the backup as proven if there is a certificate of exactly this manifest, else unchanged."""
    place = folder(manifest.kind, manifest.id)
    keys = [info.key for info in backup_bucket.scan(place) if info.key.startswith(f"{place}certificate-")]
    for key in reversed(keys):
        answer, at = _certificate(key, backup_bucket)
        if answer.get("manifest_sha256") == backup.manifest_sha256:
            return replace(backup, state="proven", certificate=answer, proven_at=at)
    return backup


def _certificate(key: ObjectKey, backup_bucket: ObjectStore) -> tuple[dict[str, Any], datetime | None]:
    """Return a certificate's values and its time of proof, or ({}, None) if it cannot be read."""
    try:
        with backup_bucket.open(key) as file:
            answer = json.loads(file.read(MOST))
        return answer, datetime.fromisoformat(answer["proven_at"])
    except (ValueError, KeyError, TypeError):
        return {}, None


def rebuild(stores: BackupStores, *, accept: bool = False) -> tuple[list[Backup], list[Backup]]:
    """Rebuild the catalogue from the bucket. Return the entered backups, and those the bucket has lost.

    A backup that only the bucket knows is entered. A restored catalogue shows the very backup it came from as
    running: its row is replaced by the bucket's data. A lost backup turns to failed: without its manifest it
    does not count. Raises Refused when the bucket lacks more than half of the backups that count, unless
    ``accept``.
    """
    known = {backup.id: backup for backup in stores.catalogue.all()}
    in_bucket = {backup.id: backup for backup in of_bucket(stores.backup_bucket)}
    entered = [backup for id, backup in in_bucket.items() if _unfinished(known.get(id))]
    counted: tuple[BackupState, ...] = ("complete", "proven")
    counting = [backup for backup in known.values() if backup.state in counted]
    lost = [backup for backup in counting if backup.id not in in_bucket and _gone(backup, stores)]
    if len(lost) * 2 > len(counting) > 1 and not accept:
        raise Refused(
            "catalogue",
            f"the bucket {stores.backup_bucket.bucket} has lost {len(lost)} of {len(counting)} backups. "
            "Nothing was changed. Check STORAGE_BACKUP_BUCKET; to accept the loss, repeat with --accept.",
        )
    for backup in entered:
        stores.catalogue.save(replace(backup, proven_at=None))  # not proven by this installation
    for backup in lost:
        stores.catalogue.move(backup.id, counted, "failed", LOST)
    if entered or lost:
        detail = {"entered": [backup.id for backup in entered], "lost": [backup.id for backup in lost]}
        stores.audit.record("rebuild-catalogue", "", detail)
    return entered, lost


def _unfinished(row: Backup | None) -> bool:
    if row is None or (row.state == "failed" and row.message == LOST):
        return True
    return row.state in ("running", "failed") and not row.manifest_sha256


def _gone(row: Backup, stores: BackupStores) -> bool:
    """Return True if the manifest is missing. A listing is only a hint, so the object itself is requested."""
    return stores.backup_bucket.head(ObjectKey(f"{folder(row.kind, row.id)}{MANIFEST}")) is None
