"""Benchmarks of list, list + delete, temp sweep, backups and cold data against other programs, on one server.

``python -m tests.benchmarks`` prints a table of medians. Each contestant runs in a separate process, in turn,
and every round begins with another contestant. The CPU seconds are the contestant's own, not the server's; on
a busy machine they are the figure to trust.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from rich.console import Console
from rich.table import Table

from devstack import objectstore
from devstack.errors import DevstackError
from storage.core.errors import StorageError
from tests.benchmarks import backup_rows, backups, cold, race
from tests.benchmarks.environment import Environment, environment
from tests.benchmarks.race import Contestant, Cost, Missing, Unfit, python

out = Console(highlight=False, width=None if sys.stdout.isatty() else 140)
FILES_A_KEY = 2  # the sweep has twice as many files as the bucket has keys


@dataclass(frozen=True)
class Discipline:
    """One comparison. ``peers``: the contestants that the others are compared with."""

    title: str
    count: int
    contestants: Sequence[Contestant]
    peers: Sequence[str]


def nothing(_: Environment) -> None:
    """Do no preparation and no check."""


def emptied(on: Environment) -> None:
    """Check that the bucket's temp/ is empty. Raises Unfit."""
    if left := on.keys_left():
        raise Unfit(f"{left:,} objects are left")


def swept(on: Environment, *, aside: int = 0) -> None:
    """Check that the temp folder is empty, with ``aside`` files set aside. Raises Unfit."""
    if on.files_left() != (0, aside):
        raise Unfit(f"(files left, files set aside) are {on.files_left()}, not (0, {aside:,})")


def listing(keys: int) -> Discipline:
    """Compare listing a bucket."""
    s5cmd = Contestant(
        "s5cmd ls", "s5cmd", lambda on: ("ls", f"s3://{on.settings.bucket}/temp/*"), nothing, nothing, True
    )
    ours = python("storage: S3Bucket.scan", "list_scan", nothing, nothing)
    theirs = python("minio-py list_objects", "list_minio", nothing, nothing)
    return Discipline(f"List {keys:,} keys", keys, (ours, s5cmd, theirs), (s5cmd.name, theirs.name))


def deleting(keys: int) -> Discipline:
    """Compare listing and deleting."""

    def fill(on: Environment) -> None:
        on.fill_bucket(keys)

    s5cmd = Contestant(
        "s5cmd rm", "s5cmd", lambda on: ("rm", f"s3://{on.settings.bucket}/temp/*"), fill, emptied, True
    )
    theirs = python("minio-py remove_objects(list_objects)", "delete_minio", fill, emptied)
    contestants = (
        python("storage: scan + bulk delete", "delete_scan", fill, emptied),
        python("storage: engine, plan + apply + verify", "delete_engine", fill, emptied),
        s5cmd,
        theirs,
    )
    return Discipline(f"List and delete {keys:,} keys", keys, contestants, (s5cmd.name, theirs.name))


def sweeping(files: int) -> Discipline:
    """Compare emptying the temp folder."""

    def fill(on: Environment) -> None:
        on.clear_folder()
        on.fill_folder(files)

    rm = Contestant("rm -rf", "sh", lambda on: ("-c", f"rm -rf '{on.settings.temp_dir}'/*"), fill, swept)
    walk = python("os.walk + getsize + shutil.rmtree", "sweep_walk", fill, swept)
    # Both files and folders are actions of the engine; the check counts the files that were set aside.
    engine = python("storage: engine, set aside", "sweep_engine", fill, partial(swept, aside=files))
    reap = python("storage: engine, unlink an hour later", "sweep_reap", Environment.pass_the_notice, swept)
    return Discipline(f"Sweep {files:,} temp files", files, (engine, reap, rm, walk), (rm.name, walk.name))


def hold(discipline: Discipline, on: Environment, rounds: int, seconds: float) -> dict[str, Cost]:
    """Return the medians of each contestant that is installed; no round begins after ``seconds``."""
    costs: dict[str, list[Cost]] = {}
    began = time.monotonic()
    for number in range(rounds):
        if number and time.monotonic() - began > seconds:
            out.print(f"[yellow]{discipline.title}: {number} of {rounds} rounds, the time is up[/]")
            break
        for contestant in _order(discipline.contestants, number):
            try:
                cost = race.run(contestant, on, expected(discipline, contestant))
            except Missing as missing:
                if number == 0:
                    out.print(f"[yellow]NOT COMPARED: {contestant.name}, for {missing} is not installed[/]")
                continue
            costs.setdefault(contestant.name, []).append(cost)
    return {one.name: race.medians(costs[one.name]) for one in discipline.contestants if one.name in costs}


