"""Backups beside DDL: three effects and five random instants; ``make faults`` takes every effect, and fifty.

The sample is drawn by the day's date, or by ``FAULT_SEED``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from devstack import objectstore, postgres
from tests.faults.backup import ddl_sweep
from tests.faults.cleanup.test_crash_points import SEED, best_store
from tests.faults.servers import make_place
from tests.faults.transports import warm

pytestmark = [pytest.mark.server, pytest.mark.faults]
INSTANTS = 5


def test_a_proven_backup_beside_ddl_is_a_state_that_was(
    store_server: Callable[[str], objectstore.ObjectStore], postgres_server: postgres.Postgres, tmp_path: Path
) -> None:
    warm()
    place, _ = make_place(best_store(store_server), postgres_server, tmp_path)
    settings = replace(place, proof_server="same")
    report = ddl_sweep.Report()
    for moment in ddl_sweep.sample(ddl_sweep.moments(settings, INSTANTS, SEED), SEED):
        ddl_sweep.run(settings, moment, report)
    print(f"FAULT_SEED={SEED}: {report}")
    assert not report.violations, f"FAULT_SEED={SEED} repeats this: " + "\n".join(report.violations)
    assert report.proven and report.committed and report.waited, str(report)
