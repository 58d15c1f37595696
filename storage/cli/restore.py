"""Commands ``storage restore`` and ``storage reconcile``."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Sequence
from typing import Any

from storage import connect
from storage.backup import authentication, documents, rebuild
from storage.backup import manifest as manifests
from storage.backup.connect import open_backup_bucket, open_context
from storage.backup.context import BackupContext
from storage.backup.encryption import identities
from storage.backup.errors import BackupDamaged, NotAuthenticated
from storage.backup.model import BackupId
from storage.backup.restore import database as restore
from storage.backup.restore import reconcile, selective, swap
from storage.cli import output, output_backup
from storage.cli.backup import of_catalogue
from storage.cli.common import add_verb, of_bucket, say, settings, store_only, who
from storage.core.errors import SchemaMissing, Unreachable, UsageError
from storage.core.model import JobId
from storage.core.ports import ObjectStore
from storage.core.records import Ruling
from storage.core.settings import Settings
from storage.installation import open_installation


def add_parser(verbs: Any) -> None:
    about = "restore a backup: into a new database, or in place of the live one"
    command = add_verb(verbs, "restore", about, run)
    command.add_argument(
        "backup", nargs="?", metavar="BACKUP", help="the backup's id, or latest (the newest proven)"
    )
    command.add_argument("--into", default="", metavar="NAME", help="restore into this new or empty database")
    command.add_argument(
        "--confirm",
        default="",
        metavar="NAME",
        help="for --into, --live, --undo: repeat the database's name",
    )
    command.add_argument("--live", action="store_true", help="replace the live database; the old one is kept")
    command.add_argument(
        "--undo", action="store_true", help="roll back --live: restore the database it replaced"
    )
    command.add_argument(
        "--drop-kept", action="store_true", help="drop kept databases whose 7 days have expired"
    )
    command.add_argument(
        "--tables", default="", metavar="T,T", help="restore only these tables, into a new database"
    )
    command.add_argument(
        "--api-key", default="", metavar="KEY", help="compare the rows of one API key (-: read it from stdin)"
    )
    command.add_argument(
        "--job", default="", metavar="JOB", help="compare the rows of one job, or restore its metadata.json"
    )
    command.add_argument("--apply", action="store_true", help="restore what is missing of --api-key or --job")
    command.add_argument("--roles", action="store_true", help="print the server's roles as SQL")
    command.add_argument(
        "--from-bucket",
        action="store_true",
        help="restore what the bucket holds under this id, also if the catalogue does not know it",
    )
    _add_reconcile(verbs)


def _add_reconcile(verbs: Any) -> None:
    about = "after a restore: give a verdict (adopt or condemn) on each job newer than the backup"
    command = add_verb(verbs, "reconcile", about, reconciled)
    command.add_argument(
        "--adopt", nargs="+", default=[], metavar="JOB", help="keep the files of these jobs (or: all)"
    )
    command.add_argument(
        "--condemn",
        nargs="+",
        default=[],
        metavar="JOB",
        help="delete the files of these jobs later (or: all)",
    )
    command.add_argument("--close", action="store_true", help="end the restore epoch: maintenance resumes")


def run(args: Namespace) -> int:
    """Run the chosen kind of restore; at most one of the options that choose it may be given."""
    ways = {
        "--undo": (args.undo, _undo),
        "--live": (args.live, _live),
        "--drop-kept": (args.drop_kept, _drop_kept),
        "--tables": (args.tables, _tables),
        "--api-key": (args.api_key, _rows),
        "--job": (args.job, _rows),
        "--roles": (args.roles, _roles),
    }
    chosen = [name for name, (given, _) in ways.items() if given]
    if len(chosen) > 1:
        raise UsageError(f"{' and '.join(chosen)} exclude each other; give only one.")
    if args.from_bucket and chosen not in ([], ["--roles"]):
        raise UsageError(f"{chosen[0]} takes backups from the catalogue only; leave out --from-bucket.")
    if not args.backup and not (args.undo or args.drop_kept):
        raise UsageError("Name a backup (`storage backup list`), or latest.")
    does = ways[chosen[0]][1] if chosen else _beside
    return does(args)


def _beside(args: Namespace) -> int:
    """Restore into a new or an empty database; needs only the store and a server to restore on."""
    chosen = settings()
    backup_bucket = open_backup_bucket(chosen)
    id, sha256, authenticated = _chosen(chosen, backup_bucket, args)
    if not authenticated:
        output.err.print("Not authenticated: whoever may write to the bucket could have made this backup.")
    with output.progress(args.json) as progress:
        made = restore.restore(
            chosen, backup_bucket, id, into=args.into, typed=args.confirm, sha256=sha256, progress=progress
        )
    summary = {"database": made.database, "rows": made.rows, "seconds": made.seconds, "lacking": made.lacking}
    summary |= {"authenticated": authenticated}
    words = f"Restored into {made.database} in {made.seconds:.1f} s: {made.rows:,} rows, equal to the dump."
    if made.database == connect.database_name(chosen):
        connect.set_up(chosen)
        with open_installation(chosen) as stores:
            # The restored catalogue is as old as the backup; the bucket is current.
            keys = authentication.read(chosen.backup_auth_key_file)
            rebuild.rebuild(stores, accept=True, keys=keys)
        words += " Maintenance is paused. Next: `storage reconcile`."
    say(args, summary, words)
    return 0


def _chosen(chosen: Settings, backup_bucket: ObjectStore, args: Namespace) -> tuple[BackupId, str, bool]:
    """Return the backup to restore, its manifest's SHA-256, and whether catalogue or key confirm it.

    Where the catalogue can be asked, it alone says what exists: whoever may write to the bucket can put a
    newer backup there, whose SQL a restore would run. Raises NoSuchBackup, NotAuthenticated.
    """
    if args.from_bucket:
        found = of_bucket(chosen, backup_bucket, args.backup)
        return found.id, found.manifest_sha256, found.authenticated
    if not chosen.database_url:
        return _vouched(chosen, backup_bucket, args.backup)
    try:
        with open_context(chosen) as context:
            known = of_catalogue(context, args.backup)
    except (Unreachable, SchemaMissing) as error:
        output.err.print(f"The catalogue cannot be read; the backup is looked up in the bucket. {error}")
        return _vouched(chosen, backup_bucket, args.backup)
    _, sha256 = manifests.read(known.id, backup_bucket)
    if known.manifest_sha256 not in ("", sha256):
        raise BackupDamaged("its manifest is not the one that was written: the SHA-256 differs")
    return known.id, sha256, True


def _vouched(chosen: Settings, backup_bucket: ObjectStore, word: str) -> tuple[BackupId, str, bool]:
    """Return a backup that no catalogue knows; where the installation has a key, only if that signed it."""
    found = of_bucket(chosen, backup_bucket, word)
    if chosen.backup_auth_key_file and not found.authenticated:
        raise NotAuthenticated(found.id)
    return found.id, found.manifest_sha256, found.authenticated


def _known(context: BackupContext, word: str) -> BackupId:
    """Return the id of a backup in the catalogue; in the bucket if the database has lost the catalogue."""
    try:
        return of_catalogue(context, word).id
    except SchemaMissing:
        return of_bucket(context.settings, context.stores.backup_bucket, word).id


def _live(args: Namespace) -> int:
    with open_context(settings()) as context:
        id = _known(context, args.backup)
        done = swap.swap(context, id, typed=args.confirm, by=who())
    words = (
        f"{done.database} now holds the backup; the old database is kept as {done.kept} for 7 days. "
        "Maintenance is paused. Next: `storage reconcile`. "
        "To roll back: `storage restore --undo --confirm NAME`."
    )
    say(args, {"database": done.database, "kept": done.kept}, words)
    return 0


def _undo(args: Namespace) -> int:
    with open_context(settings()) as context:
        done = swap.undo_swap(context, typed=args.confirm, by=who())
    words = f"{done.database} is the old database again; the restored one is kept as {done.kept}."
    say(args, {"database": done.database, "kept": done.kept}, words)
    return 0


def _drop_kept(args: Namespace) -> int:
    with open_context(settings()) as context:
        dropped = swap.drop_kept(context, context.stores.clock())
    say(args, {"dropped": dropped}, f"Dropped: {', '.join(dropped) or 'none'}.")
    return 0


def _tables(args: Namespace) -> int:
    with open_context(settings()) as context:
        id = _known(context, args.backup)
        made = selective.restore_tables(context, id, args.tables.split(","), into=args.into)
    say(args, {"database": made.database}, f"Restored the tables into the database {made.database}.")
    return 0


def _rows(args: Namespace) -> int:
    """Restore the rows of one api_key or job; from a metadata backup, restore a job's metadata.json."""
    if args.api_key == "-":
        args.api_key = sys.stdin.readline().strip()
    with open_context(settings()) as context:
        id = _known(context, args.backup)
        manifest, _ = manifests.read(id, context.stores.backup_bucket)
        if manifest.kind == "metadata":
            return _documents(args, context, id)
        found = selective.restore_rows(context, id, api_key=args.api_key, job=args.job, apply=args.apply)
    if args.json:
        output.emit_json(found)
    else:
        output_backup.show_rows(found, args.apply)
    return 0


