"""docs/inventory.md: its ids are complete, and the files and tests that it names exist."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
STATES = {"**done**", "**partly**", "open", "note"}
ROWS = [
    [cell.strip() for cell in line.strip().strip("|").split("|")]
    for line in (PROJECT / "docs/inventory.md").read_text().splitlines()
    if re.match(r"\| (S\d-|C\d|B\d)", line)
]


def test_every_id_is_there_once() -> None:
    ids = [row[0] for row in ROWS]
    assert len(ids) == len(set(ids))
    for letter, count in (("C", 19), ("B", 43)):
        assert [one for one in ids if one[0] == letter] == [f"{letter}{n}" for n in range(1, count + 1)]
    documents = Counter(one.partition("-")[0] for one in ids if one[0] == "S")
    assert documents == {"S0": 38, "S1": 44, "S2": 24, "S3": 26, "S4": 114}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_a_line_is_true(row: list[str]) -> None:
    _, item, state, done_by, shown_by = row
    assert item and state in STATES
    assert bool(done_by) == state.startswith("**"), "what is done says by what, what is open by nothing"
    for named in re.findall(r"\b(?:storage|dags|plugins|sql|devstack|tests)/[\w/]+\.\w+", done_by):
        assert (PROJECT / named).is_file(), named
    file, _, test = shown_by.strip("`").partition("::")
    if file:
        assert (PROJECT / file).is_file(), file
        assert not test or re.search(rf"^\s*def {test}\(", (PROJECT / file).read_text(), re.MULTILINE), test
