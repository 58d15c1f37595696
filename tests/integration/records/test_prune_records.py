"""``prune_records`` and ``storage deleted`` on real stores."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy.exc import DBAPIError

from storage import catalog
from storage.cleanup.temp import TempObjects
from storage.core.clock import utcnow
from storage.core.model import Run
from storage.engine import sweep
from storage.engine.sweep import HISTORY
from storage.installation import open_installation
from tests.conftest import Place
from tests.support.command_line import Person, rows

AT_ONCE = replace(
    catalog.get("cleanup_temp_objects"), policy=lambda: TempObjects(older_than=timedelta()), parameters=()
)
KEYS = ("temp/a b+%.ts", 'temp/it\'s "é"\n.ts')


@pytest.fixture
def old(place: Place) -> Run:
    """Delete two objects, let that be long ago, and let enough other runs follow."""
    for key in KEYS:
        place.put(key)
    with open_installation(place.settings) as stores:
        run = sweep.run(AT_ONCE, stores, utcnow())
    long_ago = "now() - interval '91 days'"
    rows(place, f"UPDATE maintenance.runs SET started_at = {long_ago}, finished_at = {long_ago}")
    rows(
        place,
        "INSERT INTO maintenance.runs (id, job, as_of, state, started_at)"
        " SELECT 'run-' || n, job, as_of, state, now()"
        f" FROM maintenance.runs, generate_series(1, {HISTORY}) AS n",
    )
    rows(place, "INSERT INTO maintenance.audit (at, event) VALUES (now() - interval '401 days', 'ancient')")
    return run


def plan_bucket(place: Place) -> list[str]:
    answer = place.boto.list_objects_v2(Bucket=place.settings.maintenance_bucket)
    return [one["Key"] for one in answer.get("Contents", ()) if not one["Key"].startswith(".maintenance/")]


def test_what_a_pruned_run_deleted_can_still_be_asked(storage: Person, place: Place, old: Run) -> None:
    before = [storage("deleted", key, "--json").document for key in KEYS]
    assert [[one["run"] for one in answer["deletions"]] for answer in before] == [[old.id]] * 2
    pruned = storage("run", "prune_records", "--json").document["run"]
    assert (pruned["state"], pruned["done"]["count"]) == ("verified", 2), "the run, and a chunk of the audit"
    assert [storage("deleted", key, "--json").document for key in KEYS] == before
    assert storage("runs", old.id).code == 2
    month = f"{utcnow() - timedelta(days=91):%Y-%m}"
    assert plan_bucket(place) == [
        f"deletions/{month}/{old.id}.jsonl.gz", f"plans/prune_records/{pruned['id']}.jsonl.gz",
    ]  # fmt: skip
    assert rows(place, f"SELECT count(*) FROM maintenance.batches WHERE run_id = '{old.id}'") == [(0,)]
    assert rows(place, "SELECT count(*) FROM maintenance.audit WHERE event = 'ancient'") == [(0,)]
    assert rows(place, f"SELECT count(*) FROM maintenance.audit WHERE run_id = '{old.id}'") == [(2,)]
    again = storage("run", "prune_records", "--json").document["run"]
    assert (again["planned"]["count"], again["plan_uri"]) == (0, "")


def test_deleted_in_words(storage: Person, old: Run) -> None:
    answer = storage("deleted", KEYS[0])
    assert answer.code == 0
    assert f"   delete   {old.id}   " in answer.out
    assert "No run of the last 400 days deleted temp/none." in storage("deleted", "temp/none").out


def test_the_audit_is_removed_by_nothing_but_its_age(place: Place) -> None:
    rows(
        place,
        "INSERT INTO maintenance.audit (at, event) SELECT now() - days * interval '1 day', 'x'"
        " FROM unnest(array[364, 366]) AS days",
    )
    for statement in ("DELETE FROM maintenance.audit WHERE at > now() - interval '365 days'",
                      "UPDATE maintenance.audit SET event = 'y' WHERE at < now() - interval '365 days'",
                      "TRUNCATE maintenance.audit"):  # fmt: skip
        with pytest.raises(DBAPIError, match="append-only"):
            rows(place, statement)
    rows(place, "DELETE FROM maintenance.audit WHERE at < now() - interval '365 days'")
    assert rows(place, "SELECT count(*) FROM maintenance.audit WHERE event = 'x'") == [(1,)]
