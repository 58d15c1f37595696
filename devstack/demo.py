"""Demo: a real Airflow cleans a real bucket, temp folder and database; an independent witness verifies it."""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.table import Table

from devstack import demo_backup, demo_cold, stack, witness
from devstack.airflow_api import AirflowApi
from devstack.errors import DevstackError
from devstack.sample import generate, load, open_uploads
from devstack.sample_store import back_date_ministack
from devstack.sample_values import BackDate, Sample
from storage import catalog, connect
from storage.cli.installation import probe_now
from storage.cli.output import WIDE, size
from storage.core.errors import StorageError
from storage.core.model import printable
from storage.core.ports import Stores
from storage.core.settings import Settings
from storage.engine.actions import Keep
from storage.engine.plan import read
from storage.installation import open_installation

out = Console(highlight=False, width=None if sys.stdout.isatty() else WIDE)
DAG = "storage_cleanup"
JOBS = (
    "cleanup_temp_files",
    "cleanup_temp_objects",
    "abort_uploads",
    "cleanup_orphan_uploads",
    "cleanup_failed_jobs",
    "cleanup_stuck_jobs",
)
#: A short temp age: a file's ctime cannot be set, so the sample's temp files are as young as the demo.
CONF = {"dry_run": False, "temp_hours_old": 1 / 120}
EXTRA = {"AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "True"}


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m devstack.demo", description=__doc__)
    parser.add_argument("--store", default="auto", choices=("auto", "ministack", "minio"))
    parser.add_argument("--jobs", type=int, default=600)
    args = parser.parse_args(argv)
    try:
        return _demo(args.store, args.jobs)
    except (DevstackError, StorageError) as error:
        out.print(f"[bold red]{error}[/]", soft_wrap=True)
        return 1


def _demo(store: str, jobs: int) -> int:
    began, home = time.monotonic(), stack.default_home()
    _step("A fresh stack: object store, PostgreSQL")
    stack.down(home, say=_quiet)
    stack.reset(home, say=_quiet)
    servers = stack.up(store, airflow=False, home=home, cold=True, say=_say)
    if servers.store.kind == "external":
        raise DevstackError(
            "the demo loads sample data; unset STORAGE_ENDPOINT_URL so that it starts its own store"
        )
    settings = Settings.from_env(servers.env())
    connect.set_up(settings)
    _step(f"Sample data: {jobs} jobs of 120 days, their objects, uploads and temp files")
    _fill(servers, generate(jobs, seed=7, as_of=datetime.now(UTC)))
    probe_now(settings)
    _step("Airflow")
    servers = stack.up(store, home=home, extra_env=EXTRA, say=_say)
    demo_backup.run(servers, settings)
    ok = _clean(servers, settings)
    ok = demo_cold.run(servers, settings) and ok
    _farewell(servers, time.monotonic() - began)
    return 0 if ok else 1


def _fill(servers: stack.Stack, sample: Sample) -> None:
    env, on_files = servers.env(), servers.store.kind == "ministack"
    made = load(sample, env, BackDate.FILES if on_files else BackDate.HEADER)
    if on_files:
        servers.store.stop()
        back_date_ministack(servers.store.folder / "data", sample.dates(), env["STORAGE_BUCKET"])
        stack.up("ministack", airflow=False, home=servers.home, say=_quiet)
        open_uploads(sample, env)
    by_status = ", ".join(f"{count} {status}" for status, count in made.by_status)
    _say(f"{made.jobs} jobs ({by_status}); {made.objects:,} objects, {size(made.object_bytes)}")


def _clean(servers: stack.Stack, settings: Settings) -> bool:
    """Plan in Airflow, show the plan, apply it; return True if exactly the planned changes were made."""
    api = servers.api()
    api.wait_for_dag(DAG)
    api.unpause(DAG)
    before = witness.snapshot(servers.env())
    _step("A manual run of storage_cleanup: it plans and changes nothing")
    planned = _trigger(api, {"temp_hours_old": CONF["temp_hours_old"]})
    with open_installation(settings) as stores:
        _show_plans(planned, stores)
        _show_keeps(stores)
        unchanged = not witness.compare(before, witness.snapshot(servers.env()))
        out.print(
            f"The witness: {'nothing has changed' if unchanged else '[bold red]something has changed[/]'}."
        )
        _step("A second run, with dry_run=false: it applies")
        applied = _trigger(api, CONF)
        expected = _expected(applied, stores)
        _show_results(applied)
    after = witness.snapshot(servers.env())
    return unchanged and _judge(before, after, expected, servers)


def _trigger(api: AirflowApi, conf: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Trigger the DAG and wait; return each job's result from its apply task."""
    run = api.trigger(DAG, dict(conf))
    state = api.wait(DAG, run, timeout=240)
    out.print(f"Airflow run {run}: [bold {'green' if state == 'success' else 'red'}]{state}[/]")
    if state != "success":
        red = [t["task_id"] for t in api.task_instances(DAG, run) if t["state"] == "failed"]
        raise DevstackError(
            f"the run is {state}: {', '.join(red)}; its logs are in Airflow at {api.base_url}"
        )
    return {job: api.xcom(DAG, run, f"{job}.apply") for job in JOBS}


def _show_plans(planned: Mapping[str, Mapping[str, Any]], stores: Stores) -> None:
    table = Table(
        "job", "considered", "planned", "bytes", "for example", title="The plan", title_justify="left"
    )
    for job, head in planned.items():
        run = stores.runs.get(str(head["run"]))
        first = next(iter(read(run, stores.plans, catalog.get(run.job).by_verb)), None) if run else None
        example = f"{first.verb} {printable(first.key)[:46]}: {first.reason}" if first else "nothing to do"
        table.add_row(
            job, f"{head['considered']:,}", f"{head['planned']:,}", size(head["planned_bytes"]), example
        )
    out.print(table)


def _show_keeps(stores: Stores) -> None:
    """Show the kept items by reason; names and ages are removed so that equal reasons add up."""
    table = Table("job", "kept", "why", title="Kept", title_justify="left")
    now = stores.clock()
    for name in JOBS:
        job = catalog.get(name)
        rule = job.rule(job.read({}))
        kept: Counter[str] = Counter()
        for decided in rule.plan(rule.select(stores, now), now):
            if isinstance(decided, Keep):
                kept[
                    re.sub(
                        r"job \S+ (has|is)",
                        r"its job \1",
                        re.sub(r"\d+ (min|h|days)", "... ", decided.reason),
                    )
                ] += 1
        for why, count in kept.most_common(3):
            table.add_row(name, f"{count:,}", printable(why))
    out.print(table)


def _expected(applied: Mapping[str, Mapping[str, Any]], stores: Stores) -> dict[str, set[str]]:
    """Return the keys of the plans by verb."""
    keys: dict[str, set[str]] = {}
    for head in applied.values():
        run = stores.runs.get(str(head["run"]))
        for action in read(run, stores.plans, catalog.get(run.job).by_verb) if run else ():
            keys.setdefault(action.verb, set()).add(action.key)
    return keys


def _show_results(applied: Mapping[str, Mapping[str, Any]]) -> None:
    table = Table(
        "job",
        "considered",
        "planned",
        "done",
        "skipped",
        "failed",
        "bytes",
        title="Done",
        title_justify="left",
    )
    for job, summary in applied.items():
        counts = (f"{summary[name]:,}" for name in ("considered", "planned", "done", "skipped", "failed"))
        table.add_row(job, *counts, size(summary["done_bytes"]))
    out.print(table)


def _judge(
    before: witness.Snapshot, after: witness.Snapshot, expected: Mapping[str, set[str]], servers: stack.Stack
) -> bool:
    """Compare the witness's snapshots with the plans and print the result; return True if they agree."""
    changes = witness.compare(before, after)
    removed = set(changes.objects_removed)
    stray = removed - expected.get("delete", set())
    aside = [path for path in changes.files_added if path.count("/") == 2 and path.startswith(".condemned/")]
    rows = {key.removeprefix("jobs:") for key, _ in changes.rows_changed} - expected.get("fail", set())
    facts = {
        "objects deleted, all of them planned": (len(removed), not stray),
        "objects changed or added": (
            len(changes.objects_changed) + len(changes.objects_added),
            not changes.objects_changed and not changes.objects_added,
        ),
        "temp files set aside, all of them planned": (
            len(aside),
            len(aside) == len(expected.get("condemn-file", set())),
        ),
        "files outside the temp folder changed": (len(changes.outside_changed), not changes.outside_changed),
        "rows changed that no plan named": (len(rows), not rows),
        "rows removed": (len(changes.rows_removed), not changes.rows_removed),
    }
    table = Table("the witness, by hashes of everything before and after", "", "", title_justify="left")
    for fact, (count, right) in facts.items():
        table.add_row(fact, f"{count:,}", "[green]as planned[/]" if right else "[bold red]NOT as planned[/]")
    out.print(table)
    return all(right for _, right in facts.values())


def _farewell(servers: stack.Stack, seconds: float) -> None:
    assert servers.airflow
    out.print(f"\nDone in {seconds:.0f} s. Airflow runs on:")
    login = f"user [bold]admin[/]   password [bold]{servers.airflow.admin_password}[/]"
    out.print(f"  {servers.airflow.base_url}   {login}")
    out.print("  `make demo-stop` stops it. To use the command line on it:")
    out.print('  eval "$(.venv/bin/python -m devstack env)"; .venv/bin/storage status')


def _step(text: str) -> None:
    out.print(f"\n[bold]{text}[/]")


def _say(text: str) -> None:
    out.print(f"  {text}", soft_wrap=True, markup=False)


def _quiet(text: str) -> None:
    """Discard a progress message of a step that is only undone or repeated."""


if __name__ == "__main__":
    sys.exit(main())
