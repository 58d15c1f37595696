"""What each command of the command line does. The parser is in :mod:`storage.__main__`."""

from __future__ import annotations

import getpass
import os
from argparse import Namespace
from datetime import UTC, datetime, timedelta
from typing import Any

from storage import catalog, connect, console
from storage.backup_model import KINDS
from storage.capabilities import Capabilities
from storage.clock import utcnow
from storage.engine import apply as applying
from storage.engine import guard, sweep
from storage.engine.actions import Keep
from storage.engine.plan import read
from storage.engine.undo import undo
from storage.errors import EXIT_WAITS, NoSuchRun, UsageError
from storage.model import BucketName, Run
from storage.ports import Stores
from storage.settings import Settings
from storage.stores import probe as probing
from storage.stores.files import TempFolder
from storage.stores.s3 import S3Bucket

EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)


def settings() -> Settings:
    return Settings.from_env(os.environ)


def jobs(args: Namespace) -> int:
    rows: list[dict[str, Any]] = [
        {"name": job.name, "title": job.title, "parameters": {p.name: p.default for p in job.parameters}}
        for job in catalog.JOBS.values()
    ]
    if args.json:
        console.emit_json(rows)
    else:
        console.show_facts("Maintenance jobs", ((r["name"], r["title"]) for r in rows))
    return 0


def plan(args: Namespace) -> int:
    with connect.stores(settings()) as stores, console.progress(args.json) as progress:
        job = catalog.get(args.job)
        run = sweep.plan(job, stores, as_of(args), params(args), requested_by=who(), progress=progress)
        show_run(run, stores, args.json, with_actions=True)
    if run.state == "waiting":
        console.err.print(
            f"Waits for approval: storage apply {run.id} --approve {run.plan_sha256}", soft_wrap=True
        )
    return EXIT_WAITS if run.state == "waiting" else 0


def run(args: Namespace) -> int:
    with connect.stores(settings()) as stores, console.progress(args.json) as progress:
        job = catalog.get(args.job)
        done = sweep.run(job, stores, as_of(args), params(args), requested_by=who(), progress=progress)
        show_run(done, stores, args.json)
    return 0


def apply(args: Namespace) -> int:
    with connect.stores(settings()) as stores, console.progress(args.json) as progress:
        run_id = _run_of(args.plan)
        done = applying.apply(run_id, stores, approve=args.approve or "", by=who(), progress=progress)
        show_run(done, stores, args.json)
    return 0


def runs(args: Namespace) -> int:
    with connect.stores(settings()) as stores:
        if args.run:
            found = stores.runs.get(args.run)
            if found is None:
                raise NoSuchRun(args.run)
            show_run(found, stores, args.json, with_actions=True)
        elif args.json:
            console.emit_json(stores.runs.latest(limit=args.limit))
        else:
            console.show_runs(stores.runs.latest(limit=args.limit))
    return 0


def undo_run(args: Namespace) -> int:
    with connect.stores(settings()) as stores:
        result = undo(args.run, stores)
    if args.json:
        console.emit_json(
            [{"key": s.key, "kind": s.kind, "status": o.status, "why": o.detail} for s, o in result]
        )
    else:
        console.show_undo(result)
    return int(any(outcome.status == "failed" for _, outcome in result))


def explain(args: Namespace) -> int:
    with connect.stores(settings()) as stores:
        decided = [
            (job, "keep" if isinstance(one, Keep) else one.verb, one.key, one.reason)
            for job, one in sweep.explain(catalog.JOBS.values(), stores, as_of(args), args.subject)
        ]
    if args.json:
        names = ("job", "verb", "key", "reason")
        console.emit_json([dict(zip(names, one, strict=True)) for one in decided])
    else:
        console.show_decisions(decided)
    return 0


def probe(args: Namespace) -> int:
    found, why = probe_now(settings())
    if args.json:
        console.emit_json(found)
    else:
        console.show_facts("What this endpoint does", console.capability_facts(found))
        if why:
            console.err.print(f"[yellow]Temp folder:[/] {why}", soft_wrap=True)
    return 0


def probe_now(chosen: Settings) -> tuple[Capabilities, str]:
    """Probe the endpoint and the temp folder and store what was found; why leases cannot be had, if so."""
    with connect.stores(chosen) as stores:
        server, folder = connect.endpoint(chosen), stores.files
        assert isinstance(folder, TempFolder)
        leases, why = probing.leases(folder)
        plans = S3Bucket(server, BucketName(chosen.maintenance_bucket))
        found = probing.probe(plans, S3Bucket(server, BucketName(chosen.bucket)), leases)
        stores.control.save_capabilities(found)
        stores.runs.audit("probe", "", {"server": found.server})
    return found, why


