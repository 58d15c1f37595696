"""Upgrade: takeover of an installation that an earlier version left with work in every state."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from devstack.objectstore import ObjectStore
from devstack.postgres import Postgres
from tests.conftest import needed
from tests.support.command_line import Person
from tests.upgrade import load, product, takeover
from tests.upgrade.load import FIXTURES, Loaded
from tests.upgrade.takeover import Operator

VERSIONS = sorted(path.name for path in FIXTURES.iterdir())
pytestmark = [pytest.mark.server, pytest.mark.xdist_group("upgrade")]  # the names of the buckets are fixed


@pytest.fixture(params=VERSIONS)
def old(
    request: pytest.FixtureRequest,
    store_server: Callable[[str], ObjectStore],
    cold_store: ObjectStore,
    postgres_server: Postgres,
    tmp_path: Path,
) -> Iterator[Loaded]:
    """Load an installation of that version on MinIO, as its fixture was made, with a remote tier."""
    store = needed("minio", store_server)
    with load.loaded(FIXTURES / request.param, store, postgres_server, tmp_path) as on:
        yield on


def test_everything_is_taken_over(
    old: Loaded,
    postgres_server: Postgres,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    """A single test, as each step continues from the state that the previous one left."""
    storage = Operator(Person(monkeypatch, capsys), old)
    monkeypatch.setattr(product.tiering, "TIMEOUT", 20.0)
    storage("migrate")
    load.introduce(old)
    takeover.records_read_as_written(storage)
    takeover.rows_are_kept(storage)
    takeover.judgements_hold(storage)
    [made] = storage("backup", "run", "database")  # the guard requires a fresh one
    assert made["state"] == "proven"
    takeover.plans_are_applied(storage)
    takeover.cold_plan_is_applied(storage)
    takeover.waiting_plans_are_applied(storage)
    takeover.interrupted_runs_are_resumed(storage)
    takeover.condemnations_are_undone(storage)
    takeover.what_is_due_is_reaped(storage)
    takeover.objects_read_as_their_originals(storage, tmp_path / "got")
    takeover.backups_are_restored(storage, postgres_server)
