"""A seeded sample of the crash points of backups; ``make faults`` runs every one.

``FAULT_SEED`` repeats a sample, ``FAULT_SECONDS`` bounds it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from devstack import objectstore, postgres
from tests.faults import backups
from tests.faults.place import make_yard
from tests.faults.test_crash_points import SEED, best_store
from tests.faults.yard import Yard

pytestmark = [pytest.mark.server, pytest.mark.faults]
SECONDS = 45.0


@pytest.fixture
def yards(
    store_server: Callable[[str], objectstore.ObjectStore], postgres_server: postgres.Postgres, tmp_path: Path
) -> list[Yard]:
    store = best_store(store_server)
    return [make_yard(store, postgres_server, tmp_path, number) for number in range(2)]


def test_sample_of_crash_points_of_backups(yards: list[Yard]) -> None:
    todo = backups.trials(yards[0], backups.ACTS, SEED)
    results = list(backups.carry_out(yards, todo, SECONDS))
    lost = [f"{trial}: {'; '.join(wrong)}" for trial, wrong in results if wrong]
    print(f"FAULT_SEED={SEED}: survived {len(results) - len(lost)}/{len(results)} of {len(todo)} trials")
    assert not lost, f"FAULT_SEED={SEED} repeats this: " + "\n".join(lost)
    assert {trial.act.name for trial, _ in results} == {act.name for act in backups.ACTS}