def _documents(args: Namespace, context: BackupContext, id: BackupId) -> int:
    if not args.job or not args.apply:
        raise UsageError(
            "From a metadata backup only one job's documents can be restored: give --job JOB --apply."
        )
    summary = documents.put_back(context, id, JobId(args.job))
    lines = "\n".join(map(str, summary)) or f"The backup holds no documents of job {args.job}."
    say(args, {"documents": summary}, lines)
    return 0


def _roles(args: Namespace) -> int:
    chosen = store_only()
    backup_bucket = open_backup_bucket(chosen)
    manifest, _ = manifests.read(_chosen(chosen, backup_bucket, args)[0], backup_bucket)
    sys.stdout.write(restore.globals_sql(backup_bucket, manifest, identities(chosen.backup_identity_file)))
    return 0


def reconciled(args: Namespace) -> int:
    """List the jobs without a verdict, record verdicts, or close the restore epoch."""
    with open_context(settings()) as context:
        _judge(context, "adopt", args.adopt)
        _judge(context, "condemn", args.condemn)
        if args.close:
            reconcile.close(context, who())
            say(args, {"closed": True}, "Reconciled: maintenance resumes.")
            return 0
        waiting = list(reconcile.pending(context))
    if args.json:
        output.emit_json(waiting)
    else:
        output_backup.show_unreconciled(waiting)
    return 0


def _judge(context: BackupContext, verdict: Ruling, owners: Sequence[str]) -> None:
    if owners == ["all"]:
        owners = [job.owner for job in reconcile.pending(context) if job.verdict is None]
    if owners:
        count = reconcile.decide(context, owners, verdict, who())
        output.err.print(f"{verdict}: {count:,} jobs")
