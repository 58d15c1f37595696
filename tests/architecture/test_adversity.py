"""docs/adversity.md: every row names a test, and every named test exists."""

from __future__ import annotations

import pytest

from tests.support import adversity
from tests.support.adversity import Row

FILES = ["tests/unit/test_a.py", "tests/unit/b/test_c.py", "tests/integration/test_c.py"]


def test_every_named_test_exists() -> None:
    assert adversity.rows()


def test_cells_are_those_below_the_heading() -> None:
    first = "| what | a | test |\n|---|:-:|---|\n| one \\| two | x | `t` |\n"
    second = "| test | b |\n|---|---|\n| `u` | y |\n"
    assert list(adversity.cells(f"{first}\nProse.\n\n{second}")) == [("one \\| two", "`t`"), ("`u`", "`u`")]


def test_a_folder_may_be_left_out_where_the_name_is_the_only_one() -> None:
    assert adversity.whole("test_a.py::test_x[y]", FILES) == "tests/unit/test_a.py::test_x[y]"
    for wrong in ("test_c.py", "test_d.py", "tests/test_a.py"):
        with pytest.raises(ValueError, match="folder"):
            adversity.whole(wrong, FILES)


@pytest.mark.parametrize(
    ("found", "outcome"),
    [
        ({"f.py::test_x[a]": "passed", "f.py::test_x[b]": "skipped"}, "passed"),
        ({"f.py::test_x[a]": "passed", "f.py::test_x[b]": "failed"}, "failed"),
        ({"f.py::test_x[a]": "skipped"}, "failed"),
        ({"f.py::test_xy": "passed"}, "failed"),
        ({}, "failed"),
    ],
)
def test_a_row_passes_when_all_its_tests_ran_and_passed(found: dict[str, str], outcome: str) -> None:
    assert adversity.judged(Row("what", ("f.py::test_x",)), found)[0] == outcome
