"""Running and measuring one contestant, and the medians of many runs."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

from tests.benchmarks.environment import Environment

LAUNCH = Path(__file__).with_name("launch.py")
SECONDS = 300  # for one run


class Missing(Exception):
    """A program that is not installed."""


class Unfit(Exception):
    """A contestant that failed, or did not do the work."""


@dataclass(frozen=True)
class Cost:
    """Cost of one run, in seconds and MiB. ``work`` excludes the interpreter's start and imports.

    ``servers_cpu``: CPU used by PostgreSQL and the store meanwhile. ``written``: bytes, to files on disk.
    ``growth_mib``: of the process itself during the work.
    """

    count: int
    wall: float
    cpu: float
    work_wall: float
    work_cpu: float
    rss_mib: float
    requests: int | None
    servers_cpu: float = 0
    written: int | None = None
    growth_mib: float | None = None


@dataclass(frozen=True)
class Contestant:
    """A name, a command, its preparation and its final check. ``program`` is looked up on PATH."""

    name: str
    program: str
    arguments: Callable[[Environment], Sequence[str]]
    before: Callable[[Environment], None]
    after: Callable[[Environment], None]
    prints_lines: bool = False


def python(
    name: str,
    function: str,
    before: Callable[[Environment], None],
    after: Callable[[Environment], None],
    module: str = "contestants",
) -> Contestant:
    """Return a contestant of :mod:`tests.benchmarks.contestants`, or of a similar module."""
    return Contestant(name, "", lambda _: ("-m", f"tests.benchmarks.{module}", function), before, after)


def found(program: str) -> str:
    """Find a program: beside this Python, else on PATH. Raises Missing."""
    if not program:
        return sys.executable
    beside = Path(sys.executable).with_name(program)
    path = str(beside) if beside.exists() else shutil.which(program)
    if path is None:
        raise Missing(program)
    return path


def run(contestant: Contestant, on: Environment, expected: int) -> Cost:
    """Prepare the environment, run the contestant, check that it did the work. Raises Missing or Unfit."""
    command = [found(contestant.program), *contestant.arguments(on)]
    contestant.before(on)
    output, servers = on.home / "output", on.servers_cpu()
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(LAUNCH), str(SECONDS), str(output), *command],
        env=on.environment(), capture_output=True, text=True, check=True, timeout=SECONDS + 30,
    )  # fmt: skip
    servers = on.servers_cpu() - servers
    answer, lines = json.loads(done.stdout), output.read_text(errors="replace").splitlines()
    if answer["code"] != 0:
        raise Unfit(f"{contestant.name} ended with {answer['code']}: {' / '.join(lines[-3:])}")
    cost = _cost(contestant, answer, lines, expected)
    if cost.count != expected:
        raise Unfit(f"{contestant.name} worked on {cost.count:,} things, not on {expected:,}")
    contestant.after(on)
    return replace(cost, servers_cpu=servers)


def _cost(contestant: Contestant, answer: dict[str, float], lines: Sequence[str], expected: int) -> Cost:
    wall, cpu, rss = answer["wall"], answer["cpu"], answer["rss_mib"]
    if contestant.program:
        count = len(lines) if contestant.prints_lines else expected
        return Cost(count, wall, cpu, wall, cpu, rss, None)
    own = json.loads(lines[-1])
    return Cost(
        count=own["count"],
        wall=wall,
        cpu=cpu,
        work_wall=own["work_wall"],
        work_cpu=own["work_cpu"],
        rss_mib=rss,
        requests=own["requests"] or None,
        written=own["written"],
        growth_mib=own["growth_mib"],
    )


def medians(costs: Sequence[Cost]) -> Cost:
    """Return the median of each figure, but the maximum of bytes written and memory growth."""
    requests = [cost.requests for cost in costs if cost.requests is not None]
    return Cost(
        count=costs[0].count,
        wall=median(cost.wall for cost in costs),
        cpu=median(cost.cpu for cost in costs),
        work_wall=median(cost.work_wall for cost in costs),
        work_cpu=median(cost.work_cpu for cost in costs),
        rss_mib=median(cost.rss_mib for cost in costs),
        requests=round(median(requests)) if requests else None,
        servers_cpu=median(cost.servers_cpu for cost in costs),
        written=max((cost.written for cost in costs if cost.written is not None), default=None),
        growth_mib=max((cost.growth_mib for cost in costs if cost.growth_mib is not None), default=None),
    )
