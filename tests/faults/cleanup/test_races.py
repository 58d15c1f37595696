"""A few rounds of each race, with injected delays; ``make faults`` runs 200 of each.

Their delays are drawn by the day's date, or by ``FAULT_SEED``; ``FAULT_ROUNDS`` sets the rounds.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from devstack import objectstore, postgres
from tests.conftest import needed
from tests.faults.cleanup import window
from tests.faults.cleanup.races import RACES
from tests.faults.cleanup.test_crash_points import SEED, best_store
from tests.faults.race import play
from tests.faults.servers import Place, make_place
from tests.faults.transports import warm

pytestmark = [pytest.mark.server, pytest.mark.faults]
ROUNDS = int(os.environ.get("FAULT_ROUNDS") or 8)
Start = Callable[[str], objectstore.ObjectStore]


@pytest.fixture
def place(store_server: Start, postgres_server: postgres.Postgres, tmp_path: Path) -> Place:
    warm()
    return make_place(best_store(store_server), postgres_server, tmp_path, 0)


@pytest.mark.parametrize("race", RACES)
def test_race(race: str, place: Place) -> None:
    report = play(place, race, RACES[race], ROUNDS, SEED)
    print(f"FAULT_SEED={SEED} {report}")
    assert not report.violations, f"FAULT_SEED={SEED} {report}: {report.violations}"
    assert report.rounds == ROUNDS


def test_a_write_inside_the_window_survives_where_versions_are_kept(
    store_server: Start, postgres_server: postgres.Postgres, tmp_path: Path
) -> None:
    server = needed("minio", store_server)
    report = play(make_place(server, postgres_server, tmp_path, 0), "versions", window.with_versions, 3, SEED)
    assert (report.won, report.open, report.violations) == (3, 0, [])


def test_a_write_inside_the_window_survives_where_a_condition_is_honoured(
    store_server: Start, postgres_server: postgres.Postgres, tmp_path: Path
) -> None:
    server = needed("ministack", store_server)
    place = make_place(server, postgres_server, tmp_path, 0)
    report = play(place, "conditions", window.with_conditions, 3, SEED)
    assert (report.won, report.open, report.violations) == (3, 0, [])


def test_without_either_the_window_is_open(
    store_server: Start, postgres_server: postgres.Postgres, tmp_path: Path
) -> None:
    """README and the manual state this of unversioned MinIO; if this test fails, they are out of date."""
    server = needed("minio", store_server)
    report = play(
        make_place(server, postgres_server, tmp_path, 0), "open", window.overwritten_inside, 1, SEED
    )
    assert (report.won, report.open, report.violations) == (0, 1, [])
