"""Commands of ``storage backup``."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from typing import Any

from storage import catalog
from storage.backup import alarms, authentication, download, drill, rebuild
from storage.backup import manifest as manifests
from storage.backup.connect import open_backup_bucket, open_context
from storage.backup.context import BackupContext, Progress, as_recorded
from storage.backup.database import backup_database
from storage.backup.errors import NoSuchBackup
from storage.backup.metadata import backup_minio_metadata
from storage.backup.model import KINDS, Backup, BackupId, BackupKind
from storage.backup.policy import COUNTED, QUARANTINED, SKEW
from storage.backup.prove import prove
from storage.cli import output, output_backup
from storage.cli.common import (
    add_group,
    add_verb,
    of_bucket,
    params,
    say,
    settings,
    show_run,
    store_only,
    who,
)
from storage.core.errors import UsageError
from storage.engine import guard, sweep
from storage.installation import open_installation


def add_parser(verbs: Any) -> None:
    """Add ``storage backup VERB`` to the command-line parser."""
    inner = add_group(verbs, "backup", "take, prove (verify by restoring), list and prune backups")
    _add_taking(inner)
    _add_keeping(inner)
    about = "require a fresh proven backup before files are deleted: on or off"
    add_verb(inner, "guard", about, guarding).add_argument("state", choices=("on", "off"))


def _on_one(verbs: Any, name: str, help: str, does: object) -> ArgumentParser:
    """Add a command on one backup."""
    command = add_verb(verbs, name, help, does)
    command.add_argument("backup", metavar="BACKUP", help="the backup's id, or latest")
    return command


def _add_taking(verbs: Any) -> None:
    command = add_verb(verbs, "run", "take a backup and prove it (verify it by restoring it)", run)
    command.add_argument("kind", nargs="?", choices=("database", "metadata", "all"), default="all")
    about = "only take the backup; it does not count until proven"
    command.add_argument("--no-proof", action="store_true", help=about)
    about = "accept a bucket listing that deviates far from the last one"
    command.add_argument("--accept", action="store_true", help=about)
    about = "also save each object's metadata and tags (slow)"
    command.add_argument("--details", action="store_true", help=about)
    command = add_verb(verbs, "list", "list the backups", listing)
    about = "read the backup bucket, not the catalogue; needs no database"
    command.add_argument("--from-bucket", action="store_true", help=about)
    command.add_argument("--all", action="store_true", help="include expired backups")
    _on_one(verbs, "show", "show the contents of a backup (needs no database)", show)
    _on_one(verbs, "verify", "verify checksums: read every byte again and compare hashes", verify)
    about = "verify a backup by restoring it into a scratch database and comparing"
    _on_one(verbs, "prove", about, prove_one)
    about = "rehearse disaster recovery: restore the newest proven backup on an empty server, timed"
    add_verb(verbs, "drill", about, drilled)


def _add_keeping(verbs: Any) -> None:
    command = add_verb(verbs, "prune", "list the backups past retention; --act deletes them", prune)
    command.add_argument("--act", action="store_true", help="delete these backups")
    about = "override a parameter, such as days_old=60"
    command.add_argument("--param", action="append", metavar="NAME=NUMBER", help=about)
    command = _on_one(verbs, "pin", "keep a backup for ever: exempt it from retention", pin)
    command.add_argument("--reason", default="")
    command.set_defaults(pinned=True)
    command = _on_one(verbs, "quarantine", "stop counting a backup, and keep its files", quarantine)
    command.add_argument("--reason", default="")
    command = _on_one(verbs, "unpin", "apply the retention rule to a backup again", pin)
    command.set_defaults(pinned=False)
    about = "exit 1 when there is no fresh proven backup, or the newest deviates far from its history"
    add_verb(verbs, "check", about, check)
    about = "rebuild the catalogue: add the backups that only the bucket holds"
    command = add_verb(verbs, "rebuild", about, rebuild_catalogue)
    about = "proceed although the bucket has lost more than half of the backups"
    command.add_argument("--accept", action="store_true", help=about)
    about = "also add backups that were not written with this installation's key"
    command.add_argument("--unauthenticated", action="store_true", help=about)
    about = "make the key that signs manifests and certificates, or a new one beside the old"
    add_verb(verbs, "rotate-key", about, rotate_key)


def run(args: Namespace) -> int:
    """Take the requested backups and prove each; fail at the first that cannot be taken or proven."""
    kinds: Sequence[BackupKind] = KINDS if args.kind == "all" else (args.kind,)
    done = []
    with open_context(settings()) as context, output.progress(args.json) as progress:
        for kind in kinds:
            taken = take(context, kind, accept=args.accept, details=args.details, progress=progress)
            done.append(taken if args.no_proof else prove(context, taken.id))
    _show(done, args.json)
    return 0


def take(
    context: BackupContext,
    kind: BackupKind,
    *,
    accept: bool = False,
    details: bool = False,
    progress: Progress | None = None,
) -> Backup:
    if kind == "database":
        return backup_database(context, progress)
    return backup_minio_metadata(context, details=details, accept=accept, progress=progress)


def listing(args: Namespace) -> int:
    """List the catalogue; or, with --from-bucket, the bucket's backups, which needs no database."""
    if args.from_bucket:
        chosen = store_only()
        keys = authentication.read(chosen.backup_auth_key_file)
        _show(rebuild.of_bucket(open_backup_bucket(chosen), keys), args.json)
        return 0
    with open_context(settings()) as context:
        _show([b for b in context.stores.catalogue.all() if args.all or b.state != "expired"], args.json)
    return 0


