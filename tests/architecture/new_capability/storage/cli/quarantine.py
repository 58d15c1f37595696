"""Implement ``storage quarantine`` and its part of the parser."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import asdict
from typing import Any

from storage.cli import output
from storage.cli.common import add_verb, settings
from storage.installation import open_installation


def add_parser(verbs: Any) -> None:
    """Add ``storage quarantine``."""
    add_verb(verbs, "quarantine", "list the objects that were noted in quarantine", quarantine)


def quarantine(args: Namespace) -> int:
    with open_installation(settings()) as stores:
        notes = stores.quarantine.all()
    if args.json:
        output.emit_json([asdict(one) for one in notes])
    else:
        facts = ((one.key, f"{one.size:,} bytes, of {one.last_modified:%Y-%m-%d}") for one in notes)
        output.show_facts("In quarantine", facts)
    return 0
