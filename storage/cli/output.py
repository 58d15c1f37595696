"""Output of results: tables for the terminal, one JSON document for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Column, Table

from storage.core.capabilities import Capabilities
from storage.core.errors import StorageError
from storage.core.model import Run, Totals, printable
from storage.engine.actions import Action
from storage.engine.apply import Progress as Report

WIDE = 120  # columns when stdout is no terminal: a log, a pipe
out = Console(highlight=False, width=None if sys.stdout.isatty() else WIDE)
err = Console(stderr=True, highlight=False)

_COLOURS = {"verified": "green", "refused": "red", "failed": "red", "waiting": "yellow", "applying": "yellow"}


def show_error(error: StorageError, as_json: bool) -> None:
    """Print an error and its next step on stderr; with --json also as the document on stdout."""
    err.print(f"[bold red]{type(error).__name__}[/] {shown(str(error))}", soft_wrap=True)
    if as_json:
        emit_json({"error": type(error).__name__, "message": str(error), "exit_code": error.exit_code})


def emit_json(value: Any) -> None:
    """Print one JSON document on stdout."""
    json.dump(value, sys.stdout, default=_plain, indent=2, sort_keys=True)
    sys.stdout.write("\n")


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    return str(value)


def shown(text: str) -> str:
    """Escape a key or message into one line without markup, so that it cannot forge another line."""
    return escape(printable(text))


def size(count: int) -> str:
    """Format a byte count: 512 B, 1.4 MiB."""
    amount = float(count)
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if amount < 1024 or unit == "TiB":
            return f"{int(amount)} {unit}" if unit == "B" else f"{amount:,.1f} {unit}"
        amount /= 1024
    raise AssertionError


def show_run(run: Run, details: Sequence[tuple[str, str, int]] = ()) -> None:
    """Print what a run considered, planned and did, as counts and bytes."""
    table = Table(
        title=f"{run.job}   [bold {_COLOURS.get(run.state, 'cyan')}]{run.state}[/]", title_justify="left"
    )
    table.add_column("")
    table.add_column("count", justify="right")
    table.add_column("bytes", justify="right")
    for name in ("considered", "planned", "done", "skipped", "failed"):
        total: Totals = getattr(run, name)
        table.add_row(name, f"{total.count:,}", size(total.bytes))
    out.print(table)
    out.print(f"run     {run.id}\nbucket  {run.bucket or 'not recorded'}\nas of   {run.as_of.isoformat()}")
    if run.plan_uri:
        out.print(f"plan    {run.plan_uri}\nsha256  {run.plan_sha256}", soft_wrap=True)
    if run.approved_by:
        out.print(f"approved by {run.approved_by}")
    if run.message:
        out.print(f"[yellow]{shown(run.message)}[/]", soft_wrap=True)
    for reason, count in run.kept.items():
        out.print(f"  kept {count:,}: {shown(reason)}", soft_wrap=True)
    for status, reason, count in details:
        out.print(f"  {status} {count:,}: {shown(reason)}", soft_wrap=True)


def show_runs(runs: Iterable[Run]) -> None:
    table = Table(
        Column("run", overflow="fold"), "job", "state", "planned", "done", "skipped", "failed", "bytes done"
    )
    for run in runs:
        counts = (run.planned, run.done, run.skipped, run.failed)
        state = f"[{_COLOURS.get(run.state, 'cyan')}]{run.state}[/]"
        table.add_row(run.id, run.job, state, *(f"{c.count:,}" for c in counts), size(run.done.bytes))
    out.print(table)


def show_actions(actions: Iterable[Action[Any]], most: int = 20) -> None:
    """Print the first ``most`` actions of a plan with their reasons."""
    table = Table("action", Column("key", overflow="fold"), "size", "reason")
    left = 0
    for number, action in enumerate(actions):
        if number < most:
            table.add_row(action.verb, shown(action.key), size(action.size), shown(action.reason))
        else:
            left += 1
    if table.row_count:
        out.print(table)
    if left:
        out.print(f"... and {left:,} more; `storage runs RUN --json` lists all.")


def show_decisions(decisions: Iterable[tuple[str, str, str, str]]) -> None:
    table = Table("job", "action", Column("key", overflow="fold"), "reason")
    for job, verb, key, reason in decisions:
        table.add_row(job, f"[green]{verb}[/]" if verb == "keep" else verb, shown(key), shown(reason))
    if table.row_count:
        out.print(table)
    else:
        out.print("No maintenance job has anything to do with it.")


def show_facts(title: str, facts: Iterable[tuple[str, str]]) -> None:
    table = Table(title=title, title_justify="left", show_header=False)
    for name, value in facts:
        table.add_row(name, value)
    out.print(table)


def capability_facts(found: Capabilities) -> Iterator[tuple[str, str]]:
    words = {True: "[green]yes[/]", False: "[yellow]no[/]", None: "not known"}
    for name, value in asdict(found).items():
        if isinstance(value, bool) or value is None:
            text = words[value]
        elif isinstance(value, tuple):
            text = ", ".join(repr(v) if len(v) < 40 else f"{len(v)} characters" for v in value) or "none"
        else:
            text = f"{value:.1f}" if isinstance(value, float) else str(value)
        yield name.replace("_", " "), text


@contextmanager
def progress(quiet: bool) -> Iterator[Report | None]:
    """Show the progress of a long run on stderr; show nothing when stderr is not a terminal."""
    if quiet or not err.is_terminal:
        yield None
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=err, transient=True) as bar:
        task = bar.add_task("starting")

        def report(stage: str, count: int) -> None:
            if count % 100 == 0:
                bar.update(task, description=f"{stage} {count:,}")

        yield report
