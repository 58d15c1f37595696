"""Seeded bugs: each must make the test named with it fail.

A tenth of them is sampled by the day's date, or by ``FAULT_SEED``; ``make faults`` runs all of them.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.faults import draw, seeded
from tests.faults.cleanup.bugs import Bug
from tests.faults.seeded import BUGS, Copy

pytestmark = [pytest.mark.faults, pytest.mark.timeout(1200)]
DRAWN = draw.share(BUGS, 10)


@pytest.fixture(scope="module")
def copy() -> Iterator[Copy]:
    """A copy of the project in which the named tests pass."""
    with seeded.copied() as made:
        wrong = made.wrong_without_bugs(DRAWN)
        assert not wrong, wrong
        yield made


@pytest.mark.parametrize("bug", DRAWN, ids=lambda bug: bug.name)
def test_bug_is_noticed(bug: Bug, copy: Copy) -> None:
    print(f"FAULT_SEED={draw.seed()}: {len(DRAWN)} of {len(BUGS)} bugs drawn")
    why = copy.unnoticed(bug)
    assert not why, why


def test_every_named_test_is_there(copy: Copy) -> None:
    done = copy.run("--collect-only", *sorted({bug.test for bug in BUGS}))
    assert done.code == 0, done.output
