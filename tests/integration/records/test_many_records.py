"""With a long history, every statement on the records walks an index."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, text

from devstack.postgres import Postgres
from storage.records.model import TABLES
from storage.records.postgres import PostgresRecords
from storage.stores.postgres.connection import connect as connect_engine
from storage.stores.postgres.migrate import migrate
from storage.stores.postgres.runs import PostgresRuns
from storage.stores.postgres.sqlfiles import queries
from tests.conftest import PASSWORD

ROWS = 200_000  # of runs, batches, tombstones and audit
FEWER = ROWS // 4  # of the others
BEFORE = datetime(2026, 6, 1, tzinfo=UTC)
#: A row a minute: three fifths of all rows are older than BEFORE.
_AT = f"timestamptz '{(BEFORE - timedelta(minutes=ROWS * 3 // 5)).isoformat()}' + n * interval '1 min'"
_FILL = f"""
INSERT INTO maintenance.runs (id, job, as_of, state, plan_uri, plan_sha256, started_at, finished_at)
    SELECT 'run-' || n, 'job-' || n % 10, {_AT},
        CASE WHEN n % 37 = 0 THEN 'failed' ELSE 'verified' END,
        's3://m/plans/' || n, 'sha', {_AT}, {_AT} FROM generate_series(1, {ROWS}) AS n;
INSERT INTO maintenance.runs (id, job, as_of, state, started_at)
    SELECT 'mine-' || state, 'cleanup_failed_jobs', {_AT}, state, {_AT}
    FROM unnest(array['verified', 'refused']) WITH ORDINALITY AS one (state, n);
INSERT INTO maintenance.batches (run_id, plan_sha256, number, done_count, done_bytes, skipped_count,
        skipped_bytes, failed_count, failed_bytes, not_done, details)
    SELECT 'run-' || n, 'sha', 0, 1, 0, 0, 0, 0, 0, '{{}}', '[]' FROM generate_series(1, {ROWS}) AS n;
INSERT INTO maintenance.tombstones (run_id, job, kind, place, key, size, seen, reason, delete_after, state,
        changed_at)
    SELECT 'run-' || (n * 3 % {ROWS}), 'j', 'object', 'b', 'k' || n, 1, '', '', {_AT},
        CASE WHEN n % 10 = 0 THEN 'condemned' ELSE 'reaped' END, {_AT} FROM generate_series(1, {ROWS}) AS n;
INSERT INTO maintenance.claims (owner, run_id, closed_at)
    SELECT 'o' || n, 'run-' || n, CASE WHEN n % 1000 > 0 THEN {_AT} END FROM generate_series(1, {FEWER}) AS n;
INSERT INTO maintenance.uploads (upload_id, bucket, key, closed_at)
    SELECT 'u' || n, 'b', 'k' || n, CASE WHEN n % 1000 > 0 THEN {_AT} END
    FROM generate_series(1, {FEWER}) AS n;
INSERT INTO maintenance.audit (at, event, detail)
    SELECT {_AT}, CASE WHEN n % 100 = 0 THEN 'acted' ELSE 'verified' END, jsonb_build_object('key', 'k' || n)
    FROM generate_series(1, {ROWS}) AS n;
"""
_INDEXES = """
SELECT indexrelid::regclass::text, pg_get_indexdef(indexrelid) FROM pg_index
WHERE indrelid::regclass::text LIKE 'maintenance.%' AND NOT indisprimary
"""
VALUES: dict[str, Any] = {
    "before": BEFORE,
    "since": BEFORE - timedelta(minutes=ROWS // 2 + 1000),
    "until": BEFORE - timedelta(minutes=ROWS // 2),
    "last_id": "5000",
    "last_at": BEFORE - timedelta(minutes=ROWS // 2),
    "last_started_at": BEFORE - timedelta(minutes=ROWS // 2),
    "newest": 20,
    "page": 1000,
    "run_id": "run-77",
    "id": "run-77",
    "sha256": "sha",
    "state": "verified",
    "key": "k100",
    "nothing": ["condemn"],
    "jobs": ["job-1", "cleanup_failed_jobs"],
    "states": ["verified", "failed"],
    "job": "job-1",
    "limit": 20,
    "bucket": "b",
}
STATEMENTS = [
    *(("records", name) for name in queries("records")),
    *(("runs", name) for name in ("newest", "latest", "latest_of_all", "finished", "totals")),
    ("tombstones", "open_uploads"),
]
GROWING = {"runs", "batches", "tombstones", "claims", "uploads", "audit"}


@pytest.fixture(scope="module")
def many(postgres_server: Postgres) -> Iterator[Engine]:
    """Return a migrated database with a history."""
    name = "many_records"
    postgres_server.create_database(name, "maintainer", PASSWORD)
    engine = connect_engine(postgres_server.dsn(name, "maintainer", PASSWORD))
    migrate(engine)
    with postgres_server.connect(name) as session, session.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")  # no foreign key is checked row by row
        cursor.execute(_INDEXES)
        indexes = cursor.fetchall()
        for index, _ in indexes:
            cursor.execute(f"DROP INDEX {index}")
        cursor.execute(_FILL)
        for _, statement in indexes:
            cursor.execute(statement)
        cursor.execute("ANALYZE")
    yield engine
    engine.dispose()
    with postgres_server.connect() as session, session.cursor() as cursor:
        cursor.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


def scanned(plan: dict[str, Any]) -> Iterator[str]:
    """Yield the tables that a plan reads whole."""
    if plan["Node Type"] == "Seq Scan":
        yield plan["Relation Name"]
    for inner in plan.get("Plans", ()):
        yield from scanned(inner)


@pytest.mark.parametrize(("file", "name"), STATEMENTS)
def test_no_statement_reads_a_table_whole(many: Engine, file: str, name: str) -> None:
    statement = queries(file)[name]
    wanted = {word: VALUES[word] for word in re.findall(r"(?<!:):([a-z_0-9]+)", statement)}
    with many.begin() as session:
        [plan] = session.execute(text(f"EXPLAIN (FORMAT JSON) {statement}"), wanted).scalar_one()
        found = GROWING & set(scanned(plan["Plan"]))
    assert not found, json.dumps(plan, indent=1)


def test_the_last_acting_run_is_found_among_all_others(many: Engine) -> None:
    newest = PostgresRuns(many).newest(["cleanup_failed_jobs", "job-1", "never"])
    assert [run.id for run in newest if run.job == "cleanup_failed_jobs"] == ["mine-refused", "mine-verified"]
    assert next(run.id for run in newest if run.job == "job-1") == f"run-{ROWS - 9}"


def test_one_night_reads_as_much_as_it_removes(many: Engine) -> None:
    """The first thousand of each, without the rest: a page at a time."""
    records = PostgresRecords(many)
    runs = records.old_runs(BEFORE)
    assert next(runs).run.id == "mine-verified"
    assert [next(records.old_rows(table, BEFORE)).count for table, _ in TABLES] == [1000] * len(TABLES)
