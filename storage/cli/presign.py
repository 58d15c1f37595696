"""Command ``storage presign``."""

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
    """Add ``storage presign`` to the command-line parser."""
    about = (
        "create a presigned URL: a link that reads an object without keys; counts as a read (keeps it hot)"
    )
    command = add_verb(verbs, "presign", about, presign)
    command.add_argument("key", metavar="KEY")
    command.add_argument("--minutes", type=float, default=60, metavar="N", help="validity of the link (60)")


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
