"""All crash points, faults, races and seeded bugs, run on the real MinIO: ``python -m tests.faults``."""

from __future__ import annotations

import argparse
import os
import secrets
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from devstack.objectstore import ObjectStore
from storage.core.settings import Settings
from tests.faults import disk, seeded
from tests.faults.backup import acts, ddl_sweep
from tests.faults.backup.environment import open_backup_environment
from tests.faults.cleanup import campaign, window
from tests.faults.cleanup.races import RACES
from tests.faults.cleanup.scenarios import ALL
from tests.faults.cold import campaign as cold
from tests.faults.cold import environment
from tests.faults.cold import races as cold_races
from tests.faults.race import Race, Report, play
from tests.faults.servers import Place, environments, make_place, servers
from tests.faults.transports import warm
from tests.faults.workers import Result, Trial

Score = tuple[int, int]  # survived, total
INSTANTS = 50  # of backups beside DDL
MANY = 100  # rounds of a race in which its rival wins and loses at least once


def main() -> int:
    asked = _arguments()
    begun = time.monotonic()
    print(f"seed {asked.seed}, {asked.store}, {asked.workers} workers", flush=True)
    warm()
    scores = [] if asked.bugs else _campaigns(asked)
    if asked.bugs or _whole(asked):
        scores.append(_bugs())
    survived, total = (sum(column) for column in zip(*scores, strict=True))
    print(f"{time.monotonic() - begun:.0f} s, seed {asked.seed}\nsurvived {survived}/{total}")
    return 0 if survived == total else 1


def _whole(asked: argparse.Namespace) -> bool:
    return not (asked.only or asked.backups or asked.cold)


def _campaigns(asked: argparse.Namespace) -> list[Score]:
    scores: list[Score] = []
    if not (asked.backups or asked.cold):
        with environments(asked.store, asked.workers + 1) as here:
            scores.append(_crash_points(here[:-1], asked))
            if not asked.only:
                scores += _races(here[0], here[-1], asked)
    if not asked.only and (asked.backups or not asked.cold):
        with servers(asked.store) as (store, database, home):
            scores.append(_backups(store, home, asked))
            scores.append(_ddl(replace(make_place(store, database, home)[0], proof_server="same"), asked))
    if not asked.only and (asked.cold or not asked.backups):
        scores += _cold(asked)
    return scores


def _bugs() -> Score:
    """Run all seeded bugs; score those that their named test detects."""
    with seeded.copied() as copy:
        if wrong := copy.wrong_without_bugs(seeded.BUGS):
            print(f"VIOLATION {wrong}", flush=True)
            return 0, len(seeded.BUGS)
        noticed = 0
        for bug in seeded.BUGS:
            why = copy.unnoticed(bug)
            noticed += not why
            if why:
                print(f"VIOLATION {bug.name}: {why}", flush=True)
    print(f"seeded bugs: noticed {noticed}/{len(seeded.BUGS)}", flush=True)
    return noticed, len(seeded.BUGS)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--store", choices=("minio", "ministack"), default="minio")
    parser.add_argument("--workers", type=int, default=min(4, os.cpu_count() or 1))
    drawn = int(os.environ.get("FAULT_SEED") or secrets.randbelow(1 << 31))
    parser.add_argument("--seed", type=int, default=drawn)
    parser.add_argument("--rounds", type=int, default=int(os.environ.get("FAULT_ROUNDS") or 200))
    parser.add_argument(
        "--only", nargs="*", choices=[one.name for one in ALL], help="only these jobs, no races"
    )
    parser.add_argument("--backups", action="store_true", help="only the crash points of backups")
    parser.add_argument("--cold", action="store_true", help="only cold data: its crash points and races")
    parser.add_argument("--bugs", action="store_true", help="only the seeded bugs, all of them")
    parser.add_argument("--most", type=int, help="only so many trials of each kind, a seeded sample")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin no trial after so long")
    return parser.parse_args()


def _crash_points(here: list[Place], asked: argparse.Namespace) -> Score:
    chosen = [one for one in ALL if not asked.only or one.name in asked.only]
    recorded = campaign.record(here[0], chosen)
    for scenario, log in recorded:
        kinds = Counter(effect.kind for effect in log)
        print(
            f"{scenario.name}: {len(log)} effects ({', '.join(f'{n} {kind}' for kind, n in kinds.items())})"
        )
    todo = campaign.trials(recorded, asked.seed)[: asked.most]
    return _survived("crash points and faults", campaign.run_trials(here, todo, asked.seconds), todo, asked)


