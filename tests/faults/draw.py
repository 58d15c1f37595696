"""Random sampling of a campaign in CI: seeded by the day's date, or by ``FAULT_SEED`` to repeat a sample."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TypeVar

VARIABLE, WHOLE = "FAULT_SEED", "FAULT_WHOLE"
T = TypeVar("T")


def fix_seed() -> None:
    """Put the seed into the environment: all processes of a run draw the same sample, also past midnight."""
    if not os.environ.get(VARIABLE):
        os.environ[VARIABLE] = f"{datetime.now(UTC):%Y%m%d}"


def seed() -> int:
    fix_seed()
    return int(os.environ[VARIABLE])


def share(every: Sequence[T], one_of: int) -> list[T]:
    """Sample one in ``one_of`` items, at least one, in their original order; all with ``FAULT_WHOLE=1``."""
    if os.environ.get(WHOLE) == "1":
        return list(every)
    chance = random.Random(seed())
    chosen = sorted(chance.sample(range(len(every)), k=max(1, -(-len(every) // one_of))))
    return [every[number] for number in chosen]


def covering(every: Sequence[T], most: int, *kinds: Callable[[T], object]) -> list[T]:
    """Return the first item of each kind in the order of ``every``, then the next ones up to ``most``."""
    first = {id(one): one for kind in kinds for one in {kind(one): one for one in reversed(every)}.values()}
    rest = [one for one in every if id(one) not in first]
    return [*first.values(), *rest][: max(most, len(first))]
