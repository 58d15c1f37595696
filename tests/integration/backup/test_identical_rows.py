"""Rows of tables without a primary key: identical ones are counted."""

from __future__ import annotations

from collections import Counter

from devstack.postgres import Postgres
from storage.backup.database import backup_database
from storage.backup.restore.selective import restore_rows
from tests.conftest import Place
from tests.support.plain_owner import ONE_STORE, context_of, execute, kept_database

EVENTS = "public.events"


@ONE_STORE
def test_identical_rows_are_counted(place: Place, postgres_server: Postgres) -> None:
    """As many come back as are missing, also of rows with NULLs; no live row goes."""
    with kept_database(postgres_server) as url, context_of(place, url) as context:
        execute(
            url, "CREATE TABLE events (job_id text, n int, copy text)",
            "INSERT INTO events SELECT 'key-a-1', 1, 'x' FROM generate_series(1, 3)",
            "INSERT INTO events SELECT 'key-a-1', NULL, NULL FROM generate_series(1, 4)",
            "INSERT INTO events VALUES ('key-a-1', 2, ''), ('key-a-1', 3, 'y'), ('key-b-1', 1, 'x')",
        )  # fmt: skip
        id = backup_database(context).id
        execute(
            url, "DELETE FROM events",
            "INSERT INTO events VALUES ('key-a-1', 1, 'x'), ('key-a-1', NULL, NULL), ('key-a-1', NULL, NULL)",
            "INSERT INTO events VALUES ('key-a-1', 3, 'y'), ('key-a-1', 3, 'y')",
        )  # fmt: skip
        found = {one.table: one for one in restore_rows(context, id, job="key-a-1", apply=True)}[EVENTS]
        assert Counter(found.missing) == {"key-a-1, 1, x": 2, "key-a-1": 2, "key-a-1, 2, ": 1}
        assert (found.same, found.inserted) == (4, 5)
        rows = Counter(execute(url, "SELECT n, copy FROM events"))
        assert rows == {(1, "x"): 3, (None, None): 4, (2, ""): 1, (3, "y"): 2}
        again = {one.table: one for one in restore_rows(context, id, api_key="key-a", apply=True)}[EVENTS]
        assert (again.missing, again.same, again.inserted) == ((), 9, 0)
