"""Reconciliation of the catalogue with the bucket. The bucket's manifests are authoritative."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from storage.backup import manifest as manifests
from storage.backup.authentication import AuthKeys
from storage.backup.errors import BackupDamaged
from storage.backup.manifest import UNSIGNED
from storage.backup.model import KINDS, MANIFEST, Backup, BackupState, BucketBackup, Manifest, folder
from storage.backup.ports import BackupStores
from storage.backup.prove import entry
from storage.core.errors import Refused, StorageError
from storage.core.model import ObjectKey
from storage.core.ports import ObjectStore

LOST = "its manifest is not in the bucket"
MOST = 16 << 20  # maximum bytes read of a certificate


def of_bucket(backup_bucket: ObjectStore, keys: AuthKeys = UNSIGNED) -> list[BucketBackup]:
    """Return every backup in the bucket by its manifest and certificate, newest first.

    A backup whose manifest cannot be read is failed, with the reason as its message. With ``keys``, only what
    was signed with one of them makes a backup proven; without, anyone who may write to the bucket can.
    """
    found = list[BucketBackup]()
    for kind in KINDS:
        for id, answer, sha256 in manifests.scan(backup_bucket, kind, keys):
            if isinstance(answer, StorageError):
                found.append(
                    BucketBackup(id=id, kind=kind, state="failed", taken_at=id.begun, message=str(answer))
                )
            else:
                found.append(_with_certificate(answer, sha256, backup_bucket, keys))
    return sorted(found, key=lambda backup: (backup.taken_at, backup.id), reverse=True)


def _with_certificate(
    manifest: Manifest, sha256: str, backup_bucket: ObjectStore, keys: AuthKeys
) -> BucketBackup:
    """Return the backup as proven if there is a certificate of exactly this manifest, else as complete."""
    backup = BucketBackup(**vars(entry(manifest, sha256)), authenticated=manifest.authenticated)
    if keys and not manifest.authenticated:
        return backup
    place = folder(manifest.kind, manifest.id)
    names = [info.key for info in backup_bucket.scan(place) if info.key.startswith(f"{place}certificate-")]
    for key in reversed(names):
        answer, at = _certificate(key, backup_bucket, keys)
        if answer.get("manifest_sha256") == backup.manifest_sha256:
            return replace(backup, state="proven", certificate=answer, proven_at=at)
    return backup


def _certificate(
    key: ObjectKey, backup_bucket: ObjectStore, keys: AuthKeys
) -> tuple[dict[str, Any], datetime | None]:
    """Return a certificate's values and its time of proof, or ({}, None) if it does not count."""
    try:
        with backup_bucket.open(key) as file:
            answer = json.loads(file.read(MOST))
        signed = {name: value for name, value in answer.items() if name != "authentication"}
        claim = answer.get("authentication")
        if keys and not keys.authenticate("certificate", manifests.canonical(signed), claim):
            return {}, None
        return answer, datetime.fromisoformat(answer["proven_at"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, BackupDamaged):
        return {}, None


@dataclass(frozen=True)
class Rebuilt:
    """Backups that :func:`rebuild` entered, that the bucket has lost, and that lack a signature of ours."""

    entered: list[BucketBackup]
    lost: list[Backup]
    unauthenticated: list[BucketBackup]


def rebuild(
    stores: BackupStores, *, accept: bool = False, keys: AuthKeys = UNSIGNED, unauthenticated: bool = False
) -> Rebuilt:
    """Rebuild the catalogue from the bucket.

    A backup that only the bucket knows is entered. A restored catalogue shows the very backup it came from as
    running: its row is replaced by the bucket's data. A lost backup turns to failed: without its manifest it
    does not count. With ``keys``, a backup that was not signed with one of them is entered only where
    ``unauthenticated`` is set, and has to be proven again. Raises Refused when the bucket lacks more than
    half of the backups that count, unless ``accept``.
    """
    known = {backup.id: backup for backup in stores.catalogue.all()}
    in_bucket = {backup.id: backup for backup in of_bucket(stores.backup_bucket, keys)}
    new = [backup for id, backup in in_bucket.items() if _unfinished(known.get(id))]
    refused = [one for one in new if keys and not (one.authenticated or unauthenticated)]
    entered = [one for one in new if one not in refused]
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
    for gone in lost:
        stores.catalogue.move(gone.id, counted, "failed", LOST)
    if entered or lost:
        detail = {"entered": [backup.id for backup in entered], "lost": [backup.id for backup in lost]}
        stores.audit.record("rebuild-catalogue", "", detail)
    return Rebuilt(entered, lost, refused)


def _unfinished(row: Backup | None) -> bool:
    if row is None or (row.state == "failed" and row.message == LOST):
        return True
    return row.state in ("running", "failed") and not row.manifest_sha256


def _gone(row: Backup, stores: BackupStores) -> bool:
    """Return True if the manifest is missing. A listing is only a hint, so the object itself is requested."""
    return stores.backup_bucket.head(ObjectKey(f"{folder(row.kind, row.id)}{MANIFEST}")) is None
