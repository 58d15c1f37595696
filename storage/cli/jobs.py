"""Commands on maintenance jobs and their runs: ``storage jobs plan run apply runs undo explain``."""

from __future__ import annotations

import argparse
from argparse import Namespace
from typing import Any

from storage import catalog
from storage.cli import output
from storage.cli.common import add_verb, as_of, params, settings, show_run, who
from storage.cli.undo import undo_run
from storage.core.errors import EXIT_WAITS, NoSuchRun
from storage.engine import apply as applying
from storage.engine import sweep
from storage.engine.actions import Keep
from storage.installation import open_installation


def add_parser(verbs: Any) -> None:
    add_verb(verbs, "jobs", "list the maintenance jobs", jobs)
    for name, help, does in (
        ("plan", "plan a job (dry run): list what it would do, change nothing", plan),
        ("run", "plan a job and apply the plan", run),
    ):
        command = add_verb(verbs, name, help, does)
        command.add_argument("job")
        command.add_argument("--as-of", help="evaluate ages at this instant (ISO 8601; never the future)")
        command.add_argument(
            "--param",
            action="append",
            metavar="NAME=NUMBER",
            help="override a parameter, such as days_old=10",
        )
    command = add_verb(verbs, "apply", "apply a run's plan, or resume an interrupted apply", apply)
    command.add_argument("plan", metavar="RUN|PLAN", help="the run's id or its plan's address")
    command.add_argument("--approve", metavar="SHA256", help="approve exactly this plan")
    command = add_verb(verbs, "runs", "list the latest runs, or show a run with its plan", runs)
    command.add_argument("run", nargs="?")
    command.add_argument("--limit", type=_positive, default=20, help="how many runs")
    about = "withdraw the marks (pending deletions) of a run; show what cannot be taken back"
    command = add_verb(verbs, "undo", about, undo_run)
    command.add_argument("run")
    command.add_argument("--job", default="", metavar="JOB", help="only what belongs to this pipeline job")
    command.add_argument("--key", default="", metavar="KEY", help="only this key, temp file or job id")
    command.add_argument("--dry-run", action="store_true", help="show what it would do, change nothing")
    about = "explain what each job would do with a key, a path or a job, and why"
    command = add_verb(verbs, "explain", about, explain)
    command.add_argument("subject", metavar="KEY|PATH|JOB")
    command.add_argument("--as-of", help=argparse.SUPPRESS)


def _positive(text: str) -> int:
    if not text.isdigit() or not 0 < int(text) <= 10_000:
        raise argparse.ArgumentTypeError(f"{text} is not a number from 1 to 10000")
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


def explain(args: Namespace) -> int:
    with open_installation(settings()) as stores:
        decided = [
            (job, "keep" if isinstance(decision, Keep) else decision.verb, decision.key, decision.reason)
            for job, decision in sweep.explain(catalog.JOBS.values(), stores, as_of(args), args.subject)
        ]
    if args.json:
        names = ("job", "verb", "key", "reason")
        output.emit_json([dict(zip(names, decision, strict=True)) for decision in decided])
    else:
        output.show_decisions(decided)
    return 0


def _run_of(plan: str) -> str:
    """Return the run id of ``plan``: a run id, or the address of its plan."""
    return plan.rsplit("/", 1)[-1].removesuffix(".jsonl.gz")
