"""A fixed-size sample of the crash points of backups; ``make faults`` runs them all.

The sample is drawn by the day's date, or by ``FAULT_SEED``.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from devstack import objectstore
from tests.conftest import missing
from tests.faults import disk, draw, workers
from tests.faults.backup import acts
from tests.faults.backup.environment import BackupEnvironment, open_backup_environment
from tests.faults.cleanup.test_crash_points import SEED, best_store
from tests.faults.effects import Effect, Fault, Mode
from tests.faults.workers import Opener

pytestmark = [pytest.mark.server, pytest.mark.faults]
TRIALS = 12


@pytest.fixture
def backup_env(
    store_server: Callable[[str], objectstore.ObjectStore], tmp_path: Path
) -> Opener[BackupEnvironment]:
    return partial(open_backup_environment, best_store(store_server), tmp_path)


def survived(backup_env: Opener[BackupEnvironment], todo: list[acts.Trial]) -> list[acts.Trial]:
    """Run the trials and return them; assert that all were done without violations."""
    results = list(acts.run_trials([backup_env, backup_env], todo))
    lost = [str(one) for one in results if one.violations]
    print(f"FAULT_SEED={SEED}: survived {len(results) - len(lost)}/{len(todo)} trials")
    assert len(results) == len(todo)
    assert not lost, f"FAULT_SEED={SEED} repeats this: " + "\n".join(lost)
    return [one.trial for one in results]


def test_sample_of_crash_points_of_backups(backup_env: Opener[BackupEnvironment]) -> None:
    if why := disk.refused():
        missing["small disk"] = f"no disk was filled: {why}"
    every = acts.trials(backup_env, acts.ACTS, SEED)
    todo = draw.covering(every, TRIALS, lambda trial: trial.of, lambda trial: trial.fault.mode)
    done = survived(backup_env, todo)
    assert {trial.of for trial in done} == {act.name for act in acts.ACTS}
    assert {trial.fault.mode for trial in done} >= {"restart", "outage"}
    assert why or {trial.fault.mode for trial in done} >= set(acts.FULL)


@pytest.mark.parametrize(
    ("act", "mode"), [("prove", "restart"), ("prove_apart", "temp full")], ids=["restart", "full"]
)
def test_a_machine_that_fails_under_pg_restore_is_not_the_backup_s_fault(
    act: str, mode: Mode, backup_env: Opener[BackupEnvironment]
) -> None:
    if mode in acts.FULL and (why := disk.refused()):
        pytest.skip(f"no small disk: {why}")
    named = next(one for one in acts.ACTS if one.name == act)
    trial = acts.Trial(named, Fault(Effect("program", "pg_restore", 1), mode), 0)
    assert workers.apart(backup_env, lambda here: acts.run(here, trial)) == []
