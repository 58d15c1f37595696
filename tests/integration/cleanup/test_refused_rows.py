"""Rows that the database refuses to change: the others are changed, and the run is red and says why."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from sqlalchemy import Engine

from storage.core.errors import AccessDenied, ActionsFailed, StatementRefused, StorageError, TransientFault
from storage.core.model import Job, JobId
from storage.stores.postgres.jobs import PostgresJobs
from tests.conftest import Place
from tests.support.command_line import keys, rows, run_ahead

ONE_STORE = pytest.mark.parametrize("place", ["ministack"], indirect=True)
LONG_AGO = "2026-01-01T00:00:00Z"
AddJob = Callable[..., None]

BEFORE = "TRIGGER {0} BEFORE UPDATE ON jobs"
AT_COMMIT = "CONSTRAINT TRIGGER {0} AFTER UPDATE ON jobs DEFERRABLE INITIALLY DEFERRED"
RAISES = "RAISE EXCEPTION 'the row is frozen' USING DETAIL = 'secret of a customer';"


def guarded(id: str, body: str, when: str = BEFORE) -> tuple[str, str]:
    """Return the statements that create a trigger on the row ``id``, named after it."""
    body = f"BEGIN IF OLD.id = '{id}' THEN {body} END IF; RETURN NEW; END"
    return (
        f"CREATE FUNCTION {id}() RETURNS trigger LANGUAGE plpgsql AS $$ {body} $$",
        f"CREATE {when.format(id)} FOR EACH ROW EXECUTE FUNCTION {id}()",
    )


REFUSALS: dict[str, tuple[tuple[str, ...], str]] = {
    "raises": (guarded("raises", RAISES), "raised by PL/pgSQL function raises()"),
    "own_code": (
        guarded("own_code", RAISES.replace("USING", "USING ERRCODE = 'JB001',")),
        "SQLSTATE JB001, raised by PL/pgSQL function own_code()",
    ),
    "at_commit": (guarded("at_commit", RAISES, AT_COMMIT), "raised by PL/pgSQL function at_commit()"),
    "checked": (
        ("ALTER TABLE jobs ADD CHECK (id <> 'checked' OR updated_at < now() - interval '1 day')",),
        "violates check constraint",
    ),
    "broken": (guarded("broken", "NEW.no_such_column = 1;"), "no_such_column"),
    "silent": (guarded("silent", "RETURN NULL;"), "left the row as it was"),
    "reverted": (guarded("reverted", "NEW.status = OLD.status;"), "left the row as it was"),
}  # fmt: skip


def refuse(place: Place, *ids: str) -> None:
    """Make the database refuse to change these rows, each in its way."""
    for id in ids:
        for statement in REFUSALS[id][0]:
            rows(place, statement)


@ONE_STORE
def test_refused_rows_do_not_stop_the_others(place: Place, add_job: AddJob) -> None:
    for id in ("a", *REFUSALS, "z"):
        add_job(id, "queued", LONG_AGO)
    refuse(place, *REFUSALS)
    with pytest.raises(
        ActionsFailed, match=f"^{len(REFUSALS)} of {len(REFUSALS) + 2} actions failed; the first"
    ):
        run_ahead(place, "cleanup_stuck_jobs")
    found = dict(rows(place, "SELECT id, status FROM jobs"))
    assert found == {"a": "failed", "z": "failed"} | dict.fromkeys(REFUSALS, "queued")
    recorded = str(rows(place, "SELECT details FROM maintenance.batches"))
    assert [words for _, words in REFUSALS.values() if words not in recorded] == []
    assert "secret" not in recorded
    assert "Failing row" not in recorded


@ONE_STORE
def test_a_job_that_cannot_become_cleaned_up_keeps_its_objects(place: Place, add_job: AddJob) -> None:
    """The other job is cleaned up in the same run, and nothing is left half begun."""
    refused = ("checked", "silent", "reverted")
    for id in (*refused, "other"):
        add_job(id, "failed", LONG_AGO)
        place.put(f"uploads/{id}/in.mp4")
    run_ahead(place, "cleanup_failed_jobs")
    rows(place, "UPDATE maintenance.tombstones SET delete_after = now() - interval '1 minute'")
    refuse(place, *refused)
    with pytest.raises(ActionsFailed, match=r"3 of 8 actions failed.*allow the status 'cleaned_up'"):
        run_ahead(place, "reap")
    assert keys(place, "uploads/") == {f"uploads/{id}/in.mp4" for id in refused}
    found = dict(rows(place, "SELECT id, status FROM jobs"))
    assert found == {"other": "cleaned_up"} | dict.fromkeys(refused, "failed")
    states = rows(place, "SELECT owner, state FROM maintenance.tombstones")
    assert set(states) == {("other", "reaped")} | {(id, "kept") for id in refused}
    assert run_ahead(place, "reap").planned.count == 0


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("40001", TransientFault),
        ("57014", TransientFault),
        ("55P03", TransientFault),
        ("P0001", StatementRefused),
        ("22001", StatementRefused),
        ("44000", StatementRefused),
        ("42703", StatementRefused),
    ],
)
def test_the_class_of_the_error_tells_a_refusal_from_a_fault(
    engine: Engine, add_job: AddJob, code: str, error: type[StorageError]
) -> None:
    """A fault says nothing about the row: the run stops, and a retry may help."""
    add_job("frozen", "queued", LONG_AGO)
    jobs = PostgresJobs(engine)
    [seen] = jobs.get([JobId("frozen")]).values()
    with engine.begin() as session:
        for statement in guarded("frozen", f"RAISE EXCEPTION 'no' USING ERRCODE = '{code}';"):
            session.exec_driver_sql(statement)
    with pytest.raises(StorageError) as raised:
        jobs.fail([seen], "stuck")
    assert type(raised.value) is error


def test_a_missing_right_is_no_refusal_of_a_row(engine: Engine, add_job: AddJob) -> None:
    add_job("a", "queued", LONG_AGO)
    jobs = PostgresJobs(engine)
    [seen] = jobs.get([JobId("a")]).values()
    with engine.begin() as session:
        session.exec_driver_sql("REVOKE UPDATE ON maintenance.jobs FROM maintainer")
    with pytest.raises(AccessDenied):
        jobs.fail([Job(seen.id, seen.status, seen.updated_at)], "stuck")
