"""What of cold data is shown to people."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Column, Table

from storage.cli.output import out, shown, size
from storage.cold.model import SavingsLine
from storage.cold.savings import Tiers, money, total
from storage.core.tiers import ColdSettings

LEAST = 0.005  # of money a month; less would be shown as nothing


def show_savings(
    lines: Sequence[SavingsLine], tiers: Tiers, cold_settings: ColdSettings, by: str = "class"
) -> None:
    """The ledger by group with its sum, then what lies in which tier, then the money where prices are set."""
    numbers = ("compressed", "before", "after", "left behind", "saved", "not worth it")
    table = Table(
        by,
        *(Column(name, justify="right") for name in numbers),
        "mostly because",
        title="Saved by compressing",
    )
    table.title_justify = "left"
    for line in (*lines, total(lines)):
        why = max(line.reasons, key=lambda one: line.reasons[one], default="")
        skipped = f"{line.skipped:,} ({size(line.skipped_bytes)})" if line.skipped else ""
        amounts = (size(line.before), size(line.after), size(line.left_behind), _signed(line.saved))
        table.add_row(shown(line.group), f"{line.objects:,}", *amounts, skipped, shown(why))
    out.print(table)
    _show_tiers(tiers)
    worth = money(lines, tiers, cold_settings)
    if worth and abs(worth.month) >= LEAST:
        out.print(
            f"A month costs {worth.month:,.2f} {cold_settings.currency} less: "
            f"{worth.compressed:,.2f} by compressing, "
            f"{worth.moved:,.2f} by moving."
        )


def _show_tiers(tiers: Tiers) -> None:
    if tiers:
        table = Table("tier", "", Column("objects", justify="right"), Column("bytes", justify="right"))
        words = {"held": "there", "asked": "on their way", "stuck": "[red]stuck[/]"}
        for (tier, state), held in sorted(tiers.items()):
            table.add_row(tier, words.get(state, state), f"{held.count:,}", size(held.bytes))
        out.print(table)


def _signed(count: int) -> str:
    """Bytes saved; less than nothing where older versions outweigh it."""
    return size(count) if count >= 0 else f"-{size(-count)}"