def _backups(store: ObjectStore, home: Path, asked: argparse.Namespace) -> Score:
    if why := disk.refused():
        print(f"no disk is filled, for there is no small one: {why}")
    yards = [partial(open_backup_environment, store, home)] * asked.workers
    todo = acts.trials(yards[0], acts.ACTS, asked.seed)[: asked.most]
    for name, count in Counter(trial.of for trial in todo).items():
        print(f"{name}: {count} trials")
    return _survived("crash points of backups", acts.run_trials(yards, todo, asked.seconds), todo, asked)


def _ddl(settings: Settings, asked: argparse.Namespace) -> Score:
    """Take backups beside DDL: at every effect up to pg_dump's first read, and at random instants."""
    report, todo = ddl_sweep.Report(), ddl_sweep.moments(settings, INSTANTS, asked.seed)[: asked.most]
    for moment in todo:
        before = len(report.violations)
        ddl_sweep.run(settings, moment, report)
        for violation in report.violations[before:]:
            print(f"VIOLATION {violation}", flush=True)
    print(f"backups beside DDL: {len(todo)} moments, {report}", flush=True)
    return len(todo) - report.lost, len(todo)


def _cold(asked: argparse.Namespace) -> Iterator[Score]:
    """Run on MinIO with a second MinIO as its remote tier, and on ministack, which has storage classes."""
    for kind in dict.fromkeys((asked.store, "ministack")):
        with environment.cellars(kind, asked.workers) as here:
            todo = cold.trials(here[0], asked.seed)
            for name, count in Counter(trial.of for trial in todo).items():
                print(f"{name}: {count} trials")
            results = cold.run_trials(here, todo[: asked.most], asked.seconds)
            yield _survived(f"crash points of cold data on {kind}", results, todo[: asked.most], asked)
            for name, race in cold_races.RACES[kind].items():
                yield _race(here[0], name, race, asked.rounds, asked.seed, fair=True)


def _survived(
    what: str, results: Iterable[Result[Any]], todo: Sequence[Trial], asked: argparse.Namespace
) -> Score:
    """Print each violation as it is found; return how many trials survived, and the total."""
    print(f"{len(todo)} trials", flush=True)
    done = lost = 0
    for result in results:
        done, lost = done + 1, lost + bool(result.violations)
        if result.violations:
            print(f"VIOLATION {result}", flush=True)
        if done % 100 == 0:
            print(f"{done}/{len(todo)}", flush=True)
    begun = done if asked.seconds < float("inf") else len(todo)  # a dead worker leaves trials undone
    print(f"{what}: survived {done - lost}/{begun}", flush=True)
    return done - lost, begun


def _races(place: Place, fresh: Place, asked: argparse.Namespace) -> list[Score]:
    """Run the races, then measure the open window for a full batch and check what closes it."""
    found = [_race(place, name, race, asked.rounds, asked.seed, fair=True) for name, race in RACES.items()]
    found.append(_race(place, "window of a thousand objects", window.of_a_full_batch, 3, asked.seed))
    found.append(_race(place, "written inside the window", window.overwritten_inside, 5, asked.seed))
    if asked.store == "minio":
        found.append(_race(fresh, "the same, with versions", window.with_versions, 5, asked.seed))
    with environments("ministack", 1) as other:
        found.append(_race(other[0], "the same, with a condition", window.with_conditions, 5, asked.seed))
    return found


def _race(place: Place, name: str, race: Race, rounds: int, seed: int, *, fair: bool = False) -> Score:
    """Run a race. Over many rounds the rival of a ``fair`` one wins, and where it may lose, it also loses."""
    report: Report = play(place, name, race, rounds, seed)
    if fair and rounds >= MANY and report.one_sided:
        report.violations.append(report.one_sided)
    print(report, flush=True)
    for violation in report.violations:
        print(f"    VIOLATION {violation}", flush=True)
    return max(0, rounds - len(report.violations)), rounds


if __name__ == "__main__":
    sys.exit(main())
