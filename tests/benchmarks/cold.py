"""Compressing cold objects: the product against the documented method, and against s5cmd with zstd; goals.

Before each start the objects are restored by copies within the store, and their rows in the database are
deleted. The product's contestant is the nightly job, with its plan, record and proof.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from shlex import quote
from statistics import median
from typing import get_args

from rich.console import Console
from rich.table import Table

from storage.cold.compressibility import WHOLE
from tests.benchmarks import cold_environment, race
from tests.benchmarks.backups import met
from tests.benchmarks.cold_contestants import PREFIX, READ
from tests.benchmarks.cold_environment import PACKED
from tests.benchmarks.cold_mix import Group, Thing, text_only
from tests.benchmarks.environment import Environment
from tests.benchmarks.race import Contestant, Cost, Missing, python

NAME = "cold"
OURS = "storage: job cold_storage"
DOCUMENTS = "every object: get, gzip -9, put"
S5CMD = "s5cmd cp, zstd -3, s5cmd cp"
CPU_GOAL, SIZE_GOAL, WALL_GOAL = 0.35, 1.0, 1.0  # of DOCUMENTS, and of S5CMD
MB = 1_000_000


@dataclass(frozen=True)
class Left:
    """Bytes stored afterwards, and bytes received over HTTP; ``beyond``: bytes of media beyond the samples.

    None where they were not counted.
    """

    text: int
    whole: int
    received: int | None
    beyond: int | None


@dataclass(frozen=True)
class Rounds:
    """Costs and results of every contestant in every round."""

    costs: Mapping[str, list[Cost]]
    left: Mapping[str, list[Left]]


def hold(on: Environment, rounds: int, seconds: float, out: Console) -> None:
    """Make the objects, measure, and print; no round of a comparison begins after ``seconds``."""
    made = cold_environment.fill(on)
    groups = {name: [one for one in made if one.group == name] for name in get_args(Group)}
    things = groups["mix"]
    texts, size = text_only(things), sum(one.size for one in things)
    share = 1 - sum(one.size for one in texts) / size
    title = f"Compress {len(things):,} objects, {size / MB:,.0f} MB, of which {share:.0%} media"
    mixed = measured(on, things, (ours, documents), rounds, seconds)
    out.print(table(title, mixed))
    for line in mixed_goals(mixed):
        out.print(line, soft_wrap=True)
    for some in (texts, groups["words"], groups["days"]):
        text, size = measured(on, some, (ours, s5cmd), rounds, seconds), sum(one.size for one in some)
        each = f"{size / len(some) / 1000:,.0f} KB each"
        out.print(table(f"Compress {len(some):,} texts, {size / MB:,.0f} MB, {each}", text))
        for line in text_goals(text):
            out.print(line, soft_wrap=True)


Make = Callable[[Sequence[Thing], Callable[[Environment], None]], tuple[Contestant, int]]


def ours(things: Sequence[Thing], before: Callable[[Environment], None]) -> tuple[Contestant, int]:
    """Return the engine as contestant; it reports the objects it compressed."""
    return _python(OURS, "engine", things, before), len(text_only(things))


def documents(things: Sequence[Thing], before: Callable[[Environment], None]) -> tuple[Contestant, int]:
    """Return the documented method as contestant."""
    return _python(DOCUMENTS, "documents", things, before), len(things)


def _python(
    name: str, function: str, things: Sequence[Thing], before: Callable[[Environment], None]
) -> Contestant:
    def whole(on: Environment) -> None:
        cold_environment.readable(on, things, PREFIX)

    return python(name, function, before, whole, "cold_contestants")


def s5cmd(things: Sequence[Thing], before: Callable[[Environment], None]) -> tuple[Contestant, int]:
    """Return s5cmd with zstd as contestant: it uploads files under the names zstd gives. Raises Missing."""
    program, packer = quote(race.found("s5cmd")), quote(race.found("zstd"))

    def command(on: Environment) -> tuple[str, str]:
        folder, bucket = f"{on.temporary}/files", f"s3://{on.settings.bucket}"
        down = f"{program} cp '{bucket}/{PREFIX}*' '{folder}/' > /dev/null"
        up = f"{program} cp '{folder}/' '{bucket}/{PACKED}' > /dev/null"
        return "-c", f"{down} && {packer} -3 -q -r --rm '{folder}' && {up}"

    def whole(on: Environment) -> None:
        cold_environment.readable(on, things, PACKED)

    return Contestant(S5CMD, "sh", command, before, whole), len(things)


def measured(
    on: Environment, things: Sequence[Thing], makers: Sequence[Make], rounds: int, seconds: float
) -> Rounds:
    """Run every contestant in every round, another one first each time; skip those with a missing program."""
    costs: dict[str, list[Cost]] = {}
    left: dict[str, list[Left]] = {}
    began = time.monotonic()
    for number in range(rounds):
        if number and time.monotonic() - began > seconds:
            break
        turn = number % len(makers)
        for make in (*makers[turn:], *makers[:turn]):
            try:
                contestant, expected = make(things, lambda on: cold_environment.put_back(on, things))
            except Missing:
                continue
            costs.setdefault(contestant.name, []).append(race.run(contestant, on, expected))
            left.setdefault(contestant.name, []).append(_left(on, things))
    return Rounds(costs, left)


def _left(on: Environment, things: Sequence[Thing]) -> Left:
    stored, texts = cold_environment.stored(on), {one.key for one in things if one.text}
    text = sum(size for key, size in stored.items() if key in texts)
    answer = on.temporary / READ
    if not answer.exists():
        return Left(text, sum(stored.values()), None, None)
    read = json.loads(answer.read_text())
    bodies = read["bodies"]
    beyond = sum(max(0, bodies.get(one.key, 0) - WHOLE) for one in things if not one.text)
    return Left(text, sum(stored.values()), read["received"], beyond)


def table(title: str, held: Rounds) -> Table:
    """Return a table of the medians."""
    shown = Table(title=title, title_justify="left")
    shown.add_column("")
    for name in ("rounds", "wall s", "work wall", "work CPU", "servers' CPU s", "requests"):
        shown.add_column(name, justify="right")
    for name in ("MB received", "MB of text", "MB left", "MiB grown"):
        shown.add_column(name, justify="right")
    for name, costs in held.costs.items():
        cost, left = race.medians(costs), held.left[name][-1]
        requests = "-" if cost.requests is None else f"{cost.requests:,}"
        received = "-" if left.received is None else f"{left.received / MB:.1f}"
        grown = "-" if cost.growth_mib is None else f"{cost.growth_mib:.0f}"
        seconds = (f"{one:.2f}" for one in (cost.wall, cost.work_wall, cost.work_cpu, cost.servers_cpu))
        sizes = f"{left.text / MB:.2f}", f"{left.whole / MB:.2f}"
        shown.add_row(name, str(len(costs)), *seconds, requests, received, *sizes, grown)
    return shown


def mixed_goals(held: Rounds) -> list[str]:
    """Return the goals' lines: CPU and bytes compared with the documented method, and bytes read of media."""
    own, other = held.left[OURS], held.left[DOCUMENTS]
    text = max(one.text for one in own) / min(one.text for one in other)
    whole = max(one.whole for one in own) / min(one.whole for one in other)
    beyond = max(one.beyond or 0 for one in own)
    return [
        ratio("CPU", held, DOCUMENTS, lambda cost: cost.work_cpu, CPU_GOAL),
        f"Bytes of the text to {DOCUMENTS}: {text:.4f}. Goal: {SIZE_GOAL}. {met(text <= SIZE_GOAL)}",
        f"Bytes of the whole to {DOCUMENTS}: {whole:.4f}. Goal: {SIZE_GOAL}. {met(whole <= SIZE_GOAL)}",
        f"Bytes of media read beyond {WHOLE >> 10} KiB of samples: {beyond:,}. Goal: 0. {met(not beyond)}",
    ]


def text_goals(held: Rounds) -> list[str]:
    """Return the goal's line: wall time compared with s5cmd and zstd, where both are installed."""
    if S5CMD not in held.costs:
        return [f"[yellow]NOT COMPARED: {S5CMD}, for one of them is not installed[/]"]
    return [ratio("Wall", held, S5CMD, lambda cost: cost.work_wall, WALL_GOAL)]


def ratio(what: str, held: Rounds, peer: str, figure: Callable[[Cost], float], goal: float) -> str:
    """Return one goal's line: the ratio of the medians, and the least and greatest ratio of the rounds."""
    one, other = (median(map(figure, held.costs[name])) for name in (OURS, peer))
    each = [figure(a) / figure(b) for a, b in zip(held.costs[OURS], held.costs[peer], strict=True)]
    found = one / other
    return (
        f"{what} of {OURS} to {peer}: {found:.2f} ({min(each):.2f} to {max(each):.2f}). "
        f"Goal: {goal}. {met(found <= goal)}"
    )
