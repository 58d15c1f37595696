"""Backups of a generated database: the documented method, the product and pg_dump alone, against the goals.

The complete backup is also taken of a quarter of the rows, as its memory must not grow with their number.
The requests of a backup of the bucket's metadata are counted on a bucket in memory.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from math import ceil

import zstandard
from minio.deleteobjects import DeleteObject
from rich.console import Console
from rich.table import Table

from storage.backup.context import BackupContext
from storage.backup.metadata import backup_minio_metadata
from storage.stores.s3.writer import PARALLEL, PART
from storage.testing import MemoryObjects, memory_stores
from tests.benchmarks import race
from tests.benchmarks.backup_rows import KINDS, MB, grow, size
from tests.benchmarks.environment import Environment
from tests.benchmarks.race import Contestant, Cost, Unfit, python

NAME = "backups"
DOCUMENTS = "pg_dump | gzip > file, SHA-256, fput_object"
WHOLE = "storage: backup_database"
PIPELINE = "storage: dump, zstd, SHA-256, upload"
DUMP = "pg_dump -Fc -Z0 > /dev/null"
WHOLE_GOAL, PIPELINE_GOAL = 0.35, 1.35  # of the wall time of DOCUMENTS, and of DUMP
GROWTH_GOAL = 2 * PARALLEL * PART / (1 << 20) + 30  # MiB
OBJECTS, JOB_OBJECTS = 100_000, 40  # in the bucket, and of each job, including its one document
CHUNK = 1 << 20


@dataclass(frozen=True)
class Dump:
    """Dump that a contestant left in the bucket: stored bytes, uncompressed bytes, and lines, one a row."""

    stored: int = 0
    unpacked: int = 0
    lines: int = 0


def contestants() -> tuple[Contestant, ...]:
    """Return the contestants: none encrypts, and each starts with an empty backup bucket."""

    def one(name: str, function: str, after: Callable[[Environment], None]) -> Contestant:
        return python(name, function, emptied, after, "backup_contestants")

    return (
        one(DOCUMENTS, "documents", remove_files),
        one(WHOLE, "whole", no_files),
        one(PIPELINE, "pipeline", no_files),
        Contestant(DUMP, "sh", lambda on: ("-c", f"{on.pg_dump} -Fc -Z0 > /dev/null"), emptied, no_files),
    )


def emptied(on: Environment) -> None:
    """Empty the backup bucket. Raises Unfit."""
    bucket = on.settings.backup_bucket
    to_delete = (DeleteObject(key) for key in backed_up(on))
    if failures := list(on.minio.remove_objects(bucket, to_delete)):
        raise Unfit(f"{bucket} cannot be emptied: {failures[0]}")


def backed_up(on: Environment) -> list[str]:
    """Return the keys in the backup bucket."""
    found = on.minio.list_objects(on.settings.backup_bucket, recursive=True)
    return [str(one.object_name) for one in found]


def no_files(on: Environment) -> None:
    """Check that the contestant left nothing in its TMPDIR. Raises Unfit."""
    if left := list(on.temporary.iterdir()):
        raise Unfit(f"{left[0].name} is left in TMPDIR")


def remove_files(on: Environment) -> None:
    """Remove the file that the documented method leaves in TMPDIR."""
    for path in on.temporary.iterdir():
        path.unlink()


def dump(on: Environment) -> Dump:
    """Measure the dump in the bucket by decompressing it; return zeros when there is none."""
    found = Dump()
    for key in (key for key in backed_up(on) if "/dump." in key):
        packed = key.endswith(".gz")
        unpack = (
            zlib.decompressobj(31) if packed else zstandard.ZstdDecompressor().decompressobj()
        ).decompress
        answer = on.minio.get_object(on.settings.backup_bucket, key)
        with answer:
            for data in answer.stream(CHUNK):
                plain = unpack(data)
                found = Dump(
                    found.stored + len(data), found.unpacked + len(plain), found.lines + plain.count(b"\n")
                )
    return found


@dataclass(frozen=True)
class Rounds:
    """Costs of every contestant in every round, and the last dump of each."""

    costs: Mapping[str, list[Cost]]
    dumps: Mapping[str, Dump]

    def ratios(self, name: str, peer: str) -> list[float]:
        """Return the ratios of wall times, round by round."""
        pairs = zip(self.costs[name], self.costs[peer], strict=True)
        return [one.work_wall / other.work_wall for one, other in pairs]


def hold(on: Environment, megabytes: int, rows: str, rounds: int, seconds: float, out: Console) -> None:
    """Make the rows, measure, and print; no round begins after ``seconds``."""
    kind = KINDS[rows]
    jobs = megabytes * kind.jobs_a_mb
    few, all = kind.rows_a_job * (jobs // 4), kind.rows_a_job * jobs
    grow(on, kind, 1, jobs // 4)
    small = measured(on, 1, few, seconds, [one for one in contestants() if one.name == WHOLE])
    quarter = size(on)
    began = time.monotonic()
    grow(on, kind, jobs // 4 + 1, jobs)
    out.print(f"Rows made in {time.monotonic() - began:.0f} s. The database has {size(on) / MB:,.0f} MB.")
    large = measured(on, rounds, all, seconds, contestants())
    done = len(large.costs[DUMP])
    out.print(table(f"Back up {large.dumps[DOCUMENTS].unpacked / MB:,.0f} MB ({rows}), {done} rounds", large))
    out.print(
        "CPU: with the programs a contestant starts; what the two servers use is beside it. Ratios: wall."
    )
    for line in (*goals(large), growth(quarter, small, size(on), large), requests(on)):
        out.print(line, soft_wrap=True)


def measured(
    on: Environment, rounds: int, rows: int, seconds: float, running: Sequence[Contestant]
) -> Rounds:
    """Run every contestant in every round, each time with another contestant first."""
    costs: dict[str, list[Cost]] = {one.name: [] for one in running}
    dumps: dict[str, Dump] = {}
    began = time.monotonic()
    for number in range(rounds):
        if number and time.monotonic() - began > seconds:
            break
        turn = number % len(running)
        for contestant in (*running[turn:], *running[:turn]):
            costs[contestant.name].append(race.run(contestant, on, 1))
            left = dumps[contestant.name] = dump(on)
            if contestant.name != DUMP and left.lines < rows:
                raise Unfit(f"{contestant.name} left {left.lines:,} lines, and there are {rows:,} rows")
    return Rounds(costs, dumps)


def table(title: str, held: Rounds) -> Table:
    """Return a table of the medians; for bytes written and memory growth the maximum."""
    shown = Table(title=title, title_justify="left")
    shown.add_column("")
    for name in ("wall s", "CPU s", "servers' CPU s", "MB stored", "MB of files", "MiB grown"):
        shown.add_column(name, justify="right")
    for name, costs in held.costs.items():
        cost = race.medians(costs)
        figures = f"{cost.work_wall:.2f}", f"{cost.work_cpu:.2f}", f"{cost.servers_cpu:.2f}"
        files = "-" if cost.written is None else f"{cost.written / MB:.1f}"
        grown = "-" if cost.growth_mib is None else f"{cost.growth_mib:.0f}"
        shown.add_row(name, *figures, f"{held.dumps[name].stored / MB:.1f}", files, grown)
    return shown


def goals(held: Rounds) -> list[str]:
    """Return the goals' lines: ratios of wall times, and the product's writes to files."""
    return [ratio(held, WHOLE, DOCUMENTS, WHOLE_GOAL), ratio(held, PIPELINE, DUMP, PIPELINE_GOAL), disk(held)]


def disk(held: Rounds) -> str:
    """Return the goal for temporary files; the documented method's file shows if the kernel counts writes."""
    written = max(cost.written or 0 for name in (WHOLE, PIPELINE) for cost in held.costs[name])
    control = max(cost.written or 0 for cost in held.costs[DOCUMENTS])
    if control < held.dumps[DOCUMENTS].stored:
        return "Bytes written to files were not counted: the temporary folder is on no disk."
    return f"Ours wrote {written:,} bytes to files; none could grow over 64 KiB. Goal: 0. {met(not written)}"


