"""What ``storage presign`` does, and its part of the parser."""

from __future__ import annotations

from argparse import Namespace
from datetime import timedelta
from typing import Any

from storage.cli import output
from storage.cli.common import add_verb, settings
from storage.core.errors import ObjectMissing
from storage.core.model import ObjectKey
from storage.installation import open_installation
from storage.presigned import links


def add_parser(verbs: Any) -> None:
    """``storage presign``."""
    about = "a link that opens an object without keys; counts as a read, which keeps it from going cold"
    one = add_verb(verbs, "presign", about, presign)
    one.add_argument("key", metavar="KEY")
    one.add_argument("--minutes", type=float, default=60, metavar="N", help="how long it holds (60)")


def presign(args: Namespace) -> int:
    chosen, key = settings(), ObjectKey(args.key)
    with open_installation(chosen) as stores:
        if stores.objects.head(key) is None:
            raise ObjectMissing(key)
        signer = links(chosen, lambda given: stores.cold.touch([given], stores.clock()))
        url = signer.url(key, timedelta(minutes=args.minutes))
    if args.json:
        output.emit_json({"key": key, "url": url, "minutes": args.minutes})
    else:
        output.out.print(url, soft_wrap=True, markup=False, highlight=False)
    return 0
