"""Harness for races: the product, delayed before its re-checks, against one or more rivals."""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

from storage.core.errors import StorageError
from storage.engine.job import MaintenanceJob
from storage.engine.sweep import plan
from storage.installation import Installation, open_installation
from storage.stores.postgres.connection import connect as connect_engine
from tests.faults.cleanup.environment import Environment, as_of, environment
from tests.faults.effects import Injector, Kind
from tests.faults.fork import HUNG, Say, forked
from tests.faults.servers import Place
from tests.faults.transports import http_client, watch_boto, watch_files, watch_sql
from tests.support.runs import apply

ROUND_SECONDS = 20.0
SPAN = 3.0  # seconds that a rival waits at most; less than an apply takes, and it would always act first
RECHECK = "start-after="  # the listing page of the re-check; the policy's own listing begins at the start


@dataclass
class Report:
    """Results of the rounds of one race.

    ``windows``: seconds from sending a re-check to the answer of the delete.
    """

    race: str
    rounds: int = 0
    won: int = 0  # rounds, or items, in which the rival was first
    contested: int = 0  # rounds, or items, in which either could be; 0 where the race decides it
    open: int = 0  # writes lost in the window itself, which an unversioned store leaves open
    violations: list[str] = field(default_factory=list)
    windows: list[float] = field(default_factory=list)

    def count(self, won: int, of: int = 1) -> None:
        """Count one round, of one or more items, in which the rival was first with ``won`` of them."""
        self.won, self.contested = self.won + won, self.contested + of

    @property
    def one_sided(self) -> str:
        """Return what the rounds leave unshown, if anything; a few rounds may well be one-sided."""
        if not self.won:
            return "the rival never won: nothing was at stake"
        return "the rival always won" if self.won == self.contested else ""

    @property
    def measured(self) -> str:
        if not self.windows:
            return ""
        ordered = sorted(1000 * window for window in self.windows)
        return f"window: median {ordered[len(ordered) // 2]:.1f} ms, longest {ordered[-1]:.1f} ms"

    def __str__(self) -> str:
        held = f"{self.rounds} rounds, the rival won {self.won}, {len(self.violations)} violations"
        extra = f", {self.open} lost inside the window" if self.open else ""
        return f"{self.race}: {held}{extra}" + (f"; {self.measured}" if self.windows else "")


@dataclass
class RaceHarness:
    """``environment`` is for setup and checks; ``stores`` are the product's, watched and delayed.

    ``delays``: the longest wait, in seconds, before an effect whose name contains the text.
    """

    environment: Environment
    stores: Installation
    chance: random.Random
    delays: dict[str, float] = field(default_factory=dict)
    instead: Callable[[Kind, str], None] = lambda kind, what: None
    marks: list[tuple[str, float, float]] = field(default_factory=list)
    span: float = 0.1
    rivals: set[int] = field(default_factory=set)

    def observe(self, kind: Kind, what: str, run: Callable[[], Any]) -> Any:
        if threading.get_ident() in self.rivals:
            return run()
        for text, longest in self.delays.items():
            if text in what:
                time.sleep(self.chance.uniform(0, longest))
        self.instead(kind, what)
        begun = time.monotonic()
        try:
            return run()
        finally:
            self.marks.append((what, begun, time.monotonic()))

    def decide(self, job: MaintenanceJob, run_id: str) -> str:
        return plan(job, self.environment.stores, as_of(), run_id=f"{job.name}-{run_id}").id

    def contest(self, run_id: str, rivals: Sequence[Callable[[], None]]) -> None:
        """Apply the run while each rival acts at a random instant within the duration of the last apply."""
        threads = [threading.Thread(target=self._rival, args=(rival,)) for rival in rivals]
        self.marks.clear()
        begun = time.monotonic()
        for thread in threads:
            thread.start()
        try:
            apply(run_id, self.stores)
        finally:
            self.span = min(SPAN, time.monotonic() - begun)
            for thread in threads:
                thread.join()

    def _rival(self, rival: Callable[[], None]) -> None:
        self.rivals.add(threading.get_ident())
        try:
            time.sleep(self.chance.uniform(0, self.span))
            rival()
        finally:
            self.rivals.discard(threading.get_ident())  # the identifier may be reused by another thread

    def window(self) -> tuple[float, float] | None:
        """Return when the re-check was sent and the delete answered; None when nothing was deleted."""
        looks = [begun for what, begun, _ in self.marks if RECHECK in what]
        deletes = [ended for what, _, ended in self.marks if what.startswith("POST BUCKET?delete")]
        return (looks[0], deletes[-1]) if looks and deletes else None


Race = Callable[[RaceHarness, Report, int], None]


def play(place: Place, name: str, race: Race, rounds: int, seed: int) -> Report:
    """Run the rounds of one race in a forked child, so that its patches do not outlive it."""

    def work(say: Say) -> None:
        report = Report(name)
        try:
            with _harness(place, seed) as harness:
                for number in range(rounds):
                    _round(harness, report, race, number)
        except Exception as error:  # noqa: BLE001 - reported to the parent, which fails on it
            report.violations.append(f"the race itself broke: {type(error).__name__}: {error}")
        say(json.dumps(asdict(report)).encode())

    said, _ = forked(work, ROUND_SECONDS + rounds * 2 * SPAN)
    if said.endswith(HUNG) or not said:
        return Report(name, violations=["the race hung or died"])
    values: Mapping[str, Any] = json.loads(said)
    return Report(**values)


def _round(harness: RaceHarness, report: Report, race: Race, number: int) -> None:
    before = len(report.violations)
    try:
        race(harness, report, number)
    except StorageError as error:
        report.violations.append(f"{type(error).__name__}: {error}")
    report.rounds += 1
    report.violations[before:] = [f"round {number}: {one}" for one in report.violations[before:]]


@contextmanager
def _harness(place: Place, seed: int) -> Iterator[RaceHarness]:
    settings, kind = place
    with environment(settings, kind) as here:
        injector = Injector(names=here.names)
        engine = connect_engine(settings.database_url)
        watch_sql(injector, engine)
        watch_files(injector)
        watch_boto(injector)
        with open_installation(settings, engine=engine, http=http_client(injector)) as stores:
            harness = RaceHarness(here, stores, random.Random(seed))
            injector.observer = harness.observe
            yield harness
        engine.dispose()
