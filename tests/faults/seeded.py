"""Seeded bugs: each is put into a copy of the project, where the test named with it must fail."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from devstack.objectstore import ministack_program
from tests.faults import bugs_connections
from tests.faults.backup import bugs as bugs_backup
from tests.faults.backup import bugs_restore
from tests.faults.cleanup import bugs, bugs_records, bugs_refusals, bugs_worlds
from tests.faults.cleanup.bugs import Bug
from tests.faults.cold import bugs as bugs_cold
from tests.faults.cold import bugs_compress, bugs_tiers
from tests.faults.lifecycle import bugs as bugs_lifecycle
from tests.support import servers

REPOSITORY = Path(__file__).resolve().parents[2]
COPIED = ("storage", "sql", "tests", "devstack", "dags", "plugins", "pyproject.toml")
BUGS = (
    *(*bugs.BUGS, *bugs_worlds.BUGS, *bugs_refusals.BUGS, *bugs_records.BUGS, *bugs_connections.BUGS),
    *(*bugs_backup.BUGS, *bugs_restore.BUGS),
    *(*bugs_tiers.BUGS, *bugs_lifecycle.BUGS, *bugs_compress.BUGS, *bugs_cold.BUGS),
)
SECONDS, ALL_OF_THEM = 180, 900
_instants = count(1_000_000_000)


@dataclass(frozen=True)
class Outcome:
    """Result of a pytest run; ``code`` is None after a timeout."""

    code: int | None
    output: str


@dataclass(frozen=True)
class Copy:
    """A copy of the project, and a process that runs tests in it."""

    folder: Path
    runner: subprocess.Popen[str]

    def run(self, *arguments: str, seconds: float = SECONDS) -> Outcome:
        assert self.runner.stdin and self.runner.stdout
        print(json.dumps({"arguments": arguments, "seconds": seconds}), file=self.runner.stdin, flush=True)
        answer = self.runner.stdout.readline()
        return Outcome(**json.loads(answer)) if answer else Outcome(None, "the runner of the tests died")

    def wrong_without_bugs(self, chosen: Sequence[Bug]) -> str:
        """Return the failure of the named tests in the unmodified copy; empty when they pass."""
        done = self.run(*sorted({bug.test for bug in chosen}), seconds=ALL_OF_THEM)
        return "" if done.code == 0 else f"without any bug (exit {done.code}):\n{done.output}"

    def unnoticed(self, bug: Bug) -> str:
        """Return why the bug counts as not noticed; empty when its test fails."""
        path = self.folder / bug.file
        right = path.read_text()
        if (times := right.count(bug.find)) != 1:
            return f"{bug.file} holds {bug.find!r} {times} times, not once"
        replace(path, right.replace(bug.find, bug.put))
        try:
            done = self.run(bug.test)
        finally:
            replace(path, right)
        return "" if done.code == 1 else f"{bug.test} did not fail (exit {done.code}):\n{done.output}"


def replace(path: Path, text: str) -> None:
    """Write a module with an unused mtime, or Python would reuse bytecode compiled within the same second."""
    path.write_text(text)
    instant = next(_instants)
    os.utime(path, (instant, instant))


@contextmanager
def copied() -> Iterator[Copy]:
    """Yield a copy of the project whose tests start separate servers, so that no bug affects other tests."""
    with tempfile.TemporaryDirectory(prefix="seeded-") as home:
        folder, started = Path(home, "project"), Path(home, "servers")
        started.mkdir(mode=0o700)
        _copy(folder)
        command = [sys.executable, "-m", "tests.faults.bug_runner"]
        runner = subprocess.Popen(
            command, cwd=folder, env=_environment(started), text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        try:
            yield Copy(folder, runner)
        finally:
            runner.kill()
            runner.communicate()
            servers.close_folder(started)


def _copy(folder: Path) -> None:
    folder.mkdir()
    for name in COPIED:
        source = REPOSITORY / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / name)


def _environment(started: Path) -> Mapping[str, str]:
    env = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "STORAGE_"))}
    env["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # plugins are half of the start-up time
    env |= {"MINISTACK_BIN": str(program)} if (program := ministack_program()) else {}
    return env | {servers.FOLDER: str(started)}
