"""What ``storage restore`` and ``storage reconcile`` do."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Sequence
from contextlib import suppress

from storage import commands, commands_backup, connect, console
from storage.backup_model import BackupId
from storage.backups import documents, rebuild, reconcile, restore, selective, swap
from storage.backups import manifest as manifests
from storage.backups.sealing import identities
from storage.backups.site import Site, as_recorded
from storage.errors import SchemaMissing, Unreachable, UsageError
from storage.model import JobId
from storage.ports import ObjectStore
from storage.records import Ruling
from storage.settings import Settings


def run(args: Namespace) -> int:
    """One way of restoring: exactly one of the options that choose it may be given."""
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
        raise UsageError(f"{' and '.join(chosen)} are different ways to restore; give one of them.")
    if not args.backup and not (args.undo or args.drop_kept):
        raise UsageError("Name a backup (`storage backup list`), or latest.")
    does = ways[chosen[0]][1] if chosen else _beside
    return does(args)


def _beside(args: Namespace) -> int:
    """Into a new or an empty database; needs only the store, and a server to restore on."""
    settings = commands.settings()
    vault = connect.vault(settings)
    id = _id(vault, args.backup)
    _check_recorded(settings, id)
    with console.progress(args.json) as progress:
        made = restore.restore(settings, vault, id, into=args.into, typed=args.confirm, progress=progress)
    told = {"database": made.database, "rows": made.rows, "seconds": made.seconds, "lacking": made.lacking}
    words = f"Restored into {made.database} in {made.seconds:.1f} s: {made.rows:,} rows, equal to the dump."
    if made.database == connect.database_name(settings):
        connect.set_up(settings)
        with connect.stores(settings) as stores:
            rebuild.rebuild(stores, accept=True)  # the catalogue is of another day, the bucket is of today
        words += " Maintenance is paused. Next: `storage reconcile`."
    commands_backup.say(args, told, words)
    return 0


def _check_recorded(settings: Settings, id: BackupId) -> None:
    """Where there still is a catalogue, the manifest is the one it recorded."""
    with suppress(Unreachable, SchemaMissing), connect.site(settings) as site:
        _, sha256 = manifests.read(id, site.stores.vault)
        as_recorded(site, id, sha256)


def _live(args: Namespace) -> int:
    with connect.site(commands.settings()) as site:
        id = _id(site.stores.vault, args.backup)
        done = swap.swap(site, id, typed=args.confirm, by=commands.who())
    words = (
        f"{done.database} is now the backup's; the old one is kept as {done.kept} for 7 days. Maintenance is "
        "paused. Next: `storage reconcile`. To go back: `storage restore --undo --confirm NAME`."
    )
    commands_backup.say(args, {"database": done.database, "kept": done.kept}, words)
    return 0


def _undo(args: Namespace) -> int:
    with connect.site(commands.settings()) as site:
        done = swap.undo_swap(site, typed=args.confirm, by=commands.who())
    words = f"{done.database} is the old one again; the restored one is kept as {done.kept}."
    commands_backup.say(args, {"database": done.database, "kept": done.kept}, words)
    return 0


def _drop_kept(args: Namespace) -> int:
    with connect.site(commands.settings()) as site:
        dropped = swap.drop_kept(site, site.stores.clock())
    commands_backup.say(args, {"dropped": dropped}, f"Dropped: {', '.join(dropped) or 'none'}.")
    return 0


def _tables(args: Namespace) -> int:
    with connect.site(commands.settings()) as site:
        id = _id(site.stores.vault, args.backup)
        made = selective.restore_tables(site, id, args.tables.split(","), into=args.into)
    commands_backup.say(args, {"database": made.database}, f"The tables are in the database {made.database}.")
    return 0


def _rows(args: Namespace) -> int:
    """The rows of one api_key or job; of a metadata backup a job's metadata.json."""
    if args.api_key == "-":
        args.api_key = sys.stdin.readline().strip()
    with connect.site(commands.settings()) as site:
        id = _id(site.stores.vault, args.backup)
        manifest, _ = manifests.read(id, site.stores.vault)
        if manifest.kind == "metadata":
            return _documents(args, site, id)
        found = selective.restore_rows(site, id, api_key=args.api_key, job=args.job, apply=args.apply)
    if args.json:
        console.emit_json(found)
    else:
        console.show_rows(found, args.apply)
    return 0


def _documents(args: Namespace, site: Site, id: BackupId) -> int:
    if not args.job or not args.apply:
        raise UsageError("A metadata backup puts one job's documents back: give --job JOB --apply.")
    told = documents.put_back(site, id, JobId(args.job))
    lines = "\n".join(map(str, told)) or f"The backup has no documents of job {args.job}."
    commands_backup.say(args, {"documents": told}, lines)
    return 0


def _roles(args: Namespace) -> int:
    settings = commands_backup.store_only()
    vault = connect.vault(settings)
    manifest, _ = manifests.read(_id(vault, args.backup), vault)
    sys.stdout.write(restore.globals_sql(vault, manifest, identities(settings.backup_identity_file)))
    return 0


def _id(vault: ObjectStore, word: str) -> BackupId:
    return commands_backup.of_bucket(vault, word).id if word == "latest" else BackupId(word)


def reconciled(args: Namespace) -> int:
    """Show what is to be judged, judge it, or close the epoch."""
    with connect.site(commands.settings()) as site:
        _judge(site, "adopt", args.adopt)
        _judge(site, "condemn", args.condemn)
        if args.close:
            reconcile.close(site, commands.who())
            commands_backup.say(args, {"closed": True}, "Reconciled: maintenance goes on.")
            return 0
        waiting = list(reconcile.pending(site))
    if args.json:
        console.emit_json(waiting)
    else:
        console.show_unreconciled(waiting)
    return 0


def _judge(site: Site, verdict: Ruling, owners: Sequence[str]) -> None:
    if owners == ["all"]:
        owners = [one.owner for one in reconcile.pending(site) if one.verdict is None]
    if owners:
        count = reconcile.decide(site, owners, verdict, commands.who())
        console.err.print(f"{verdict}: {count:,} jobs")
