"""Restore of a database from the object store alone: into a new database, or into an empty one."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime

from storage.backup import authentication
from storage.backup import manifest as manifests
from storage.backup.context import BackupContext, Progress, as_recorded
from storage.backup.download import read_decrypted
from storage.backup.encryption import identities
from storage.backup.errors import (
    BackupDamaged,
    NoKey,
    NoSuchBackup,
    NotAuthenticated,
    NotProven,
    TargetInUse,
    TargetLeft,
)
from storage.backup.load import COPY, Keys, load
from storage.backup.model import BackupId, Manifest
from storage.backup.postgres import copy_rows, fingerprint, swap, temporary_server
from storage.backup.prove import differences
from storage.core.errors import SchemaMissing, StorageError, UsageError
from storage.core.ports import ObjectStore
from storage.core.settings import Settings
from storage.stores.postgres import migrate as pg_migrate
from storage.stores.postgres.connection import connect


@dataclass(frozen=True, kw_only=True)
class Restored:
    """Result of a restore. ``lacking``: the extensions its server does not have.

    ``differences`` from the dump's snapshot is always empty: a database that differs is not kept.
    """

    database: str
    url: str = field(repr=False)
    seconds: float
    rows: int
    lacking: tuple[str, ...] = ()
    differences: tuple[str, ...] = ()


def restore(
    settings: Settings,
    backup_bucket: ObjectStore,
    id: BackupId,
    *,
    into: str = "",
    typed: str = "",
    sha256: str = "",
    access: bool = False,
    progress: Progress | None = None,
) -> Restored:
    """Restore a backup on the configured server: into a new database, or ``into`` an empty one.

    The new database is named ``restored_ID``; the name ``into`` must be repeated as ``typed``. With
    ``access``, owners and grants are restored too. ``sha256`` is that of the manifest which was chosen, if it
    was looked at before. Subscriptions are restored only under the live name.

    The configured database itself may be named when it is missing or empty, as after a disaster. It is then
    paused, with a restore epoch open. Raises UsageError, TargetInUse, ServerTooOld, RightsMissing, NoKey,
    BackupDamaged or NotProven; a database that this call created is dropped then.
    """
    if typed != into:
        raise UsageError(f"To restore into {into!r}, type its name twice: it was confirmed as {typed!r}.")
    manifest, keys, found = readable(settings, backup_bucket, id)
    if sha256 not in ("", found):
        raise BackupDamaged("its manifest was replaced meanwhile")
    name = swap.fit_name(into or f"restored_{id.replace('-', '_').lower()}")
    began = time.monotonic()
    with swap.open_admin(settings.database_url, name) as admin:
        with target(settings, admin, manifest, name) as to:
            live = name == swap.name_of(settings.database_url)
            options = [*(() if to.made else ("--single-transaction",)), *(() if live else COPY)]
            lacking = load(manifest, backup_bucket, to.url, keys, options, access=access, progress=progress)
            check(manifest, to.url)
            if live:
                _reconcile_first(to.url, manifest)
        if to.made:
            swap.mark(admin, name, f"{swap.MARK}restored from {id}")
    took, rows = time.monotonic() - began, manifest.database.rows
    return Restored(database=name, url=to.url, seconds=took, rows=rows, lacking=lacking)


def globals_sql(backup_bucket: ObjectStore, manifest: Manifest, keys: Keys) -> str:
    """Return the server's roles, memberships and tablespaces as SQL, without passwords, for an operator."""
    return read_decrypted(manifest.part("globals"), backup_bucket, keys).decode()


def readable(settings: Settings, backup_bucket: ObjectStore, id: BackupId) -> tuple[Manifest, Keys, str]:
    """Return the manifest of a database backup, the keys to decrypt it, and the manifest's SHA-256.

    Raises UsageError, NoSuchBackup, BackupDamaged or NoKey, before anything is created.
    """
    auth_keys = authentication.read(settings.backup_auth_key_file)
    manifest, sha256 = manifests.read(id, backup_bucket, auth_keys)
    if manifest.kind != "database":
        raise UsageError(f"{id} is a backup of {manifest.kind}; name a backup of the database.")
    keys = identities(settings.backup_identity_file)
    if manifest.recipients and not keys:
        raise NoKey("no identity is set")
    return manifest, keys, sha256


