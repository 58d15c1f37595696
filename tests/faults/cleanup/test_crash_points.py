"""A fixed-size sample of all crash points and faults; ``make faults`` runs them all.

The sample is drawn by the day's date, or by ``FAULT_SEED``.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from devstack import minio_build, objectstore, postgres
from devstack.errors import DevstackError
from tests.conftest import missing
from tests.faults import draw
from tests.faults.cleanup import campaign
from tests.faults.cleanup.scenarios import ALL
from tests.faults.servers import Place, make_place

pytestmark = [pytest.mark.server, pytest.mark.faults]
SEED = draw.seed()
TRIALS = 60


@pytest.fixture
def environments(
    store_server: Callable[[str], objectstore.ObjectStore], postgres_server: postgres.Postgres, tmp_path: Path
) -> list[Place]:
    store = best_store(store_server)
    return [make_place(store, postgres_server, tmp_path, number) for number in range(2)]


def best_store(start: Callable[[str], objectstore.ObjectStore]) -> objectstore.ObjectStore:
    """Start the real MinIO, or ministack where MinIO is unavailable; then the summary says why."""
    try:
        minio_build.build()
        return start("minio")
    except DevstackError as error:
        missing["minio"] = f"no minio, faults ran on ministack: {error}"
        return start("ministack")


def test_sample_of_crash_points_and_faults(environments: list[Place]) -> None:
    recorded = campaign.record(environments[0])
    every = campaign.trials(recorded, SEED)
    todo = draw.covering(every, TRIALS, lambda trial: trial.of, lambda trial: trial.fault.mode)
    results = list(campaign.run_trials(environments, todo))
    lost = [f"{one.trial}: {'; '.join(one.violations)}" for one in results if one.violations]
    print(f"FAULT_SEED={SEED}: survived {len(results) - len(lost)}/{len(todo)} of {len(every)} trials")
    assert not lost, f"FAULT_SEED={SEED} repeats this: " + "\n".join(lost)
    assert len(results) == len(todo)
    assert {one.trial.of for one in results} == {scenario.name for scenario in ALL}
    assert {one.trial.fault.mode for one in results} == {trial.fault.mode for trial in every}
