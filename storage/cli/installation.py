"""Commands on the whole installation: ``storage probe``, ``status``, ``pause``, ``resume``, ``migrate``."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence
from typing import Any

from storage import catalog, connect
from storage.backup.model import KINDS
from storage.backup.ports import BackupStores
from storage.cli import output
from storage.cli.common import add_verb, settings, who
from storage.core.capabilities import Capabilities
from storage.core.errors import EXIT_FAILED, StorageError, Unreachable
from storage.core.model import ACTED, BucketName, Prefix, Run
from storage.core.records import pause_reason
from storage.core.settings import Settings
from storage.engine import guard
from storage.installation import open_installation
from storage.stores.files import TempFolder
from storage.stores.s3 import probe as probing
from storage.stores.s3.bucket import S3Bucket


def add_parser(verbs: Any) -> None:
    add_verb(verbs, "probe", "detect which S3 features the endpoint really supports", probe)
    add_verb(
        verbs,
        "status",
        "show what is condemned, paused and guarded, and the results of the last runs",
        status,
    )
    command = add_verb(verbs, "pause", "stop all maintenance before its next batch", pause)
    command.add_argument("--reason")
    add_verb(verbs, "resume", "lift a pause", resume)
    about = "create or update the schema, and register this bucket and database"
    command = add_verb(verbs, "migrate", about, migrate)
    command.add_argument("--adopt", action="store_true", help="accept another bucket or database than before")


HIDDEN = (
    "this store does not list temp/1/a while an object temp/1 exists. No job sees such keys, and a backup of "
    "metadata lacks them. Do not store objects under the names of folders."
)


def probe(args: Namespace) -> int:
    found, why = probe_now(settings())
    if args.json:
        output.emit_json(found)
    else:
        output.show_facts("Capabilities of this endpoint", output.capability_facts(found))
        if why:
            output.err.print(f"[yellow]Temp folder:[/] {why}", soft_wrap=True)
        if found.lists_below_objects is False:
            output.err.print(f"[yellow]Listings:[/] {HIDDEN}", soft_wrap=True)
    return 0


def probe_now(chosen: Settings) -> tuple[Capabilities, str]:
    """Probe endpoint and temp folder, store and return the capabilities, and why leases are unavailable."""
    with open_installation(chosen) as stores:
        server, folder = connect.endpoint(chosen), stores.files
        assert isinstance(folder, TempFolder)
        leases, why = probing.leases(folder)
        plans = S3Bucket(server, BucketName(chosen.maintenance_bucket))
        found = probing.probe(plans, S3Bucket(server, BucketName(chosen.bucket)), leases)
        stores.control.save_capabilities(found)
        stores.audit.record("probe", "", {"server": found.server})
    return found, why


def status(args: Namespace) -> int:
    with open_installation(settings()) as stores:
        errors, unsafe = unreached(stores), guard.pause_too_long(stores)
        facts = {"object_store": "; ".join(map(str, errors)) or "answers"} | status_of(stores)
    if unsafe:
        facts = {"not_safe": unsafe} | facts
    if args.json:
        output.emit_json(facts)
    else:
        output.show_facts(
            "Storage maintenance",
            ((name.replace("_", " "), output.shown(str(v))) for name, v in facts.items()),
        )
        if unsafe:
            output.err.print(f"[bold red]Not safe:[/] {output.shown(unsafe)}", soft_wrap=True)
    return max((error.exit_code for error in errors), default=EXIT_FAILED if unsafe else 0)


def unreached(stores: BackupStores) -> list[StorageError]:
    """Ask each bucket for one key; return the errors, only the first if the store does not answer."""
    found: list[StorageError] = []
    for bucket in (stores.objects, stores.plans, stores.backup_bucket):
        try:
            bucket.page(Prefix(".maintenance/"), limit=1)
        except Unreachable as error:
            return [error]
        except StorageError as error:
            found.append(error)
    return found


def status_of(stores: BackupStores) -> dict[str, Any]:
    proven = {kind: stores.catalogue.newest_proven(kind, stores.clock()) for kind in KINDS}
    epoch = stores.control.read("restore_epoch")
    facts: dict[str, Any] = {
        "paused": str(stores.control.paused() or "no"),
        "guard_fresh_backup": stores.control.read(guard.BACKUP_GUARD) or "on",
        "restore_epoch": "none" if epoch is None else epoch or "open",
        "server": stores.control.capabilities().server or "not probed: run `storage probe`",
    }
    for of, backup in proven.items():
        facts[f"proven_{of}"] = (
            f"{backup.id}, taken {backup.taken_at:%Y-%m-%d %H:%M} UTC" if backup else "none"
        )
    for status_, count in sorted(stores.jobs.counts().items()):
        facts[f"jobs_{status_}"] = f"{count:,}"
    for kind, total in stores.tombstones.open().items():
        facts[f"condemned_{kind}s"] = f"{total.count:,} ({output.size(total.bytes)})"
    newest = stores.runs.newest(list(catalog.JOBS))
    return facts | {f"last_{job}": _last([run for run in newest if run.job == job]) for job in catalog.JOBS}


def _last(newest: Sequence[Run]) -> str:
    """Describe a job's last run that acted, and a later one that only planned. ``newest``: latest first."""
    acted = next((run for run in newest if run.state in ACTED), None)
    words = f"{acted.state}, {acted.done.count:,} done, {acted.id}" if acted else "never"
    if newest and newest[0] is not acted:
        words += f"; since then {newest[0].state}: {newest[0].id}"
    return words


def pause(args: Namespace) -> int:
    with open_installation(settings()) as stores:
        stores.control.write("paused", pause_reason(who(), (args.reason or "").strip()))
        stores.audit.record("pause", "", {"by": who(), "reason": args.reason or ""})
        if args.json:
            output.emit_json({"paused": stores.control.paused()})
    output.err.print("Paused: no batch starts until you run `storage resume`.")
    return 0


def resume(args: Namespace) -> int:
    with open_installation(settings()) as stores:
        stores.control.write("paused", None)
        stores.audit.record("resume", "", {"by": who()})
        if args.json:
            output.emit_json({"paused": stores.control.paused()})
    output.err.print("Resumed.")
    return 0


def migrate(args: Namespace) -> int:
    done = connect.set_up(settings(), adopt=args.adopt)
    if args.json:
        output.emit_json({"done": done})
    else:
        output.out.print("\n".join(f"done: {step}" for step in done) or "Nothing to do.")
    return 0
