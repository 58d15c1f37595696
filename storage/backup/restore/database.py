"""Bringing a database back from the store alone: into a new database, or into an empty one."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime

from storage.backup import manifest as manifests
from storage.backup.context import BackupContext, Progress, as_recorded
from storage.backup.download import write_decrypted
from storage.backup.encryption import identities
from storage.backup.errors import NoKey, NoSuchBackup, NotProven, TargetInUse, TargetLeft
from storage.backup.load import Keys, load
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
    """A database that was restored. ``lacking``: the extensions its server does not have.

    ``differences`` to the dump's snapshot are always none: what differs is not kept.
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
    access: bool = False,
    progress: Progress | None = None,
) -> Restored:
    """Restore a backup on the server of the settings, into a new database ``restored_ID`` or ``into`` an
    empty one, whose name was typed twice; with ``access`` owners and grants too.

    The database of the settings may be named when it is not there or is empty: the site's day after a
    disaster. It is then paused, with a restore epoch open. Raises UsageError, TargetInUse, ServerTooOld,
    RightsMissing, NoKey, BackupDamaged or NotProven; what this call made is dropped then.
    """
    if typed != into:
        raise UsageError(f"To restore into {into!r}, type its name twice: it was confirmed as {typed!r}.")
    manifest, keys, _ = readable(settings, backup_bucket, id)
    name = swap.fit_name(into or f"restored_{id.replace('-', '_').lower()}")
    began = time.monotonic()
    with swap.open_admin(settings.database_url, name) as admin:
        with target(settings, admin, manifest, name) as to:
            whole = [] if to.made else ["--single-transaction"]
            lacking = load(manifest, backup_bucket, to.url, keys, whole, access=access, progress=progress)
            check(manifest, to.url)
            if name == swap.name_of(settings.database_url):
                _reconcile_first(to.url, manifest)
        if to.made:
            swap.mark(admin, name, f"{swap.MARK}restored from {id}")
    return Restored(
        database=name,
        url=to.url,
        seconds=time.monotonic() - began,
        rows=manifest.database.rows,
        lacking=lacking,
    )


def globals_sql(backup_bucket: ObjectStore, manifest: Manifest, keys: Keys) -> str:
    """The server's roles, memberships and tablespaces as SQL, without passwords: for a person to run."""
    text = io.BytesIO()
    write_decrypted(manifest.part("globals"), backup_bucket, text, keys)
    return text.getvalue().decode()


def readable(settings: Settings, backup_bucket: ObjectStore, id: BackupId) -> tuple[Manifest, Keys, str]:
    """The manifest of a database's backup, the keys to open it, and the manifest's SHA-256.

    Raises UsageError, NoSuchBackup, BackupDamaged or NoKey, before anything is made.
    """
    manifest, sha256 = manifests.read(id, backup_bucket)
    if manifest.kind != "database":
        raise UsageError(f"{id} is a backup of {manifest.kind}; name one of the database.")
    keys = identities(settings.backup_identity_file)
    if manifest.recipients and not keys:
        raise NoKey("no identity is set")
    return manifest, keys, sha256


def known(context: BackupContext, id: BackupId) -> tuple[Manifest, Keys]:
    """As :func:`readable`; and the manifest is the one the catalogue recorded, if there still is one.

    Raises NoSuchBackup for one that the catalogue does not know: who may write to the bucket could have put
    it there. `storage backup rebuild` enters what is to be believed.
    """
    manifest, keys, sha256 = readable(context.settings, context.stores.backup_bucket, id)
    with suppress(SchemaMissing):
        if context.stores.catalogue.get(id) is None:
            raise NoSuchBackup(id)
        as_recorded(context, id, sha256)
    return manifest, keys


@dataclass(frozen=True)
class Target:
    """An empty database to restore into, and whether it was made for that."""

    url: str = field(repr=False)
    made: bool


@contextmanager
def target(
    settings: Settings, admin: swap.AdminConnection, manifest: Manifest, name: str
) -> Iterator[Target]:
    """The database of that name, made or found empty.

    When the block raises, what was made is dropped; what was there is left.
    """
    swap.check_server(admin, manifest.database.major)
    url = temporary_server.beside(settings.database_url, name)
    there = swap.look(admin, settings.database_url, name)
    if there and there.mark == swap.UNFINISHED and not there.sessions:
        swap.remove(admin, name)  # the lock is ours: whoever began it is gone
        there = None
    if there is None:
        swap.make(admin, name, manifest.database.locale)
    else:
        _check_empty(there, swap.name_of(settings.database_url))
        if name == swap.name_of(settings.database_url):
            # Made anew it is another database: until it was introduced, maintenance refuses to touch it.
            swap.remove(admin, name)
            swap.make(admin, name, manifest.database.locale)
            there = None
    try:
        yield Target(url, made=there is None)
    except BaseException as error:
        if there is None:
            with suppress(StorageError):
                swap.remove(admin, name, force=True)
        elif isinstance(error, StorageError):
            raise TargetLeft(name, error) from error
        raise


def _check_empty(there: swap.Database, live: str) -> None:
    if there.template:
        raise TargetInUse(there.name, "it is the template of new databases")
    if there.sessions:
        raise TargetInUse(there.name, f"{there.sessions[0]} is connected to it")
    if there.relations and there.name == live:
        raise TargetInUse(live, "it is the live database; to put a backup in its place, use a swap (--live)")
    if there.relations:
        raise TargetInUse(
            there.name, f"it is not empty: it has {there.relations:,} tables, views or sequences"
        )


def check(manifest: Manifest, url: str) -> None:
    """Raises NotProven unless the database is what the dump's snapshot was."""
    if wrong := differences(manifest.database, fingerprint.facts(url)):
        raise NotProven(f"{len(wrong)} differences to what was dumped; the first: {wrong[0]}")


def _reconcile_first(url: str, manifest: Manifest) -> None:
    """A database restored under the site's own name: of the bucket's objects it does not know today's."""
    migrated(url)
    copy_rows.analyze(url)
    with copy_rows.opened(url) as session:
        answer = epoch(manifest, copy_rows.server_now(session), "")
        copy_rows.void(session)
        copy_rows.control(session, shut(answer, "a restore") | {"identity": None, "kept_database": None})
        copy_rows.audit(session, "restore", {"backup": manifest.id})


def migrated(url: str) -> None:
    """Bring the platform's own schema up to date, as an older backup's is not."""
    engine = connect(url)
    try:
        pg_migrate.migrate(engine)
    finally:
        engine.dispose()


def epoch(manifest: Manifest, restored_at: datetime, kept: str) -> dict[str, str]:
    """What the switch ``restore_epoch`` says."""
    return {
        "backup": manifest.id,
        "taken_at": manifest.facts.taken_at.isoformat(),
        "restored_at": restored_at.isoformat(),
        "kept": kept,
    }


def shut(answer: dict[str, str], by: str) -> dict[str, str | None]:
    """Switches of a database that knows the bucket as of another day: paused, and its restore epoch open."""
    of = f"restored from backup {answer['backup']}" if answer["backup"] else "put back"
    return {
        "paused": f"{of}, as of {answer['taken_at']}, by {by}: reconcile first (`storage reconcile`)",
        "restore_epoch": json.dumps(answer),
    }
