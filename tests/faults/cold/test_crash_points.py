"""A fixed-size sample of the crash points and races of cold data; ``make faults`` runs them all.

The sample is drawn by the day's date, or by ``FAULT_SEED``; ``FAULT_ROUNDS`` sets the rounds of each race.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from devstack import objectstore, postgres
from tests.conftest import needed
from tests.faults import draw, workers
from tests.faults.cleanup.test_crash_points import SEED
from tests.faults.cold import campaign, environment
from tests.faults.cold.races import RACES
from tests.faults.cold.table import ACTS
from tests.faults.effects import Fault, Mode
from tests.faults.race import play
from tests.faults.servers import Place
from tests.faults.transports import warm

pytestmark = [pytest.mark.server, pytest.mark.faults]
TRIALS = {"minio": 14, "ministack": 8}
ROUNDS = int(os.environ.get("FAULT_ROUNDS") or 2)
OLD = "BUCKET/processed/old"
Start = Callable[[str], objectstore.ObjectStore]


@pytest.fixture
def environments(
    request: pytest.FixtureRequest, store_server: Start, postgres_server: postgres.Postgres, tmp_path: Path
) -> list[Place]:
    """Places on a store of the parameter's kind, MinIO with its remote tier; two for a sample, else one."""
    warm()
    store = needed(request.param, store_server)
    if request.param == "minio":
        request.getfixturevalue("cold_store")
    count = 2 if "sample" in request.node.name else 1
    return [
        environment.make_cold_environment(store, postgres_server, tmp_path, number) for number in range(count)
    ]


@pytest.mark.parametrize("environments", list(TRIALS), indirect=True)
def test_sample_of_crash_points_of_cold_data(environments: list[Place]) -> None:
    kind = environments[0][1]
    every = campaign.trials(environments[0], SEED)
    todo = draw.covering(every, TRIALS[kind], lambda trial: trial.of, lambda trial: trial.fault.mode)
    results = list(campaign.run_trials(environments, todo))
    lost = [str(one) for one in results if one.violations]
    print(f"FAULT_SEED={SEED}: survived {len(results) - len(lost)}/{len(todo)} of {len(every)} trials")
    assert not lost, f"FAULT_SEED={SEED} repeats this: " + "\n".join(lost)
    assert len(results) == len(todo)
    assert {one.trial.of for one in results} == {act.name for act in ACTS if act.kind == kind}
    assert {one.trial.fault.mode for one in results} == {trial.fault.mode for trial in every}


@pytest.mark.parametrize(
    ("environments", "race"),
    [(kind, name) for kind, races in RACES.items() for name in races],
    indirect=["environments"],
)
def test_race_of_cold_data(environments: list[Place], race: str) -> None:
    report = play(environments[0], race, RACES[environments[0][1]][race], ROUNDS, SEED)
    print(f"FAULT_SEED={SEED} {report}")
    assert not report.violations, f"FAULT_SEED={SEED} {report}: {report.violations}"
    assert report.rounds == ROUNDS


#: Effects with a dedicated test: the act, the effect's name prefix, its index among matches, the fault mode.
POINTS: dict[str, tuple[str, str, int, Mode]] = {
    "written": ("compress", f"PUT {OLD}/transcription/transcript.vtt", 0, "after"),
    "not entered": ("compress", "INSERT INTO maintenance.savings", 0, "before"),
    "entered": ("compress", "INSERT INTO maintenance.cold_objects", -1, "before"),
    "not measured": ("compress in parts", "GET BUCKET?versioning=", -1, "lost"),
    "restored": ("decompress", f"PUT {OLD}/transcription/transcript.vtt", 0, "after"),
    "installed": ("lifecycle apply on minio", "GET BUCKET?lifecycle", 2, "503"),
}


@pytest.mark.parametrize("environments", ["minio"], indirect=True)
@pytest.mark.parametrize("point", POINTS)
def test_point(environments: list[Place], point: str) -> None:
    name, begins, which, mode = POINTS[point]
    act = next(one for one in ACTS if one.name == name)

    def strike(here: environment.ColdEnvironment) -> list[str]:
        found = [one for one in campaign.record(here, act) if one.what.startswith(begins)]
        return campaign.run(here, campaign.Trial(act, Fault(found[which], mode), 0, repeat=False))

    assert workers.apart(lambda: environment.open_cold_environment(environments[0]), strike) == []