def ratio(held: Rounds, name: str, peer: str, goal: float) -> str:
    """Return one goal's line: the ratio of the medians, and the least and greatest ratio of the rounds."""
    one, other, each = race.medians(held.costs[name]), race.medians(held.costs[peer]), held.ratios(name, peer)
    wall, cpu = one.work_wall / other.work_wall, one.work_cpu / other.work_cpu
    every = (one.work_cpu + one.servers_cpu) / (other.work_cpu + other.servers_cpu)
    return (
        f"{name} to {peer}: {wall:.2f} ({min(each):.2f} to {max(each):.2f}), CPU {cpu:.2f}, "
        f"with the servers' {every:.2f}. Goal: {goal}. {met(wall <= goal)}"
    )


def growth(quarter: int, small: Rounds, all: int, large: Rounds) -> str:
    """Return the goal for memory: one bound for both sizes."""
    few, many = (race.medians(held.costs[WHOLE]).growth_mib or 0 for held in (small, large))
    return (
        f"{WHOLE} grows by {few:.0f} MiB for {quarter / MB:,.0f} MB, by {many:.0f} MiB for "
        f"{all / MB:,.0f} MB. Goal: {GROWTH_GOAL:.0f} for both. {met(max(few, many) <= GROWTH_GOAL)}"
    )


def requests(on: Environment) -> str:
    """Count the requests of backing up the metadata of many objects; return the goal's line."""
    now = datetime(2026, 3, 8, 2, tzinfo=UTC)
    objects = MemoryObjects(lambda: now)
    for number in range(OBJECTS):
        job, part = divmod(number, JOB_OBJECTS)
        name = f"segment_{part:03}.ts" if part else "metadata.json"
        objects.put(f"processed/job-{job:05}/{name}", b"{}")
    stores = memory_stores(None, lambda: now, objects=objects)
    objects.requests.clear()
    backup_minio_metadata(BackupContext(stores=stores, settings=on.settings))
    pages, documents = ceil(OBJECTS / 1000), ceil(OBJECTS / JOB_OBJECTS)
    asked = sum(objects.requests[name] for name in ("list", "get", "head"))
    others = ", ".join(sorted(objects.requests.keys() - {"list", "get", "head"}))
    return (
        f"Metadata of {OBJECTS:,} objects: {asked:,} requests for {pages:,} listing pages and {documents:,} "
        f"documents. Goal: {pages + documents:,}. {met(asked <= pages + documents)} "
        f"Not in it, as they do not grow: {others}; nor what is written to the backup bucket."
    )


def met(reached: bool) -> str:
    """Return the printed verdict on a goal."""
    return "Met." if reached else "[bold red]MISSED.[/]"
