"""Job rows that the database hides, spells otherwise or dates badly: their files stay."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy.engine import make_url

from devstack.postgres import Postgres
from storage import catalog, connect
from storage.core.errors import RowsHidden
from storage.engine import sweep
from tests.conftest import Place
from tests.support.command_line import Person, ahead, keys, rows, run_ahead

ONE_STORE = pytest.mark.parametrize("place", ["ministack"], indirect=True)
UUID, OTHER = "6f9619ff-8b86-d011-b42d-00c04fc964ff", "6f9619ff-8b86-d011-b42d-00c04fc964f0"
JOBS = ("cleanup_temp_objects", "cleanup_temp_files", "cleanup_orphan_uploads", "abort_uploads")


def execute(place: Place, *statements: str) -> None:
    for statement in statements:
        rows(place, statement)


# --- row-level security -------------------------------------------------------------------------------


def owner(place: Place) -> None:
    """The platform's role owns the table, and FORCE applies the policy to the owner as well."""
    execute(place, "ALTER TABLE jobs ENABLE ROW LEVEL SECURITY", "ALTER TABLE jobs FORCE ROW LEVEL SECURITY")


def invoker(place: Place) -> None:
    """A view that reads with the rights of whoever asks."""
    owner(place)
    execute(place, "ALTER VIEW maintenance.jobs SET (security_invoker = true)")


@pytest.fixture
def other_owner(place: Place, postgres_server: Postgres) -> Iterator[Callable[[Place], None]]:
    """A view whose owner is another role, which the policy filters; the platform's role may read the view."""
    role = f"viewer_{make_url(place.settings.database_url).database}"

    def change(place: Place) -> None:
        execute(place, "ALTER TABLE jobs ENABLE ROW LEVEL SECURITY", f'GRANT ALL ON jobs TO "{role}"')
        execute(place, f'GRANT USAGE, CREATE ON SCHEMA maintenance TO "{role}"')
        with superuser(postgres_server, place) as session, session.cursor() as cursor:
            cursor.execute(f'ALTER VIEW maintenance.jobs OWNER TO "{role}"')
            cursor.execute("GRANT ALL ON maintenance.jobs TO maintainer")

    with superuser(postgres_server, place) as session, session.cursor() as cursor:
        cursor.execute(f'CREATE ROLE "{role}"')
    yield change
    with superuser(postgres_server, place) as session, session.cursor() as cursor:
        cursor.execute(f'DROP OWNED BY "{role}" CASCADE; DROP ROLE "{role}"')


def superuser(server: Postgres, place: Place):  # type: ignore[no-untyped-def]
    session = server.connect(make_url(place.settings.database_url).database or "")
    session.autocommit = True
    return session


@pytest.fixture
def change(request: pytest.FixtureRequest) -> Callable[[Place], None]:
    named: dict[str, Callable[[Place], None]] = {"owner": owner, "invoker": invoker}
    return named.get(request.param) or request.getfixturevalue(request.param)


@ONE_STORE
@pytest.mark.parametrize("change", ["owner", "invoker", "other_owner"], indirect=True)
def test_hidden_rows_refuse(
    place: Place, add_job: Callable[..., None], change: Callable[[Place], None]
) -> None:
    """The rows of other tenants were taken for absent, and their live files deleted."""
    add_job("live", "processing", "2026-01-01T00:00:00Z", api_key="another tenant")
    place.put("temp/live/segment.ts")
    place.put("uploads/live/in.mp4")
    place.put("uploads/live/in.mp4.part1")
    file = Path(place.settings.temp_dir, "live", "segment.ts")
    file.parent.mkdir()
    file.write_bytes(b"x")
    execute(place, "CREATE POLICY tenant ON jobs USING (api_key = 'mine')")
    change(place)
    for job in JOBS:
        with pytest.raises(RowsHidden, match=r'table "jobs" hides rows from role maintainer.*BYPASSRLS'):
            run_ahead(place, job)
    assert keys(place) >= {"temp/live/segment.ts", "uploads/live/in.mp4", "uploads/live/in.mp4.part1"}
    assert file.exists()


@ONE_STORE
def test_a_policy_that_hides_nothing_from_the_role_is_no_hindrance(
    place: Place, add_job: Callable[..., None]
) -> None:
    """Without FORCE the owner of the table sees every row."""
    add_job("live", "processing", "2026-01-01T00:00:00Z")
    place.put("temp/live/segment.ts")
    place.put("temp/gone/segment.ts")
    execute(place, "CREATE POLICY tenant ON jobs USING (false)", "ALTER TABLE jobs ENABLE ROW LEVEL SECURITY")
    run_ahead(place, "cleanup_temp_objects")
    assert keys(place, "temp/") == {"temp/live/segment.ts"}


# --- spellings of an id ---------------------------------------------------------------------------------