def status(args: Namespace) -> int:
    with connect.stores(settings()) as stores:
        facts = _status(stores)
    if args.json:
        console.emit_json(facts)
    else:
        console.show_facts(
            "Storage maintenance", ((name.replace("_", " "), str(v)) for name, v in facts.items())
        )
    return 0


def _status(stores: Stores) -> dict[str, Any]:
    last = {run.job: run for run in reversed(stores.runs.latest(limit=200))}
    proven = {kind: stores.catalogue.newest_proven(kind) for kind in KINDS}
    facts: dict[str, Any] = {
        "paused": stores.control.paused() or "no",
        "guard_fresh_backup": stores.control.read(guard.BACKUP_GUARD) or "on",
        "restore_epoch": stores.control.read("restore_epoch") or "none",
        "server": stores.control.capabilities().server or "not probed: run `storage probe`",
    }
    for of, backup in proven.items():
        facts[f"proven_{of}"] = (
            f"{backup.id}, taken {backup.taken_at:%Y-%m-%d %H:%M} UTC" if backup else "none"
        )
    for status_, count in sorted(stores.jobs.counts().items()):
        facts[f"jobs_{status_}"] = f"{count:,}"
    for kind, total in stores.tombstones.open().items():
        facts[f"condemned_{kind}s"] = f"{total.count:,} ({console.size(total.bytes)})"
    for job in catalog.JOBS:
        run_ = last.get(job)
        facts[f"last_{job}"] = f"{run_.state}, {run_.done.count:,} done, {run_.id}" if run_ else "never"
    return facts


def pause(args: Namespace) -> int:
    with connect.stores(settings()) as stores:
        stores.control.write("paused", args.reason or f"by {who()}")
        stores.runs.audit("pause", "", {"by": who(), "reason": args.reason or ""})
        if args.json:
            console.emit_json({"paused": stores.control.paused()})
    console.err.print("Paused: no batch starts until `storage resume`.")
    return 0


def resume(args: Namespace) -> int:
    with connect.stores(settings()) as stores:
        stores.control.write("paused", None)
        stores.runs.audit("resume", "", {"by": who()})
        if args.json:
            console.emit_json({"paused": stores.control.paused()})
    console.err.print("Resumed.")
    return 0


def migrate(args: Namespace) -> int:
    done = connect.set_up(settings(), adopt=args.adopt)
    if args.json:
        console.emit_json({"done": done})
    else:
        console.out.print("\n".join(f"made {one}" for one in done) or "Nothing to do.")
    return 0


def as_of(args: Namespace) -> datetime:
    """The instant asked for, or now. Raises UsageError for the future and for what is no date."""
    now = utcnow()
    if not args.as_of:
        return now
    try:
        asked = datetime.fromisoformat(args.as_of)
    except ValueError as error:
        raise UsageError(f"--as-of {args.as_of!r} is no ISO date such as 2026-01-31T02:00:00Z.") from error
    asked = asked if asked.tzinfo else asked.replace(tzinfo=UTC)
    if asked < EARLIEST:
        raise UsageError(f"--as-of {asked.isoformat()} lies before {EARLIEST:%Y}: nothing here is that old.")
    if asked > now + timedelta(seconds=1):
        raise UsageError(
            f"--as-of {asked.isoformat()} lies in the future; a run reasons about now or before."
        )
    return asked


def params(args: Namespace) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for given in args.param or ():
        name, equals, value = given.partition("=")
        if not name or not equals or not value:
            raise UsageError(f"--param {given!r} is not name=value, such as days_old=7.")
        try:
            found[name] = float(value)
        except ValueError:
            found[name] = value  # a word, for the parameter itself to judge
    return found


def who() -> str:
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # a container's uid without a name
        name = f"uid {os.getuid()}"
    return f"{name} (command line)"


def _run_of(plan: str) -> str:
    """A run id, or the address of its plan."""
    return plan.rsplit("/", 1)[-1].removesuffix(".jsonl.gz")


def show_run(run: Run, stores: Stores, as_json: bool, with_actions: bool = False) -> None:
    details = stores.runs.details(run.id)
    if as_json:
        actions = list(read(run, stores.plans)) if with_actions else None
        told = {"run": run, "details": details}
        console.emit_json(told if actions is None else told | {"actions": actions})
        return
    console.show_run(run, details)
    if with_actions:
        console.show_actions(read(run, stores.plans))
