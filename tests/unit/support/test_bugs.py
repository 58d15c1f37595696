"""The table of seeded bugs: the text of each occurs once in the source, and its test exists."""

from __future__ import annotations

import ast
from functools import cache

from tests.faults.seeded import BUGS, REPOSITORY

NEEDED = 15


def test_there_are_enough_bugs() -> None:
    assert len(BUGS) >= NEEDED
    assert len({bug.name for bug in BUGS}) == len(BUGS)


def test_what_a_bug_replaces_is_there_once() -> None:
    found = {bug.name: (REPOSITORY / bug.file).read_text().count(bug.find) for bug in BUGS}
    assert {name: times for name, times in found.items() if times != 1} == {}


@cache
def functions(file: str) -> set[str]:
    """Return the names of the functions that a file defines."""
    return {
        node.name
        for node in ast.walk(ast.parse((REPOSITORY / file).read_text()))
        if isinstance(node, ast.FunctionDef)
    }


def test_the_named_test_is_there() -> None:
    named = {bug.name: bug.test.partition("[")[0].partition("::") for bug in BUGS}
    assert [name for name, (file, _, test) in named.items() if test not in functions(file)] == []
