"""Money: the savings of a month, and the cost of leaving a tier too early."""

from __future__ import annotations

from datetime import timedelta

import pytest

from storage.cold.model import SavingsLine
from storage.cold.savings import GIB, early_deletion, money, total
from storage.core.model import Totals
from storage.core.tiers import ColdSettings, Price

DAY = timedelta(days=1)
COLD_SETTINGS = ColdSettings(prices={"hot": Price(0.02), "cold": Price(0.005, 90 * DAY)}, currency="EUR")
LINES = [SavingsLine("a", 3, 10 * GIB, 4 * GIB, 0, 2, 100), SavingsLine("b", 1, 2 * GIB, GIB, 2 * GIB)]


def test_older_versions_are_counted_against_the_saving() -> None:
    assert [line.saved for line in LINES] == [6 * GIB, -GIB]
    assert (total(LINES).saved, total(LINES).objects, total(LINES).skipped) == (5 * GIB, 4, 2)


def test_only_what_has_arrived_is_worth_money() -> None:
    held = {("cold", "held"): Totals(5, 100 * GIB), ("cold", "asked"): Totals(9, 900 * GIB)}
    worth = money(LINES, held, COLD_SETTINGS)  # type: ignore[arg-type]
    assert worth
    assert (worth.compressed, worth.moved) == (pytest.approx(0.1), pytest.approx(1.5))
    assert worth.month == pytest.approx(1.6)


def test_no_price_no_money() -> None:
    assert money(LINES, {}, ColdSettings()) is None
    assert money(LINES, {("warm", "held"): Totals(1, GIB)}, COLD_SETTINGS).moved == 0  # type: ignore[union-attr]


@pytest.mark.parametrize(("held", "costs"), [(0, 1.5), (30, 1.0), (90, 0), (400, 0)])
def test_leaving_early_costs_the_rest_of_the_least_time(held: int, costs: float) -> None:
    assert early_deletion(100 * GIB, held * DAY, COLD_SETTINGS.prices["cold"]) == pytest.approx(costs)
