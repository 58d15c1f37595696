"""Savings of cold storage: measured bytes, and money if prices are set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from storage.cold.model import SavingsLine, TierState
from storage.core.model import Totals
from storage.core.tiers import ColdSettings, Price, Tier

GIB = 1 << 30
MONTH = timedelta(days=30)
Tiers = Mapping[tuple[Tier, TierState], Totals]


@dataclass(frozen=True, slots=True)
class Money:
    """Monthly savings in the currency of the settings."""

    compressed: float
    moved: float

    @property
    def month(self) -> float:
        return self.compressed + self.moved


def total(lines: Sequence[SavingsLine]) -> SavingsLine:
    """Sum all groups into one line."""
    return SavingsLine(
        "all",
        sum(line.objects for line in lines),
        sum(line.before for line in lines),
        sum(line.after for line in lines),
        sum(line.left_behind for line in lines),
        sum(line.skipped for line in lines),
        sum(line.skipped_bytes for line in lines),
    )


def money(lines: Sequence[SavingsLine], tiers: Tiers, cold_settings: ColdSettings) -> Money | None:
    """Price saved bytes at the hot price, and moved bytes at the difference; None without a hot price."""
    hot = cold_settings.prices.get("hot")
    if hot is None:
        return None
    moved = 0.0
    for (tier, state), held in tiers.items():
        if state == "held" and tier in cold_settings.prices:
            moved += held.bytes / GIB * (hot.per_gib_month - cold_settings.prices[tier].per_gib_month)
    return Money(total(lines).saved / GIB * hot.per_gib_month, moved)


def early_deletion(size: int, held_for: timedelta, price: Price) -> float:
    """Return the cost of leaving a tier before its minimum storage time: the remainder is still billed."""
    left = max(timedelta(), price.minimum - held_for)
    return size / GIB * price.per_gib_month * (left / MONTH)
