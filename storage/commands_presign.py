"""What ``storage presign`` does, and its part of the parser."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from datetime import timedelta
from typing import Any

from storage import commands, connect, console
from storage.errors import ObjectMissing
from storage.model import ObjectKey


def add_parser(verbs: Any) -> None:
    """``storage presign``."""
    about = "a link that opens an object without keys; counts as a read, which keeps it from going cold"
    one: ArgumentParser = verbs.add_parser("presign", help=about, description=about)
    one.add_argument("key", metavar="KEY")
    one.add_argument("--minutes", type=float, default=60, metavar="N", help="how long it holds (60)")
    one.add_argument("--json", action="store_true", help="one JSON document on stdout")
    one.set_defaults(does=presign)


def presign(args: Namespace) -> int:
    chosen, key = commands.settings(), ObjectKey(args.key)
    with connect.stores(chosen) as stores:
        if stores.objects.head(key) is None:
            raise ObjectMissing(key)
        links = connect.links(chosen, lambda given: stores.cold.touch([given], stores.clock()))
        url = links.url(key, timedelta(minutes=args.minutes))
    if args.json:
        console.emit_json({"key": key, "url": url, "minutes": args.minutes})
    else:
        console.out.print(url, soft_wrap=True, markup=False, highlight=False)
    return 0
