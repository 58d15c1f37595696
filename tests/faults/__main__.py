"""Every crash point, fault and race on the real MinIO: ``python -m tests.faults``."""

from __future__ import annotations

import argparse
import os
import secrets
import sys
import time
from collections import Counter

from tests.faults import campaign
from tests.faults.campaign import Result
from tests.faults.place import places
from tests.faults.scenarios import ALL


def main() -> int:
    asked = _arguments()
    begun = time.monotonic()
    print(f"seed {asked.seed}, {asked.store}, {asked.workers} workers", flush=True)
    with places(asked.store, asked.workers) as here:
        bad = _crash_points(here, asked)
    print(f"{time.monotonic() - begun:.0f} s")
    return 1 if bad else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--store", choices=("minio", "ministack"), default="minio")
    parser.add_argument("--workers", type=int, default=min(4, os.cpu_count() or 1))
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1 << 31))
    parser.add_argument("--only", nargs="*", choices=[one.name for one in ALL], help="only these jobs")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin no trial after so long")
    return parser.parse_args()


def _crash_points(here: list[campaign.Place], asked: argparse.Namespace) -> int:
    chosen = [one for one in ALL if not asked.only or one.name in asked.only]
    recorded = campaign.record(here[0], chosen)
    for scenario, log in recorded:
        kinds = Counter(effect.kind for effect in log)
        print(
            f"{scenario.name}: {len(log)} effects ({', '.join(f'{n} {kind}' for kind, n in kinds.items())})"
        )
    todo = campaign.spread(campaign.trials(recorded, asked.seed), asked.seed)
    print(f"{len(todo)} trials", flush=True)
    results: list[Result] = []
    for result in campaign.carry_out(here, todo, asked.seconds):
        results.append(result)
        if result.violations:
            print(f"VIOLATION {result.trial}\n    " + "\n    ".join(result.violations), flush=True)
        if len(results) % 100 == 0:
            print(f"{len(results)}/{len(todo)}", flush=True)
    lost = [result for result in results if result.violations]
    print(f"survived {len(results) - len(lost)}/{len(results)}", flush=True)
    return len(lost) + (len(results) < len(todo) and asked.seconds == float("inf"))


if __name__ == "__main__":
    sys.exit(main())