def expected(discipline: Discipline, contestant: Contestant) -> int:
    """Return the count a contestant must report: the engine's sweep also counts emptied folders."""
    folders = -(-discipline.count // 50)
    return discipline.count + (folders if "set aside" in contestant.name else 0)


def _order(contestants: Sequence[Contestant], number: int) -> list[Contestant]:
    """Rotate who is first in every round; files set aside are unlinked right afterwards."""
    pairs: list[list[Contestant]] = []
    for contestant in contestants:
        if "unlink" in contestant.name:
            pairs[-1].append(contestant)
        else:
            pairs.append([contestant])
    turned = pairs[number % len(pairs) :] + pairs[: number % len(pairs)]
    return [contestant for pair in turned for contestant in pair]


def table(discipline: Discipline, costs: Mapping[str, Cost]) -> Table:
    """Return the medians, with the ratio to each peer (CPU and wall of the work; below 1 is better)."""
    shown = Table(title=discipline.title, title_justify="left")
    shown.add_column("")
    for name in ("wall s", "CPU s", "work wall", "work CPU", "MiB", "requests"):
        shown.add_column(name, justify="right")
    peers = [name for name in discipline.peers if name in costs]
    for peer in peers:
        shown.add_column(f"CPU, wall to\n{peer.partition(' (')[0][:22]}", justify="right")
    for name, cost in costs.items():
        figures = (cost.wall, cost.cpu, cost.work_wall, cost.work_cpu)
        requests = "-" if cost.requests is None else f"{cost.requests:,}"
        ratios = [_ratio(cost, costs[peer]) if name != peer else "1" for peer in peers]
        shown.add_row(name, *(f"{one:.2f}" for one in figures), f"{cost.rss_mib:.0f}", requests, *ratios)
    return shown


def _ratio(cost: Cost, peer: Cost) -> str:
    return f"{cost.work_cpu / peer.work_cpu:.2f}x {cost.work_wall / peer.work_wall:.2f}x"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the requested benchmarks; return 1 when a contestant failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--keys", type=int, default=10_000, help="keys in the bucket; twice as many files")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--backup-mb", type=int, default=1000, help="rows in the database that is backed up")
    parser.add_argument(
        "--backup-rows",
        choices=tuple(backup_rows.KINDS),
        default=backup_rows.DOCUMENTS,
        help="as the pipeline's documents have them, or with a text of random words for each job",
    )
    parser.add_argument(
        "--seconds",
        type=float,
        default=270,
        help="no round begins after these; the backups and cold data have as many again",
    )
    parser.add_argument(
        "--only", choices=(*DISCIPLINES, backups.NAME, cold.NAME), help="one discipline instead of all"
    )
    parser.add_argument("--store", choices=("auto", "minio", "ministack"), default="auto")
    args = parser.parse_args(argv)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the servers are stopped
    kind = args.store
    if kind == "auto":
        kind = "minio" if objectstore.minio_program() else "ministack"
    try:
        with environment(kind) as on:
            _all(on, args)
    except (DevstackError, StorageError, Unfit) as error:
        out.print(f"[bold red]{type(error).__name__}: {error}[/]", soft_wrap=True)
        return 1
    return 0


DISCIPLINES: Mapping[str, Callable[[int], Discipline]] = {
    "list": listing,
    "delete": deleting,
    "sweep": lambda keys: sweeping(keys * FILES_A_KEY),
}


def _all(on: Environment, args: argparse.Namespace) -> None:
    load, store = os.getloadavg()[0], f"{on.store.kind} {on.store.version}"
    out.print(f"{store}, {args.rounds} rounds, {os.cpu_count()} processors, load {load:.1f} at the start")
    out.print("work: without the interpreter's start and imports. requests -: not counted.")
    chosen = [name for name in DISCIPLINES if args.only in (None, name)]
    if "list" in chosen:
        on.fill_bucket(args.keys)
    for name in chosen:
        discipline = DISCIPLINES[name](args.keys)
        costs = hold(discipline, on, args.rounds, args.seconds / len(chosen))
        out.print(table(discipline, costs))
    if args.only in (None, backups.NAME):
        backups.hold(on, args.backup_mb, args.backup_rows, args.rounds, args.seconds, out)
    if args.only in (None, cold.NAME):
        cold.hold(on, args.rounds, args.seconds, out)


if __name__ == "__main__":
    sys.exit(main())
