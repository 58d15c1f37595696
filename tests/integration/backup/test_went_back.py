"""A database that an operator restored by other means, from the command line."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from storage.core.clock import utcnow
from tests.conftest import Place
from tests.support.command_line import Person
from tests.support.plain_owner import ONE_STORE, execute

MARKS = "SELECT DISTINCT state FROM maintenance.tombstones"


@pytest.mark.server
@ONE_STORE
def test_marks_of_another_day_wait_and_then_go(
    place: Place, storage: Person, add_job: Callable[..., None]
) -> None:
    """The state of before `storage undo` comes back with the database; reconciling withdraws its marks."""
    url = place.settings.database_url
    add_job("job-1", "failed", utcnow() - timedelta(days=10))
    add_job("job-2", "failed", utcnow() - timedelta(days=10))
    place.put("processed/job-1/a")
    first = storage("run", "cleanup_failed_jobs", "--json").document["run"]
    assert storage("undo", first["id"]).code == 0
    execute(url, "UPDATE jobs SET status = 'failed', updated_at = now() - interval '10 days'")
    assert storage("run", "cleanup_failed_jobs").code == 0
    execute(
        url, "DELETE FROM maintenance.batches",
        f"DELETE FROM maintenance.runs WHERE id <> '{first['id']}'",
        f"DELETE FROM maintenance.tombstones WHERE run_id <> '{first['id']}'",
        "UPDATE maintenance.tombstones SET state = 'condemned', delete_after = now() - interval '1 day'",
    )  # fmt: skip
    answer = storage("run", "reap")
    assert (answer.code, "storage reconcile" in answer.err) == (3, True), answer
    assert storage("reconcile", "--adopt", "all").code == 0
    assert execute(url, MARKS) == [("condemned",)]
    assert storage("reconcile", "--close").code == 0
    assert execute(url, MARKS) == [("undone",)]
    assert storage("run", "reap").code == 0
    assert place.boto.get_object(Bucket=place.settings.bucket, Key="processed/job-1/a")