def show(args: Namespace) -> int:
    chosen = store_only()
    backup_bucket = open_backup_bucket(chosen)
    backup = of_bucket(chosen, backup_bucket, args.backup)
    manifest, sha256 = manifests.read(backup.id, backup_bucket)
    if args.json:
        output.emit_json({"backup": backup, "manifest": manifest, "manifest_sha256": sha256})
    else:
        output_backup.show_backup(backup, manifest)
    return 0


def verify(args: Namespace) -> int:
    """Read every part again and compare it with the manifest. This is quick, but no proof."""
    with open_context(settings()) as context:
        id = _id(context, args.backup)
        manifest, sha256 = manifests.read(id, context.stores.backup_bucket)
        as_recorded(context, id, sha256)
        download.verify(manifest, context.stores.backup_bucket)
    say(
        args,
        {"backup": id, "parts": len(manifest.parts), "bytes": manifest.size},
        "Every byte matches the manifest.",
    )
    return 0


def prove_one(args: Namespace) -> int:
    with open_context(settings()) as context:
        proven = prove(context, _id(context, args.backup))
    if args.json:
        output.emit_json(proven.certificate)
    else:
        output_backup.show_certificate(proven.certificate)
    return 0


def prune(args: Namespace) -> int:
    with open_installation(settings()) as stores, output.progress(args.json) as progress:
        job = catalog.get("cleanup_old_backups")
        does = sweep.run if args.act else sweep.plan
        done = does(job, stores, stores.clock(), params(args), requested_by=who(), progress=progress)
        show_run(done, stores, args.json, with_actions=not args.act)
    return 0


def pin(args: Namespace) -> int:
    with open_context(settings()) as context:
        id = _id(context, args.backup)
        reason = (args.reason or f"by {who()}") if args.pinned else ""
        if (row := context.stores.catalogue.get(id)) and row.state == "expired":
            raise UsageError(f"{id} is expired: its data is deleted, and a pin cannot bring it back.")
        if not context.stores.catalogue.pin(id, reason):
            raise NoSuchBackup(id)
        context.stores.audit.record("pin" if args.pinned else "unpin", "", {"id": id, "by": who()})
    say(
        args,
        {"backup": id, "pinned": reason},
        f"Kept for ever: {id}" if args.pinned else f"No longer pinned: {id}",
    )
    return 0


