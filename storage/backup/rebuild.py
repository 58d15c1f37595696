"""The catalogue and the bucket, compared and brought together: the bucket's manifests are the truth."""

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
MOST = 16 << 20  # bytes of a certificate that are read


def of_bucket(backup_bucket: ObjectStore) -> list[Backup]:
    """Every backup the bucket holds, as its manifest and certificate tell; newest first.

    One whose manifest cannot be read is failed, with why.
    """
    found = []
    for kind in KINDS:
        for id, answer, sha256 in manifests.scan(backup_bucket, kind):
            if isinstance(answer, StorageError):
                found.append(Backup(id=id, kind=kind, state="failed", taken_at=id.begun, message=str(answer)))
            else:
                found.append(_with_certificate(answer, entry(answer, sha256), backup_bucket))
    return sorted(found, key=lambda one: (one.taken_at, one.id), reverse=True)


def _with_certificate(manifest: Manifest, backup: Backup, backup_bucket: ObjectStore) -> Backup:
    """Proven, if there is a certificate of exactly this manifest."""
    place = folder(manifest.kind, manifest.id)
    keys = [info.key for info in backup_bucket.scan(place) if info.key.startswith(f"{place}certificate-")]
    for key in reversed(keys):
        answer, at = _certificate(key, backup_bucket)
        if answer.get("manifest_sha256") == backup.manifest_sha256:
            return replace(backup, state="proven", certificate=answer, proven_at=at)
    return backup


def _certificate(key: ObjectKey, backup_bucket: ObjectStore) -> tuple[dict[str, Any], datetime | None]:
    """What a certificate says, and when it was given; nothing for one that cannot be read."""
    try:
        with backup_bucket.open(key) as file:
            answer = json.loads(file.read(MOST))
        return answer, datetime.fromisoformat(answer["proven_at"])
    except (ValueError, KeyError, TypeError):
        return {}, None


def rebuild(stores: BackupStores, *, accept: bool = False) -> tuple[list[Backup], list[Backup]]:
    """Enter what only the bucket knows; the backups entered, and those of the catalogue it has lost.

    A restored catalogue calls the very backup it came from running: that one is entered as it is. A lost
    one turns to failed: without its manifest nothing of it counts. Raises Refused when the bucket lacks more
    than half of what counts, unless ``accept``.
    """
    known = {one.id: one for one in stores.catalogue.all()}
    there = {one.id: one for one in of_bucket(stores.backup_bucket)}
    entered = [one for id, one in there.items() if _unfinished(known.get(id))]
    counted: tuple[BackupState, ...] = ("complete", "proven")
    counting = [one for one in known.values() if one.state in counted]
    lost = [one for one in counting if one.id not in there and _gone(one, stores)]
    if len(lost) * 2 > len(counting) > 1 and not accept:
        raise Refused(
            "catalogue",
            f"the bucket {stores.backup_bucket.bucket} has lost {len(lost)} of {len(counting)} backups. "
            "Is STORAGE_BACKUP_BUCKET right? Nothing was changed; if it is meant, give --accept.",
        )
    for one in entered:
        stores.catalogue.save(replace(one, proven_at=None))  # by a certificate: no proof was seen here
    for one in lost:
        stores.catalogue.move(one.id, counted, "failed", LOST)
    if entered or lost:
        detail = {"entered": [one.id for one in entered], "lost": [one.id for one in lost]}
        stores.audit.record("rebuild-catalogue", "", detail)
    return entered, lost


def _unfinished(row: Backup | None) -> bool:
    if row is None or (row.state == "failed" and row.message == LOST):
        return True
    return row.state in ("running", "failed") and not row.manifest_sha256


def _gone(row: Backup, stores: BackupStores) -> bool:
    """A listing is a hint: the manifest itself is asked for."""
    return stores.backup_bucket.head(ObjectKey(f"{folder(row.kind, row.id)}{MANIFEST}")) is None
