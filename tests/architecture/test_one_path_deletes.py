"""Single path for deletes: adapters define it, actions call it, and no other code in the package may."""

from __future__ import annotations

import ast
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
#: Modules that may delete: adapters (shared, or of one capability), verbs, and the fakes.
MAY = re.compile(r"storage/(\w+/)?(stores|testing|actions|s3|postgres)(/|\.py$)")
#: Names of calls, as ``x.name(...)`` or ``name(...)``, that delete. ``remove`` counts only on os or a path.
DELETES = {
    "abort", "abort_multipart_upload", "delete", "delete_bucket", "delete_object", "delete_objects",
    "delete_rows", "delete_run",
    "removedirs", "remove_bucket", "remove_object", "remove_objects", "rmdir", "rmtree", "truncate", "unlink",
}  # fmt: skip
_SQL = re.compile(r"\b(DELETE\s+FROM|TRUNCATE|DROP\s+(TABLE|SCHEMA|DATABASE|COLUMN|VIEW))\b", re.IGNORECASE)
#: The only statements of the SQL files that delete rows: cold pins, switches such as a lifted pause, and the
#: platform's own old records.
SQL_MAY = {
    "sql/queries/cold.sql": ["DELETE FROM maintenance.cold_pins"],
    "sql/queries/records.sql": [
        f"DELETE FROM maintenance.{table}"
        for table in ("audit", "batches", "claims", "runs", "tombstones", "uploads")
    ],
    "sql/queries/runs.sql": ["DELETE FROM maintenance.control"],
}


def calls(source: str) -> Iterator[tuple[int, str]]:
    """Yield line and name of each call that deletes, and the line of each string with SQL that deletes."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            name = getattr(node.func, "attr", None) or getattr(node.func, "id", "")
            of_os = name == "remove" and ast.unparse(node.func).startswith(("os.", "Path("))
            if name in DELETES or of_os:
                yield node.lineno, name
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and _SQL.search(node.value):
            yield node.lineno, "SQL"


def offenders(root: Path) -> list[str]:
    """List the deletes in the package and the DAGs outside the modules that may delete."""
    found = []
    for top in ("storage", "dags", "plugins"):
        for path in sorted((root / top).rglob("*.py")):
            name = path.relative_to(root).as_posix()
            if not MAY.match(name):
                found += [f"{name}:{line} {call}" for line, call in calls(path.read_text())]
    return found


def sql_deletes(root: Path) -> dict[str, list[str]]:
    """Return the deletes and drops of the SQL files with what follows them, by file, without comments."""
    found = {}
    for path in sorted((root / "sql").rglob("*.sql")):
        script = re.sub(r"--[^\n]*", "", path.read_text())
        script = re.sub(r"BEFORE UPDATE OR DELETE|\bOR TRUNCATE\b|BEFORE TRUNCATE", "", script)
        script = " ".join(script.split())
        if deletes := [script[match.start() :] for match in _SQL.finditer(script)]:
            found[path.relative_to(root).as_posix()] = deletes
    return found


def test_nobody_else_deletes() -> None:
    assert offenders(ROOT) == []


def test_the_one_path_is_there() -> None:
    """The check is effective: in the modules that may delete it does find deletes."""
    inside = {
        call
        for path in (ROOT / "storage").rglob("*.py")
        if MAY.match(path.relative_to(ROOT).as_posix()) and "testing" not in path.parts
        for _, call in calls(path.read_text())
    }
    assert {"delete", "unlink", "rmdir", "abort"} <= inside


def test_sql_takes_away_nothing_of_the_pipeline() -> None:
    found = sql_deletes(ROOT)
    assert found.keys() == SQL_MAY.keys()
    for name, deletes in found.items():
        others = [one[:60] for one in deletes if not one.startswith(tuple(SQL_MAY[name]))]
        assert not others, (name, others)


@pytest.mark.parametrize(
    ("where", "line"),
    [
        ("storage/cleanup/extra.py", "def f(store): store.delete([])"),
        ("storage/engine/extra.py", "import os\nos.remove('x')"),
        ("storage/extra.py", "from pathlib import Path\nPath('x').unlink()"),
        ("storage/cli/extra.py", "import shutil\nshutil.rmtree('x')"),
        ("dags/extra.py", "def f(client): client.remove_object('bucket', 'key')"),
        ("storage/engine/more.py", "def f(s): s.execute('delete  from jobs')"),
    ],
)
def test_a_seeded_delete_is_found(tmp_path: Path, where: str, line: str) -> None:
    """The check fails on a copy of the package with one delete added."""
    for top in ("storage", "dags", "plugins"):
        shutil.copytree(ROOT / top, tmp_path / top, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / where).write_text(f"{line}\n")
    assert [one.partition(":")[0] for one in offenders(tmp_path)] == [where]


@pytest.mark.parametrize(
    "delete", ["DELETE FROM jobs;", "DELETE\n  FROM jobs;", "SELECT 1; delete from jobs;"]
)
def test_seeded_sql_is_found(tmp_path: Path, delete: str) -> None:
    shutil.copytree(ROOT / "sql", tmp_path / "sql")
    with (tmp_path / "sql" / "queries" / "jobs.sql").open("a") as script:
        script.write(f"\n-- name: purge\n{delete}\n")
    (found,) = sql_deletes(tmp_path)["sql/queries/jobs.sql"]
    assert found.upper().startswith("DELETE FROM JOBS;")
