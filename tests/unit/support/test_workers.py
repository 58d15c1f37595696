"""The table of tests that share a worker: the files that it names exist, and none is missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.workers import FILES, WHOLE_SERVER, group_of, order_of

ROOT = Path(__file__).resolve().parents[3]
#: Helpers whose databases and roles have fixed names, or that look at all databases.
WIDE = (
    "support.plain_owner",
    "support.restored_database",
    "kept_database",
    "ALTER SYSTEM",
    "role(",
    "database(",
)


def test_its_files_are_there() -> None:
    assert [name for name in FILES if not (ROOT / name).exists()] == []


def test_who_uses_the_whole_database_server_is_in_it() -> None:
    files = (ROOT / "tests" / "integration").rglob("test_*.py")
    wide = {
        path.relative_to(ROOT / "tests" / "integration").with_suffix("").as_posix()
        for path in files
        if "postgres_server" in (text := path.read_text()) and any(word in text for word in WIDE)
    }
    assert wide <= {*WHOLE_SERVER}


@pytest.mark.parametrize(
    ("nodeid", "group"),
    [
        ("tests/e2e/test_reap.py::test_a[x::y]", "airflow"),
        ("tests/dags/test_parsing.py::test_b", "dags"),
        ("tests/integration/backup/test_swap.py::test_c", "whole database server"),
        ("tests/contract/cold/test_transition.py::test_d", "remote tier"),
        ("tests/unit/core/test_model.py::test_e", "tests/unit/core/test_model.py"),
    ],
)
def test_group(nodeid: str, group: str) -> None:
    assert group_of(nodeid) == group


def test_the_longest_come_first() -> None:
    names = ["tests/unit/test_a.py::a", "tests/faults/test_b.py::b", "tests/e2e/test_c.py::c"]
    assert sorted(names, key=order_of) == [*reversed(names)]
