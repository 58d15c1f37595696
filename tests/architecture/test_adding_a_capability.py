"""Cost of adding a capability: its own files, and a few lines in four shared files."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.architecture import checkers
from tests.architecture.added_capability import (
    NAME,
    TEMPLATES,
    add_capability,
    changed_lines,
    copy_project,
    files,
)

#: The most lines that a shared file may need for one more capability.
SHARED = {
    "pyproject.toml": 1,  # its name in the layer of capabilities
    "storage/catalog.py": 2,  # an import, its jobs
    "storage/installation.py": 4,  # two imports, a base class, its members
    "storage/cli/parser.py": 2,  # an import, its command
}
OWN = (
    f"storage/{NAME}/",
    f"storage/cli/{NAME}.py",
    f"dags/{NAME}_dag.py",
    f"sql/migrations/9000_{NAME}.sql",
    f"sql/queries/{NAME}.sql",
    f"tests/unit/{NAME}/",
)
JOB = "note_quarantined"
#: ``python -m storage jobs --json`` and the help of the new command, in one interpreter.
COMMAND_LINE = f"""
import storage.cli.parser
storage.cli.parser.main(["jobs", "--json"])
storage.cli.parser.main(["{NAME}", "--help"])
"""
#: Import the DAG file as Airflow does, then print its tasks.
PARSE = f"""
import json, runpy
dag = runpy.run_path("dags/{NAME}_dag.py")["{NAME}"]()
print("TASKS", json.dumps(sorted(dag.task_ids)))
"""


class Copy(NamedTuple):
    """A copy of the project with the capability added, and its files before and after."""

    folder: Path
    before: dict[str, str]
    after: dict[str, str]


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Copy:
    folder = tmp_path_factory.mktemp("new-capability") / "project"
    copy_project(folder)
    before = files(folder)
    add_capability(folder)
    return Copy(folder, before, files(folder))


def succeeds(done: subprocess.CompletedProcess[str]) -> str:
    """Return a checker's output; fail with all of it when the checker reported an error."""
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_shared_files_change_by_a_few_lines_and_all_else_is_its_own(copy: Copy) -> None:
    assert changed_lines(copy.before, copy.after) == SHARED
    added = copy.after.keys() - copy.before.keys()
    assert [name for name in sorted(added) if not name.startswith(OWN)] == []
    assert all(any(name.startswith(own) for name in added) for own in OWN), "each kind is there"
    assert not (TEMPLATES / "plugins").exists(), "a job of three tasks needs no plugin module"


def test_layers_are_kept(copy: Copy) -> None:
    code = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    assert "0 broken" in succeeds(checkers.run(copy.folder, "-c", code, "--no-cache"))


def test_types_are_right(copy: Copy, tmp_path: Path) -> None:
    assert "no issues" in succeeds(checkers.mypy(copy.folder, tmp_path))


def test_the_style_is_kept(copy: Copy) -> None:
    succeeds(checkers.run(copy.folder, "-m", "ruff", "check", "--no-cache", "."))
    succeeds(checkers.run(copy.folder, "-m", "ruff", "format", "--no-cache", "--check", "."))


def test_the_command_line_shows_the_job_and_has_the_command(copy: Copy) -> None:
    shown = succeeds(checkers.run(copy.folder, "-c", COMMAND_LINE))
    jobs, end = json.JSONDecoder().raw_decode(shown)
    assert {"name": JOB, "parameters": {"days_old": 30}}.items() <= jobs[-1].items()
    assert "noted in quarantine" in shown[end:]


def test_the_dag_file_has_the_three_tasks_of_the_job(copy: Copy, tmp_path: Path) -> None:
    paths = f"{copy.folder}:{copy.folder / 'plugins'}"
    done = checkers.run(copy.folder, "-c", PARSE, PYTHONPATH=paths, AIRFLOW_HOME=str(tmp_path))
    (line,) = [line for line in succeeds(done).splitlines() if line.startswith("TASKS ")]
    tasks = json.loads(line.removeprefix("TASKS "))
    assert tasks == [f"{JOB}.{step}" for step in ("apply", "approve", "plan")]


def test_its_own_tests_pass(copy: Copy) -> None:
    line = ("-m", "pytest", "--noconftest", "-p", "no:cacheprovider", f"tests/unit/{NAME}")
    assert "2 passed" in succeeds(checkers.run(copy.folder, *line, PYTEST_DISABLE_PLUGIN_AUTOLOAD="1"))
