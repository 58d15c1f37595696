"""Terminal output of cold storage: savings and tiers."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Column, Table

from storage.cli.output import out, shown, size
from storage.cold.model import SavingsLine
from storage.cold.savings import Tiers, money, total
from storage.core.tiers import ColdSettings

LEAST = 0.005  # currency units a month; a smaller amount would be printed as 0.00


def show_savings(
    lines: Sequence[SavingsLine], tiers: Tiers, cold_settings: ColdSettings, by: str = "class"
) -> None:
    """Print the ledger by group with its total, the contents of the tiers and, with prices set, the money."""
    numbers = ("compressed", "before", "after", "left behind", "saved", "not worth it")
    table = Table(
        by,
        *(Column(name, justify="right") for name in numbers),
        "main reason",
        title="Saved by compression",
    )
    table.title_justify = "left"
    for line in (*lines, total(lines)):
        why = max(line.reasons, key=lambda reason: line.reasons[reason], default="")
        skipped = f"{line.skipped:,} ({size(line.skipped_bytes)})" if line.skipped else ""
        amounts = (size(line.before), size(line.after), size(line.left_behind), _signed(line.saved))
        table.add_row(shown(line.group), f"{line.objects:,}", *amounts, skipped, shown(why))
    out.print(table)
    _show_tiers(tiers)
    worth = money(lines, tiers, cold_settings)
    if worth and abs(worth.month) >= LEAST:
        out.print(
            f"Saved per month: {worth.month:,.2f} {cold_settings.currency}, "
            f"of it {worth.compressed:,.2f} by compression and "
            f"{worth.moved:,.2f} by tiering."
        )


def _show_tiers(tiers: Tiers) -> None:
    if tiers:
        table = Table("tier", "", Column("objects", justify="right"), Column("bytes", justify="right"))
        words = {"held": "stored", "asked": "in transition", "stuck": "[red]stuck[/]"}
        for (tier, state), held in sorted(tiers.items()):
            table.add_row(tier, words.get(state, state), f"{held.count:,}", size(held.bytes))
        out.print(table)


def _signed(count: int) -> str:
    """Format bytes saved; negative when older versions take up more than was saved."""
    return size(count) if count >= 0 else f"-{size(-count)}"
