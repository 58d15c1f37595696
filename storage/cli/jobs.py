"""Commands on maintenance jobs and their runs: ``storage jobs plan run apply runs undo explain``."""

from __future__ import annotations

import argparse
from argparse import Namespace
from typing import Any

from storage import catalog
from storage.cli import output
from storage.cli.common import add_verb, as_of, params, settings, show_run, who
from storage.core.errors import EXIT_WAITS, NoSuchRun
from storage.engine import apply as applying
from storage.engine import sweep
from storage.engine.actions import Keep
from storage.engine.undo import undo
from storage.installation import open_installation


def add_parser(verbs: Any) -> None:
    add_verb(verbs, "jobs", "list the maintenance jobs", jobs)
    for name, help, does in (
        ("plan", "decide what a job would do, and change nothing", plan),
        ("run", "plan a job and apply the plan", run),
    ):
        one = add_verb(verbs, name, help, does)
        one.add_argument("job")
        one.add_argument("--as-of", help="reason about this instant (ISO 8601; never the future)")
        one.add_argument("--param", action="append", metavar="NAME=NUMBER", help="such as days_old=10")
    one = add_verb(verbs, "apply", "apply the plan of a run, or what is left of it", apply)
    one.add_argument("plan", metavar="RUN|PLAN", help="the run's id or its plan's address")
    one.add_argument("--approve", metavar="SHA256", help="approve exactly this plan")
    one = add_verb(verbs, "runs", "list the latest runs, or show one with its plan", runs)
    one.add_argument("run", nargs="?")
    one.add_argument("--limit", type=_positive, default=20, help="how many runs")
    add_verb(verbs, "undo", "take back what a run condemned", undo_run).add_argument("run")
    one = add_verb(verbs, "explain", "what each job would do with a key, a path or a job, and why", explain)
    one.add_argument("subject", metavar="KEY|PATH|JOB")
    one.add_argument("--as-of", help=argparse.SUPPRESS)


def _positive(text: str) -> int:
    if not text.isdigit() or not 0 < int(text) <= 10_000:
        raise argparse.ArgumentTypeError(f"{text} is no number from 1 to 10000")
    return int(text)


def jobs(args: Namespace) -> int:
    rows: list[dict[str, Any]] = [
        {"name": job.name, "title": job.title, "parameters": {p.name: p.default for p in job.parameters}}
        for job in catalog.JOBS.values()
    ]
    if args.json:
        output.emit_json(rows)
    else:
        output.show_facts("Maintenance jobs", ((r["name"], r["title"]) for r in rows))
    return 0


def plan(args: Namespace) -> int:
    with open_installation(settings()) as stores, output.progress(args.json) as progress:
        job = catalog.get(args.job)
        run = sweep.plan(job, stores, as_of(args), params(args), requested_by=who(), progress=progress)
        show_run(run, stores, args.json, with_actions=True)
    if run.state == "waiting":
        output.err.print(
            f"Waits for approval: storage apply {run.id} --approve {run.plan_sha256}", soft_wrap=True
        )
    return EXIT_WAITS if run.state == "waiting" else 0


def run(args: Namespace) -> int:
    with open_installation(settings()) as stores, output.progress(args.json) as progress:
        job = catalog.get(args.job)
        done = sweep.run(job, stores, as_of(args), params(args), requested_by=who(), progress=progress)
        show_run(done, stores, args.json)
    return 0


def apply(args: Namespace) -> int:
    with open_installation(settings()) as stores, output.progress(args.json) as progress:
        run_id = _run_of(args.plan)
        job = catalog.of_run(run_id, stores)
        done = applying.apply(job, run_id, stores, approve=args.approve or "", by=who(), progress=progress)
        show_run(done, stores, args.json)
    return 0


def runs(args: Namespace) -> int:
    with open_installation(settings()) as stores:
        if args.run:
            found = stores.runs.get(args.run)
            if found is None:
                raise NoSuchRun(args.run)
            show_run(found, stores, args.json, with_actions=True)
        elif args.json:
            output.emit_json(stores.runs.latest(limit=args.limit))
        else:
            output.show_runs(stores.runs.latest(limit=args.limit))
    return 0


def undo_run(args: Namespace) -> int:
    with open_installation(settings()) as stores:
        result = undo(args.run, stores)
    if args.json:
        output.emit_json(
            [{"key": s.key, "kind": s.kind, "status": o.status, "why": o.detail} for s, o in result]
        )
    else:
        output.show_undo(result)
    return int(any(outcome.status == "failed" for _, outcome in result))


def explain(args: Namespace) -> int:
    with open_installation(settings()) as stores:
        decided = [
            (job, "keep" if isinstance(one, Keep) else one.verb, one.key, one.reason)
            for job, one in sweep.explain(catalog.JOBS.values(), stores, as_of(args), args.subject)
        ]
    if args.json:
        names = ("job", "verb", "key", "reason")
        output.emit_json([dict(zip(names, one, strict=True)) for one in decided])
    else:
        output.show_decisions(decided)
    return 0


def _run_of(plan: str) -> str:
    """A run id, or the address of its plan."""
    return plan.rsplit("/", 1)[-1].removesuffix(".jsonl.gz")
