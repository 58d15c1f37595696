"""Command ``storage savings``."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import asdict
from datetime import timedelta
from typing import Any, get_args

from storage.cli import output, output_cold
from storage.cli.common import add_verb, settings
from storage.cold.ports import Group
from storage.cold.savings import money, total
from storage.installation import open_installation


def add_parser(verbs: Any) -> None:
    """Add ``storage savings`` to the command-line parser."""
    about = "show the measured savings of compression and tiering, and what was not worth it, with reasons"
    command = add_verb(verbs, "savings", about, savings)
    command.add_argument("--by", choices=get_args(Group), default="class")
    command.add_argument("--days", type=float, metavar="N", help="only the last N days")


def savings(args: Namespace) -> int:
    with open_installation(settings()) as stores:
        since = stores.clock() - timedelta(days=args.days) if args.days is not None else None
        lines, tiers, cold_settings = (
            stores.cold.savings(args.by, since),
            stores.cold.tiers(),
            stores.cold_settings,
        )
    if not args.json:
        output_cold.show_savings(lines, tiers, cold_settings, args.by)
        return 0
    worth = money(lines, tiers, cold_settings)
    output.emit_json(
        {
            "lines": [asdict(line) | {"saved": line.saved} for line in lines],
            "total": asdict(total(lines)) | {"saved": total(lines).saved},
            "tiers": [
                {"tier": tier, "state": state, "objects": held.count, "bytes": held.bytes}
                for (tier, state), held in sorted(tiers.items())
            ],
            "money_a_month": asdict(worth) | {"currency": cold_settings.currency} if worth else None,
        }
    )
    return 0