def quarantine(args: Namespace) -> int:
    """Take a backup out of what counts, without deleting anything; a new proof puts it back."""
    with open_context(settings()) as context:
        id, stores = _id(context, args.backup), context.stores
        if (row := stores.catalogue.get(id)) is None:
            raise NoSuchBackup(id)
        why = f"{QUARANTINED} by {who()}{f': {args.reason}' if args.reason else ''}"
        with stores.runs.lock("prove"):  # a proof that is running would turn it to proven again
            moved = stores.catalogue.move(id, COUNTED, "failed", why)
        if not moved:
            raise UsageError(f"{id} is {row.state} and does not count as a backup anyway.")
        stores.audit.record("quarantine", "", {"id": id, "by": who(), "reason": args.reason})
    words = f"{id} no longer counts; its files stay. `storage backup prove {id}` takes it back."
    say(args, {"backup": id, "message": why}, words)
    return 0


def check(args: Namespace) -> int:
    with open_installation(settings()) as stores:
        alarms.check(stores)
    say(args, {"alarms": []}, "OK: a backup of each kind was proven within 26 h.")
    return 0


def rebuild_catalogue(args: Namespace) -> int:
    with open_installation(settings()) as stores:
        keys = authentication.read(settings().backup_auth_key_file)
        done = rebuild.rebuild(stores, accept=args.accept, keys=keys, unauthenticated=args.unauthenticated)
    summary = {name: [backup.id for backup in backups] for name, backups in vars(done).items()}
    words = f"{len(done.entered)} added from the bucket, {len(done.lost)} missing in it (now failed)."
    if done.unauthenticated:
        words += (
            f" {len(done.unauthenticated)} not added, as they were not written with this installation's key: "
            f"{', '.join(backup.id for backup in done.unauthenticated)}. If you know who made them, add them "
            "with --unauthenticated and prove them."
        )
    say(args, summary, words)
    return 0


def rotate_key(args: Namespace) -> int:
    """Make a new authentication key; the older ones still verify what they signed."""
    path = store_only().backup_auth_key_file
    key = authentication.rotate(path)
    words = (
        f"Key {key} signs from now on; older keys in {path} still verify. Copy the file to each machine "
        "that takes, proves or restores backups, and keep a copy with the age identity: never in the bucket."
    )
    say(args, {"key": key, "file": path}, words)
    return 0


def guarding(args: Namespace) -> int:
    """Turn the guard on or off that requires a fresh proven backup before files are deleted."""
    with open_installation(settings()) as stores:
        stores.control.write(guard.BACKUP_GUARD, None if args.state == "on" else "off")
        stores.audit.record("backup-guard", "", {"state": args.state, "by": who()})
    say(args, {"guard_fresh_backup": args.state}, f"Guard fresh-backup: {args.state}")
    return 0


def drilled(args: Namespace) -> int:
    chosen = store_only()
    summary = drill.drill(chosen, open_backup_bucket(chosen))
    say(
        args,
        summary,
        f"Restored in {summary['seconds_in_all']} s: {summary['rows']:,} rows of {summary['backup']}.",
    )
    return 0


def _id(context: BackupContext, word: str) -> BackupId:
    """Return a backup's id; ``latest`` is the newest complete or proven backup of the database."""
    if word != "latest":
        return BackupId(word)
    for backup in context.stores.catalogue.all("database"):
        if backup.state in ("complete", "proven") and backup.taken_at <= context.stores.clock() + SKEW:
            return backup.id
    raise NoSuchBackup("latest")


def of_catalogue(context: BackupContext, word: str) -> Backup:
    """Return a backup; ``latest`` is the newest proven backup of the database. Raises NoSuchBackup."""
    catalogue, now = context.stores.catalogue, context.stores.clock()
    found = catalogue.newest_proven("database", now) if word == "latest" else catalogue.get(BackupId(word))
    if found is None:
        raise NoSuchBackup(word)
    return found


def _show(backups: Sequence[Backup], as_json: bool) -> None:
    if as_json:
        output.emit_json(backups)
    else:
        output_backup.show_backups(backups)
