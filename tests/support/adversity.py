"""The tests that docs/adversity.md names: found, checked and run (``python -m tests.support.adversity``)."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

PROJECT = Path(__file__).resolve().parents[2]
PAGE = PROJECT / "docs/adversity.md"
COLUMN = "test"  # the heading of the column that names the tests
SECONDS = 20 * 60
WIDTH = 80
_TEST = re.compile(r"`((?:[\w/]+/)?test_\w+\.py(?:::\w+(?:\[[^`]*\])?)?)`")
_CELL = re.compile(r"(?<!\\)\|")


@dataclass(frozen=True)
class Row:
    """A row of the page: what happened, and the tests that show what holds now, named from the project."""

    what: str
    tests: tuple[str, ...]


def rows() -> list[Row]:
    """Read the page. Raises ValueError for a row that names no test, or one that is not there."""
    files = [str(file.relative_to(PROJECT)) for file in sorted(PROJECT.glob("tests/**/test_*.py"))]
    found = [Row(what, tuple(whole(test, files) for test in _TEST.findall(cell))) for what, cell in cells()]
    for row in found:
        if not row.tests:
            raise ValueError(f"the row {row.what!r} names no test")
        for file, _, name in (test.partition("[")[0].partition("::") for test in row.tests):
            if name and not re.search(rf"^def {name}\(", (PROJECT / file).read_text(), re.MULTILINE):
                raise ValueError(f"{file} has no test {name}")
    return found


def cells(text: str = "") -> Iterator[tuple[str, str]]:
    """Yield the first cell of each row of the page's tables, and its cell below the heading ``test``."""
    column = None
    for line in (text or PAGE.read_text()).splitlines():
        row = [cell.strip() for cell in _CELL.split(line.strip())[1:-1]]
        if not row:
            column = None
        elif column is None:
            column = row.index(COLUMN)
        elif set(line) - set("|-: "):
            yield row[0], row[column]


def whole(test: str, files: Sequence[str]) -> str:
    """Return the test with its file's folder, which may be left out where the name is the only one."""
    file, colons, name = test.partition("::")
    fitting = [one for one in files if one == file or ("/" not in file and one.endswith(f"/{file}"))]
    if len(fitting) != 1:
        raise ValueError(f"{test}: of {file} there are {len(fitting)}; name it with its folder")
    return f"{fitting[0]}{colons}{name}"


def outcomes(report: Path) -> dict[str, str]:
    """Return the outcome of each test in pytest's JUnit report: passed, failed, error or skipped."""
    found: dict[str, str] = {}
    for case in ElementTree.parse(report).iter("testcase"):
        test = f"{str(case.get('classname')).replace('.', '/')}.py::{case.get('name')}"
        states = {"failure": "failed"}
        outcome = next((states.get(one.tag, one.tag) for one in case if one.tag != "properties"), "passed")
        found[test] = outcome if found.get(test, "passed") in ("passed", "skipped") else found[test]
    return found


def judged(row: Row, found: Mapping[str, str]) -> tuple[str, list[str]]:
    """Return a row's outcome, and its tests that did not pass. A test that did not run has not passed."""
    wrong = []
    for test in row.tests:
        ran = {
            one: outcome for one, outcome in found.items() if re.match(rf"{re.escape(test)}($|\[|::)", one)
        }
        wrong += [f"{outcome} {one}" for one, outcome in ran.items() if outcome not in ("passed", "skipped")]
        wrong += [] if "passed" in ran.values() else [f"not run {test}"]
    return ("failed" if wrong else "passed"), wrong


def shown(row: Row, outcome: str, wrong: Sequence[str]) -> Iterator[str]:
    """Yield the lines of a row: at most 80 characters, but for the names of tests."""
    what = row.what if len(row.what) <= WIDTH - 8 else f"{row.what[: WIDTH - 11]}..."
    yield f"{outcome:8}{what}"
    yield from (f"        {one}" for one in wrong)


def run(tests: Sequence[str], report: Path) -> None:
    """Run the tests with pytest, for at most 20 minutes; then they are stopped with their servers."""
    options = ("-n", "auto", "--dist", "loadgroup", f"--junitxml={report}", "-o", "junit_family=xunit1")
    pytest = subprocess.Popen([sys.executable, "-m", "pytest", *options, *tests], cwd=PROJECT)
    try:
        pytest.wait(SECONDS)
    except BaseException as ended:
        pytest.send_signal(signal.SIGTERM)
        pytest.wait()
        if not isinstance(ended, subprocess.TimeoutExpired):
            raise
        print(f"stopped after {SECONDS // 60} minutes")


def main() -> int:
    page = rows()
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        run(sorted({test for row in page for test in row.tests}), report)
        found = outcomes(report) if report.exists() else {}
    judgements = [judged(row, found) for row in page]
    for row, (outcome, wrong) in zip(page, judgements, strict=True):
        print("\n".join(shown(row, outcome, wrong)))
    passed = sum(outcome == "passed" for outcome, _ in judgements)
    print(f"{passed} of {len(page)} rows passed")
    return 0 if passed == len(page) else 1


if __name__ == "__main__":
    sys.exit(main())
