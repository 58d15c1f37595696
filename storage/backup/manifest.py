"""Manifests: the contents of a backup, as canonical JSON that carries its own hash."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from datetime import datetime
from typing import Any

from storage.backup.authentication import AuthKeys
from storage.backup.errors import BackupDamaged, NoSuchBackup
from storage.backup.model import (
    KINDS,
    MANIFEST,
    BackupId,
    BackupKind,
    DatabaseFacts,
    Manifest,
    MetadataFacts,
    Part,
    SequenceFact,
    TableFact,
    folder,
)
from storage.core.errors import InvalidName, ObjectMissing, StorageError
from storage.core.model import ObjectKey, Prefix
from storage.core.ports import ObjectStore

FORMAT = 1
UNSIGNED = AuthKeys()
_UNREADABLE = (InvalidName, ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError)
MOST = 64 << 20  # maximum bytes read of a manifest: enough for a hundred thousand tables


def encode(manifest: Manifest, keys: AuthKeys = UNSIGNED) -> bytes:
    """Encode a manifest as canonical JSON. ``sha256`` covers all else in it, so that an edit is detected."""
    values = {"format": FORMAT, **asdict(manifest)}
    del values["authenticated"]
    if keys:
        values["authentication"] = keys.sign("manifest", canonical(values))
    return canonical(values | {"sha256": _digest(values)})


def decode(data: bytes, keys: AuthKeys = UNSIGNED) -> Manifest:
    """Invert :func:`encode`. Raises BackupDamaged unless the bytes are exactly as they were written."""
    try:
        values = json.loads(data)
        written = canonical(values)
        answer = values.pop("sha256")
        if answer != _digest(values) or written != data:
            raise BackupDamaged("its manifest was edited")
        claim = values.pop("authentication", None)
        authenticated = keys.authenticate("manifest", canonical(values), claim)
        if values.pop("format") != FORMAT:
            raise BackupDamaged("its manifest is of another format; use the release that wrote it")
        return replace(_manifest(values), authenticated=authenticated)
    except _UNREADABLE as error:
        raise BackupDamaged(f"its manifest cannot be read ({error})") from error


def canonical(values: Mapping[str, Any]) -> bytes:
    """Return the one form of a JSON document that is hashed."""
    return json.dumps(values, sort_keys=True, separators=(",", ":"), default=datetime.isoformat).encode()


def _digest(values: Mapping[str, Any]) -> str:
    return hashlib.sha256(canonical(values)).hexdigest()


def _manifest(values: dict[str, Any]) -> Manifest:
    facts, id = values["facts"], BackupId(values["id"])
    return Manifest(
        id=id,
        kind=values["kind"],
        parts=tuple(_part(part, folder(values["kind"], id)) for part in values["parts"]),
        facts=_database(facts) if values["kind"] == "database" else _metadata(facts),
        recipients=tuple(values["recipients"]),
        tools=values["tools"],
        previous=values["previous"],
    )


def _part(values: dict[str, Any], place: Prefix) -> Part:
    part = Part(**_counted(values, "size") | {"key": ObjectKey(values["key"])})
    if not part.key.startswith(place):  # else a forged manifest could have another backup's parts pruned
        raise BackupDamaged(f"its manifest names {part.key}, which is not a part of it")
    return part


def _counted(values: dict[str, Any], *names: str) -> dict[str, Any]:
    """Return the values, with those named converted to whole numbers."""
    return values | {name: int(values[name]) for name in names}


def _instant(text: str) -> datetime:
    found = datetime.fromisoformat(text)
    if found.tzinfo is None:
        raise ValueError(f"{text} has no time zone")
    return found


def _database(facts: dict[str, Any]) -> DatabaseFacts:
    return DatabaseFacts(
        **_counted(facts, "bytes")
        | {
            "taken_at": _instant(facts["taken_at"]),
            "locale": tuple(facts["locale"]),
            "extensions": tuple(facts["extensions"]),
            "tables": tuple(TableFact(**_counted(one, "rows")) for one in facts["tables"]),
            "sequences": tuple(SequenceFact(**_counted(one, "value", "step")) for one in facts["sequences"]),
            "large_objects": TableFact(**_counted(facts["large_objects"], "rows")),
        }
    )


def _metadata(facts: dict[str, Any]) -> MetadataFacts:
    times = {name: _instant(facts[name]) for name in ("taken_at", "ended_at", "store_time")}
    by_prefix = {name: tuple(pair) for name, pair in facts["by_prefix"].items()}
    counted = _counted(facts, "objects", "bytes", "documents")
    return MetadataFacts(**counted | times | {"by_prefix": by_prefix})


def write(manifest: Manifest, backup_bucket: ObjectStore, keys: AuthKeys = UNSIGNED) -> str:
    """Store the manifest beside its parts, and return the SHA-256 of its bytes."""
    data = encode(manifest, keys)
    backup_bucket.create(manifest.key, data)
    return hashlib.sha256(data).hexdigest()


def read(id: BackupId, backup_bucket: ObjectStore, keys: AuthKeys = UNSIGNED) -> tuple[Manifest, str]:
    """Return the manifest of a backup and its SHA-256. Raises NoSuchBackup or BackupDamaged."""
    for kind in KINDS:
        key = ObjectKey(f"{kind}/{id}/{MANIFEST}")
        if backup_bucket.head(key) is not None:
            return _fetch(key, kind, id, backup_bucket, keys)
    raise NoSuchBackup(id)


def _fetch(
    key: ObjectKey, kind: BackupKind, id: BackupId, backup_bucket: ObjectStore, keys: AuthKeys
) -> tuple[Manifest, str]:
    with backup_bucket.open(key) as file:
        data = file.read(MOST)
    manifest = decode(data, keys)
    if (manifest.kind, manifest.id) != (kind, id):
        raise BackupDamaged(f"the manifest at {key} is that of {manifest.kind} {manifest.id}")
    return manifest, hashlib.sha256(data).hexdigest()


def scan(
    backup_bucket: ObjectStore, kind: BackupKind, keys: AuthKeys = UNSIGNED
) -> Iterator[tuple[BackupId, Manifest | StorageError, str]]:
    """Yield every backup of a kind in the bucket: its manifest and hash, or why it cannot be read."""
    for info in backup_bucket.scan(Prefix(f"{kind}/")):
        within, _, name = info.key.removeprefix(f"{kind}/").partition("/")
        if name != MANIFEST:
            continue
        try:
            id = BackupId(within)
        except StorageError:
            continue  # not a backup's folder
        try:
            manifest, sha256 = _fetch(info.key, kind, id, backup_bucket, keys)
            yield id, manifest, sha256
        except (BackupDamaged, ObjectMissing) as error:  # errors that only make it unreachable now are raised
            yield id, error, ""
