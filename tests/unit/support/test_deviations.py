"""Known deviations of stores: each names a contract test that is there."""

from __future__ import annotations

import re
from pathlib import Path

from tests.contract import deviations

CONTRACT = Path(deviations.__file__).parent


def test_every_named_test_is_there() -> None:
    there = {
        name for file in CONTRACT.glob("*/test_*.py") for name in re.findall(r"def (\w+)", file.read_text())
    }
    tables = (*deviations.KNOWN.values(), *deviations.SOMETIMES.values())
    named = {test.partition("[")[0] for table in tables for test in table}
    assert named
    assert named <= there
