"""Seeded bugs in restores that the tests must detect; as :mod:`tests.faults.cleanup.bugs`."""

from __future__ import annotations

from tests.faults.cleanup.bugs import Bug

BUGS = (
    Bug(
        "a database counts as empty while it holds no relation",
        "storage/backup/postgres/contents.py",
        "WHERE classid <> 'pg_largeobject_metadata'::regclass",
        "WHERE classid = 'pg_class'::regclass",
        "tests/integration/backup/test_not_empty.py::test_every_kind_of_thing_counts",
    ),
    Bug(
        "large objects do not count",
        "storage/backup/postgres/contents.py",
        "UNION SELECT 'pg_largeobject'::regclass, oid FROM pg_largeobject_metadata",
        "",
        "tests/integration/backup/test_not_empty.py::test_a_database_without_tables_is_not_replaced"
        "[large-ministack]",
    ),
)
