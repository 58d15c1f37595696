"""The tests notice bugs: each of the seeded ones makes the test fail that is named with it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from itertools import count
from pathlib import Path

import pytest

from devstack.objectstore import ministack_program
from tests.faults import bugs, bugs_backup, bugs_cold, bugs_compress, bugs_lifecycle, bugs_tiers
from tests.faults.bugs import Bug

pytestmark = [pytest.mark.faults, pytest.mark.timeout(1200)]
REPOSITORY = Path(__file__).resolve().parents[2]
COPIED = ("storage", "sql", "tests", "devstack", "dags", "plugins", "pyproject.toml")
_OF_COLD_DATA = (*bugs_tiers.BUGS, *bugs_lifecycle.BUGS, *bugs_compress.BUGS, *bugs_cold.BUGS)
BUGS = (*bugs.BUGS, *bugs_backup.BUGS, *_OF_COLD_DATA)
NEEDED = 15
SECONDS, ALL_OF_THEM = 180, 900
_instants = count(1_000_000_000)


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package and its tests in a folder of their own, in which the named tests pass."""
    folder = tmp_path_factory.mktemp("seeded")
    for name in COPIED:
        source = REPOSITORY / name
        if source.is_dir():
            ignore = shutil.ignore_patterns("__pycache__")
            shutil.copytree(source, folder / name, ignore=ignore)
        else:
            shutil.copy(source, folder / name)
    done = run_tests(folder, *sorted({bug.test for bug in BUGS}), seconds=ALL_OF_THEM)
    assert done.returncode == 0, f"without any bug:\n{done.stdout}{done.stderr}"
    return folder


def run_tests(folder: Path, *tests: str, seconds: int = SECONDS) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests]
    env = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "STORAGE_"))}
    env["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # half of what a start costs
    env |= {"MINISTACK_BIN": str(program)} if (program := ministack_program()) else {}
    return subprocess.run(
        command, cwd=folder, env=env, capture_output=True, text=True, timeout=seconds, check=False
    )


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_bug_is_noticed(bug: Bug, copy: Path) -> None:
    path = copy / bug.file
    right = path.read_text()
    assert right.count(bug.find) == 1, (
        f"{bug.file} holds {bug.find!r} {right.count(bug.find)} times, not once"
    )
    replace(path, right.replace(bug.find, bug.put))
    try:
        done = run_tests(copy, bug.test)
    finally:
        replace(path, right)
    assert done.returncode == 1, (
        f"{bug.test} did not fail (exit {done.returncode}):\n{done.stdout}{done.stderr}"
    )


def replace(path: Path, text: str) -> None:
    """Write a module whose date no compiled one has: a change within a second would go unseen."""
    path.write_text(text)
    instant = next(_instants)
    os.utime(path, (instant, instant))


def test_there_are_enough_bugs() -> None:
    assert len(BUGS) >= NEEDED
    assert len({bug.name for bug in BUGS}) == len(BUGS)
