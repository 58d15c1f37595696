"""What ``storage backup`` does."""

from __future__ import annotations

import os
from argparse import Namespace
from collections.abc import Sequence
from typing import Any

from storage import catalog, commands, connect, console
from storage.backup_errors import NoSuchBackup
from storage.backup_model import KINDS, Backup, BackupId, BackupKind
from storage.backups import alarms, drill, fetch, rebuild
from storage.backups import manifest as manifests
from storage.backups.database import backup_database
from storage.backups.metadata import backup_minio_metadata
from storage.backups.prove import prove
from storage.backups.site import Progress, Site, as_recorded
from storage.engine import guard, sweep
from storage.errors import UsageError
from storage.ports import ObjectStore
from storage.settings import Settings


def run(args: Namespace) -> int:
    """Take the backups asked for and prove each; red at the first that cannot be."""
    kinds: Sequence[BackupKind] = KINDS if args.kind == "all" else (args.kind,)
    done = []
    with connect.site(commands.settings()) as site, console.progress(args.json) as progress:
        for kind in kinds:
            taken = take(site, kind, accept=args.accept, details=args.details, progress=progress)
            done.append(taken if args.no_proof else prove(site, taken.id))
    _show(done, args.json)
    return 0


def take(
    site: Site,
    kind: BackupKind,
    *,
    accept: bool = False,
    details: bool = False,
    progress: Progress | None = None,
) -> Backup:
    if kind == "database":
        return backup_database(site, progress)
    return backup_minio_metadata(site, details=details, accept=accept, progress=progress)


def listing(args: Namespace) -> int:
    """The catalogue; or what the bucket alone tells, for which no database is needed."""
    if args.from_bucket:
        _show(rebuild.of_bucket(connect.vault(store_only())), args.json)
        return 0
    with connect.site(commands.settings()) as site:
        _show([b for b in site.stores.catalogue.all() if args.all or b.state != "expired"], args.json)
    return 0


def show(args: Namespace) -> int:
    vault = connect.vault(store_only())
    backup = of_bucket(vault, args.backup)
    manifest, sha256 = manifests.read(backup.id, vault)
    if args.json:
        console.emit_json({"backup": backup, "manifest": manifest, "manifest_sha256": sha256})
    else:
        console.show_backup(backup, manifest)
    return 0


def verify(args: Namespace) -> int:
    """Read every part again and compare it with the manifest: quick, and no proof."""
    with connect.site(commands.settings()) as site:
        id = _id(site, args.backup)
        manifest, sha256 = manifests.read(id, site.stores.vault)
        as_recorded(site, id, sha256)
        fetch.verify(manifest, site.stores.vault)
    say(
        args,
        {"backup": id, "parts": len(manifest.parts), "bytes": manifest.size},
        "Every byte is as written.",
    )
    return 0


def prove_one(args: Namespace) -> int:
    with connect.site(commands.settings()) as site:
        proven = prove(site, _id(site, args.backup))
    if args.json:
        console.emit_json(proven.certificate)
    else:
        console.show_certificate(proven.certificate)
    return 0


def prune(args: Namespace) -> int:
    with connect.stores(commands.settings()) as stores, console.progress(args.json) as progress:
        job = catalog.get("cleanup_old_backups")
        does = sweep.run if args.act else sweep.plan
        done = does(
            job, stores, stores.clock(), commands.params(args), requested_by=commands.who(), progress=progress
        )
        commands.show_run(done, stores, args.json, with_actions=not args.act)
    return 0


def pin(args: Namespace) -> int:
    with connect.site(commands.settings()) as site:
        id = _id(site, args.backup)
        reason = (args.reason or f"by {commands.who()}") if args.pinned else ""
        if (row := site.stores.catalogue.get(id)) and row.state == "expired":
            raise UsageError(f"{id} is expired: what it held is gone, and no pin brings it back.")
        if not site.stores.catalogue.pin(id, reason):
            raise NoSuchBackup(id)
        site.stores.runs.audit("pin" if args.pinned else "unpin", "", {"id": id, "by": commands.who()})
    say(
        args,
        {"backup": id, "pinned": reason},
        f"Kept for ever: {id}" if args.pinned else f"No longer pinned: {id}",
    )
    return 0


def check(args: Namespace) -> int:
    with connect.stores(commands.settings()) as stores:
        alarms.check(stores)
    say(args, {"alarms": []}, "All is well: each kind was proven within 26 h.")
    return 0


def rebuild_catalogue(args: Namespace) -> int:
    with connect.stores(commands.settings()) as stores:
        entered, lost = rebuild.rebuild(stores, accept=args.accept)
    told = {"entered": [one.id for one in entered], "lost": [one.id for one in lost]}
    say(args, told, f"{len(entered)} entered from the bucket, {len(lost)} lost by it (now failed).")
    return 0


def guarding(args: Namespace) -> int:
    """Whether files are given up only with a fresh proven backup."""
    with connect.stores(commands.settings()) as stores:
        stores.control.write(guard.BACKUP_GUARD, None if args.state == "on" else "off")
        stores.runs.audit("backup-guard", "", {"state": args.state, "by": commands.who()})
    say(args, {"guard_fresh_backup": args.state}, f"Guard fresh-backup: {args.state}")
    return 0


def drilled(args: Namespace) -> int:
    settings = store_only()
    told = drill.drill(settings, connect.vault(settings))
    say(args, told, f"Back to life in {told['seconds_in_all']} s: {told['rows']:,} rows of {told['backup']}.")
    return 0


def store_only() -> Settings:
    return Settings.from_env(os.environ, without=("database_url",))


def _id(site: Site, word: str) -> BackupId:
    """A backup's id; ``latest`` is the newest whole one of the database."""
    if word != "latest":
        return BackupId(word)
    for backup in site.stores.catalogue.all("database"):
        if backup.state in ("complete", "proven"):
            return backup.id
    raise NoSuchBackup("latest")


def of_catalogue(site: Site, word: str) -> Backup:
    """The backup of that id; ``latest`` is the newest proven one of the database. Raises NoSuchBackup."""
    stores = site.stores.catalogue
    found = stores.newest_proven("database") if word == "latest" else stores.get(BackupId(word))
    if found is None:
        raise NoSuchBackup(word)
    return found


def of_bucket(vault: ObjectStore, word: str) -> Backup:
    if word == "latest":
        return drill.newest(vault)
    for backup in rebuild.of_bucket(vault):
        if backup.id == word:
            return backup
    raise NoSuchBackup(word)


def _show(backups: Sequence[Backup], as_json: bool) -> None:
    if as_json:
        console.emit_json(backups)
    else:
        console.show_backups(backups)


def say(args: Namespace, told: dict[str, Any], words: str) -> None:
    if args.json:
        console.emit_json(told)
    else:
        console.out.print(words, soft_wrap=True)
