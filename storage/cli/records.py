"""``storage deleted``: what became of a key that is no longer there."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import asdict
from typing import Any

from storage.cli import output
from storage.cli.common import add_verb, settings
from storage.installation import open_installation
from storage.records.model import Deletion
from storage.records.search import deleted as search


def add_parser(verbs: Any) -> None:
    about = "show when, by which run and why an object or file was deleted"
    add_verb(verbs, "deleted", about, deleted).add_argument("subject", metavar="KEY|PATH")


def deleted(args: Namespace) -> int:
    with open_installation(settings()) as stores:
        found, unreadable = search(args.subject, stores)
        days = stores.retention.audit.days
    if args.json:
        output.emit_json({"deletions": [asdict(one) for one in found], "unreadable_plans": unreadable})
        return 0
    for uri in unreadable:
        output.err.print(f"Not searched, because it is not the plan that was recorded: {uri}", soft_wrap=True)
    for one in found:
        output.out.print(_line(one), soft_wrap=True)
    if not found:
        output.out.print(f"No run of the last {days} days deleted {output.shown(args.subject)}.")
    return 0


def _line(one: Deletion) -> str:
    doubt = (
        ""
        if one.outcome == "done"
        else "   (perhaps: an attempt may have been killed before it recorded this)"
    )
    version = f", version {one.version}" if one.version else ""
    return f"{one.at[:19]} UTC   {one.verb}   {one.run}   {output.shown(one.reason)}{version}{doubt}"
