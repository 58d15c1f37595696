"""Reports of races: one whose rival never wins, or always, shows only half of what it should."""

from __future__ import annotations

import pytest

from tests.faults.race import Report


@pytest.mark.parametrize(
    ("rounds", "one_sided"),
    [
        ([], "never won"),
        ([(0, 1), (0, 1)], "never won"),
        ([(1, 1), (1, 1)], "always won"),
        ([(6, 6), (6, 6)], "always won"),
        ([(1, 1), (0, 1)], ""),
        ([(3, 6)], ""),
    ],
)
def test_a_race_is_one_sided_when_the_rival_never_wins_or_never_loses(
    rounds: list[tuple[int, int]], one_sided: str
) -> None:
    report = Report("a race")
    for won, of in rounds:
        report.count(won, of)
    assert one_sided in report.one_sided
    assert bool(report.one_sided) == bool(one_sided)


def test_a_race_that_its_rival_has_to_win_is_not_one_sided() -> None:
    assert Report("just before the write", rounds=3, won=3).one_sided == ""