@ONE_STORE
@pytest.mark.parametrize(
    ("type", "id", "folders"),
    [
        ("uuid", UUID, [UUID, UUID.upper(), UUID.replace("-", ""), f"{{{UUID}}}", f"6f96-{UUID[4:]}"]),
        ("job_number", "7", ["7", "007", "+7", " 7", "0x7"]),
        ("char(8)", "ab", ["ab", "ab ", "ab      "]),
        ("citext", "Film-A", ["Film-A", "film-a", "FILM-A"]),
        ("varchar(64)", "7", ["7"]),
    ],
    ids=["uuid", "domain over bigint", "char", "citext", "varchar"],
)  # fmt: skip
def test_every_spelling_of_a_live_job_is_that_job_s(
    place: Place,
    add_job: Callable[..., None],
    postgres_server: Postgres,
    type: str,
    id: str,
    folders: list[str],
) -> None:
    with superuser(postgres_server, place) as session, session.cursor() as cursor:
        cursor.execute("CREATE EXTENSION citext")
    execute(place, "CREATE DOMAIN job_number AS bigint", "DROP VIEW maintenance.jobs")
    execute(place, f"ALTER TABLE jobs ALTER COLUMN id TYPE {type} USING id::{type}")
    connect.set_up(place.settings)
    add_job(id, "processing", "2026-01-01T00:00:00Z")
    for folder in folders:
        place.put(f"temp/{folder}/segment.ts")
    others = {"temp/8/segment.ts", f"temp/{UUID[:-1]}0/segment.ts", "temp/no-id/segment.ts"}
    if type == "varchar(64)":
        others |= {"temp/007/segment.ts", "temp/7 /segment.ts"}
    for key in others:
        place.put(key)
    run = run_ahead(place, "cleanup_temp_objects")
    assert keys(place, "temp/") == {f"temp/{folder}/segment.ts" for folder in folders}
    assert run.done.count == len(others)


@ONE_STORE
def test_a_pin_and_a_verdict_hold_in_another_spelling(
    place: Place, add_job: Callable[..., None], storage: Person
) -> None:
    execute(place, "DROP VIEW maintenance.jobs", "ALTER TABLE jobs ALTER COLUMN id TYPE uuid USING id::uuid")
    connect.set_up(place.settings)
    add_job(UUID, "completed", "2026-01-01T00:00:00Z")
    assert storage("tier", "pin", UUID.upper(), "--reason", "a court asked").code == 0
    assert rows(place, "SELECT owner FROM maintenance.cold_pins") == [(UUID,)]
    place.put(f"uploads/{UUID.upper()}/in.mp4")
    verdict = (
        "INSERT INTO maintenance.verdicts (owner, verdict, epoch, by, closed_at) "
        f"VALUES ('{UUID.upper()}', 'condemn', now() + interval '1 hour', 'eva', now())"
    )
    execute(place, verdict)
    run = run_ahead(place, "condemn_unreconciled")
    assert (run.considered.count, run.planned.count) == (1, 0)


@ONE_STORE
def test_undo_takes_a_job_in_another_spelling(
    place: Place, add_job: Callable[..., None], storage: Person
) -> None:
    execute(place, "DROP VIEW maintenance.jobs", "ALTER TABLE jobs ALTER COLUMN id TYPE uuid USING id::uuid")
    connect.set_up(place.settings)
    add_job(UUID, "failed", "2026-01-01T00:00:00Z")
    add_job(OTHER, "failed", "2026-01-01T00:00:00Z")
    for id in (UUID, OTHER):
        place.put(f"processed/{id}/a.mp4")
    run = storage("run", "cleanup_failed_jobs", "--json").document["run"]["id"]
    undone = storage("undo", run, "--job", UUID.upper(), "--json").document["marks"]
    assert {mark["key"] for mark in undone} == {UUID, f"processed/{UUID}/a.mp4"}


# --- times that tell nothing ------------------------------------------------------------------------------


@ONE_STORE
@pytest.mark.parametrize("time", ["NULL", "'infinity'", "'-infinity'", "'4000-01-01 BC'", "'12000-01-01'"])
def test_a_row_without_a_usable_time_keeps_its_files(
    place: Place, add_job: Callable[..., None], time: str
) -> None:
    statuses = ("completed", "failed", "processing")
    for status in statuses:
        add_job(status, status, "2026-01-01T00:00:00Z")
        for key in (f"temp/{status}/a.ts", f"processed/{status}/360p.mp4", f"uploads/{status}/in.mp4"):
            place.put(key)
    execute(
        place,
        "ALTER TABLE jobs ALTER COLUMN updated_at DROP NOT NULL",
        f"UPDATE jobs SET updated_at = {time}",
    )
    before = keys(place)
    run = run_ahead(place, "cleanup_temp_objects")
    assert (run.considered.count, run.planned.count) == (3, 0)
    for job in ("cleanup_orphan_uploads", "cleanup_failed_jobs", "cleanup_stuck_jobs"):
        run_ahead(place, job)
    run_ahead_of_ended(place)
    assert keys(place) == before
    assert rows(place, "SELECT status FROM jobs ORDER BY id") == [(status,) for status in statuses]
    assert rows(place, "SELECT count(*) FROM maintenance.tombstones") == [(0,)]


def run_ahead_of_ended(place: Place) -> None:
    with ahead(place) as (stores, as_of):
        for job in ("cleanup_ended_temp_objects", "cleanup_ended_temp_files"):
            sweep.run(catalog.get(job), stores, as_of, {})


@ONE_STORE
def test_an_empty_pause_is_a_pause(place: Place, storage: Person) -> None:
    execute(place, "INSERT INTO maintenance.control (name, value) VALUES ('paused', '')")
    answer = storage("run", "cleanup_temp_objects")
    assert (answer.code, "no reason was given" in answer.err) == (5, True)
    assert "no reason was given" in storage("status").out
    execute(place, "UPDATE maintenance.control SET name = 'restore_epoch' WHERE name = 'paused'")
    answer = storage("run", "cleanup_temp_objects")
    assert (answer.code, "Refused by restore-epoch" in answer.err) == (3, True)
    assert storage("status", "--json").document["restore_epoch"] == "open"
