"""A seeded sample of all crash points and faults; ``make faults`` runs every one.

``FAULT_SEED`` repeats a sample, ``FAULT_SECONDS`` bounds it.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from pathlib import Path

import pytest

from devstack import minio_build, objectstore, postgres
from devstack.errors import DevstackError
from tests.conftest import missing
from tests.faults import campaign
from tests.faults.place import Place, make_place
from tests.faults.scenarios import ALL

pytestmark = [pytest.mark.server, pytest.mark.faults]
SEED = int(os.environ.get("FAULT_SEED") or secrets.randbelow(1 << 31))
SECONDS = float(os.environ.get("FAULT_SECONDS") or 100)


@pytest.fixture
def places(
    store_server: Callable[[str], objectstore.ObjectStore], postgres_server: postgres.Postgres, tmp_path: Path
) -> list[Place]:
    store = best_store(store_server)
    return [make_place(store, postgres_server, tmp_path, number) for number in range(2)]


def best_store(start: Callable[[str], objectstore.ObjectStore]) -> objectstore.ObjectStore:
    """The real MinIO; where it cannot be had ministack, and the summary says why."""
    try:
        minio_build.build()
        return start("minio")
    except DevstackError as error:
        missing["minio"] = f"no minio, faults ran on ministack: {error}"
        return start("ministack")


def test_sample_of_crash_points_and_faults(places: list[Place]) -> None:
    recorded = campaign.record(places[0])
    todo = campaign.trials(recorded, SEED)
    results = list(campaign.carry_out(places, todo, SECONDS))
    lost = [f"{one.trial}: {'; '.join(one.violations)}" for one in results if one.violations]
    print(f"FAULT_SEED={SEED}: survived {len(results) - len(lost)}/{len(results)} of {len(todo)} trials")
    assert not lost, f"FAULT_SEED={SEED} repeats this: " + "\n".join(lost)
    assert {one.trial.scenario.name for one in results} == {scenario.name for scenario in ALL}