def known(context: BackupContext, id: BackupId) -> tuple[Manifest, Keys]:
    """Read as :func:`readable`; require the manifest that the catalogue recorded, if there still is one.

    Raises NoSuchBackup for a backup unknown to the catalogue: anyone who may write to the bucket could have
    put it there. `storage backup rebuild` enters those that are to be trusted. Raises
    NotAuthenticated where the catalogue is lost and the backup was not signed with this installation's key.
    """
    manifest, keys, sha256 = readable(context.settings, context.stores.backup_bucket, id)
    try:
        if context.stores.catalogue.get(id) is None:
            raise NoSuchBackup(id)
        as_recorded(context, id, sha256)
    except SchemaMissing:
        if context.auth_keys and not manifest.authenticated:
            raise NotAuthenticated(id) from None
    return manifest, keys


@dataclass(frozen=True)
class Target:
    """Empty database to restore into; ``made`` if it was created for that."""

    url: str = field(repr=False)
    made: bool


@contextmanager
def target(
    settings: Settings, admin: swap.AdminConnection, manifest: Manifest, name: str
) -> Iterator[Target]:
    """Yield the database of that name, created or found empty.

    If the block raises, a database created here is dropped; one that existed is left.
    """
    swap.check_server(admin, manifest.database.major)
    url = temporary_server.beside(settings.database_url, name)
    existing = swap.look(admin, settings.database_url, name)
    if existing and existing.mark == swap.UNFINISHED and not existing.sessions:
        swap.remove(admin, name)  # this process has the lock: the process that began it is gone
        existing = None
    if existing is None:
        swap.make(admin, name, manifest.database.locale)
    else:
        _check_empty(existing, swap.name_of(settings.database_url))
        if name == swap.name_of(settings.database_url):
            # Recreated, it has another identity: maintenance refuses to touch it until `storage migrate`.
            swap.remove(admin, name)
            swap.make(admin, name, manifest.database.locale)
            existing = None
    try:
        yield Target(url, made=existing is None)
    except BaseException as error:
        if existing is None:
            with suppress(StorageError):
                swap.remove(admin, name, force=True)
        elif isinstance(error, StorageError):
            raise TargetLeft(name, error) from error
        raise


def _check_empty(existing: swap.Database, live: str) -> None:
    if existing.template:
        raise TargetInUse(existing.name, "it is the template of new databases")
    if existing.sessions:
        raise TargetInUse(existing.name, f"{existing.sessions[0]} is connected to it")
    if existing.contents.count and existing.name == live:
        raise TargetInUse(
            live,
            f"it is the live database, and holds {existing.contents}; to put a backup in its place, use a "
            "swap (--live); if nothing in it is needed, drop it, and the restore creates it",
        )
    if existing.contents.count:
        raise TargetInUse(existing.name, f"it is not empty: it holds {existing.contents}")


def check(manifest: Manifest, url: str) -> None:
    """Raise NotProven unless the database equals the dump's snapshot."""
    if wrong := differences(manifest.database, fingerprint.facts(url)):
        raise NotProven(f"{len(wrong)} differences from the dump; the first: {wrong[0]}")


def _reconcile_first(url: str, manifest: Manifest) -> None:
    """Pause a database restored under the configured name, and open its restore epoch.

    It does not know today's objects in the bucket.
    """
    migrated(url)
    copy_rows.analyze(url)
    with copy_rows.opened(url) as session:
        answer = epoch(manifest, copy_rows.server_now(session), "")
        copy_rows.void(session)
        copy_rows.control(session, shut(answer, "a restore") | {"identity": None, "kept_database": None})
        copy_rows.audit(session, "restore", {"backup": manifest.id})


def migrated(url: str) -> None:
    """Migrate the platform's own schema to the current version: that of a backup may be older."""
    engine = connect(url)
    try:
        pg_migrate.migrate(engine)
    finally:
        engine.dispose()


def epoch(manifest: Manifest, restored_at: datetime, kept: str) -> dict[str, str]:
    """Return the value of the switch ``restore_epoch``."""
    return {
        "backup": manifest.id,
        "taken_at": manifest.facts.taken_at.isoformat(),
        "restored_at": restored_at.isoformat(),
        "kept": kept,
    }


def shut(answer: dict[str, str], by: str) -> dict[str, str | None]:
    """Return switches for a database that knows the bucket as of another day: paused, with its epoch open."""
    of = f"restored from backup {answer['backup']}" if answer["backup"] else "put back"
    return {
        "paused": f"{of}, as of {answer['taken_at']}, by {by}: reconcile first (`storage reconcile`)",
        "restore_epoch": json.dumps(answer),
    }
