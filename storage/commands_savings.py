"""What ``storage savings`` does, and its part of the parser."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from dataclasses import asdict
from datetime import timedelta
from typing import Any, get_args

from storage import commands, connect, console, console_cold
from storage.cold_ports import Group
from storage.savings import money, total


def add_parser(verbs: Any) -> None:
    """``storage savings``."""
    about = "what compressing and moving saved, as it was measured; what was not worth it, and why"
    one: ArgumentParser = verbs.add_parser("savings", help=about, description=about)
    one.add_argument("--by", choices=get_args(Group), default="class")
    one.add_argument("--days", type=float, metavar="N", help="only of the last N days")
    one.add_argument("--json", action="store_true", help="one JSON document on stdout")
    one.set_defaults(does=savings)


def savings(args: Namespace) -> int:
    with connect.stores(commands.settings()) as stores:
        since = stores.clock() - timedelta(days=args.days) if args.days is not None else None
        lines, tiers, site = stores.cold.savings(args.by, since), stores.cold.tiers(), stores.site
    if not args.json:
        console_cold.show_savings(lines, tiers, site, args.by)
        return 0
    worth = money(lines, tiers, site)
    console.emit_json(
        {
            "lines": [asdict(line) | {"saved": line.saved} for line in lines],
            "total": asdict(total(lines)) | {"saved": total(lines).saved},
            "tiers": [
                {"tier": tier, "state": state, "objects": held.count, "bytes": held.bytes}
                for (tier, state), held in sorted(tiers.items())
            ],
            "money_a_month": asdict(worth) | {"currency": site.currency} if worth else None,
        }
    )
    return 0
