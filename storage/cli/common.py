"""Helpers shared by several commands: parsers, settings, instants, parameters, run output."""

from __future__ import annotations

import getpass
import os
from argparse import ArgumentParser, Namespace
from datetime import UTC, datetime, timedelta
from typing import Any

from storage import catalog
from storage.backup import authentication, drill, rebuild
from storage.backup.errors import NoSuchBackup
from storage.backup.model import BucketBackup
from storage.cli import output
from storage.core.clock import utcnow
from storage.core.errors import UsageError
from storage.core.model import Run
from storage.core.ports import EngineStores, ObjectStore
from storage.core.settings import Settings
from storage.engine.plan import read


def add_verb(verbs: Any, name: str, help: str, does: object) -> ArgumentParser:
    """Add a command to the subparsers ``verbs``; ``does`` is its handler function."""
    command: ArgumentParser = verbs.add_parser(name, help=help, description=help)
    command.add_argument("--json", action="store_true", help="print one JSON document on stdout")
    command.set_defaults(does=does)
    return command


def add_group(verbs: Any, name: str, help: str) -> Any:
    """Add a command that has subcommands, such as ``storage backup VERB``; return its subparsers."""
    top: ArgumentParser = verbs.add_parser(name, help=help, description=help)
    return top.add_subparsers(required=True, metavar="VERB")


EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)


def settings() -> Settings:
    return Settings.from_env(os.environ)


def as_of(args: Namespace) -> datetime:
    """Return the instant of --as-of, or now. Raises UsageError for a future instant or an invalid date."""
    now = utcnow()
    if not args.as_of:
        return now
    try:
        asked = datetime.fromisoformat(args.as_of)
    except ValueError as error:
        raise UsageError(
            f"--as-of {args.as_of!r} is not an ISO date; write it like 2026-01-31T02:00:00Z."
        ) from error
    asked = asked if asked.tzinfo else asked.replace(tzinfo=UTC)
    if asked < EARLIEST:
        raise UsageError(
            f"--as-of {asked.isoformat()} lies before {EARLIEST:%Y}; give an instant since then."
        )
    if asked > now + timedelta(seconds=1):
        raise UsageError(
            f"--as-of {asked.isoformat()} lies in the future; give an instant that is now or before."
        )
    return asked


def params(args: Namespace) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for given in args.param or ():
        name, equals, value = given.partition("=")
        if not name or not equals or not value:
            raise UsageError(f"--param {given!r} is not name=value, such as days_old=7.")
        try:
            found[name] = float(value)
        except ValueError:
            found[name] = value  # not a number: the parameter validates it
    return found


def who() -> str:
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # a container's uid has no account name
        name = f"uid {os.getuid()}"
    return f"{name} (command line)"


def show_run(run: Run, stores: EngineStores, as_json: bool, with_actions: bool = False) -> None:
    details = stores.runs.details(run.id)
    if as_json:
        actions = list(read(run, stores.plans, catalog.get(run.job).by_verb)) if with_actions else None
        summary = {"run": run, "details": details}
        output.emit_json(summary if actions is None else summary | {"actions": actions})
        return
    output.show_run(run, details)
    if with_actions:
        output.show_actions(read(run, stores.plans, catalog.get(run.job).by_verb))


def store_only() -> Settings:
    return Settings.from_env(os.environ, without=("database_url",))


def of_bucket(chosen: Settings, backup_bucket: ObjectStore, word: str) -> BucketBackup:
    """Return a backup by the bucket alone; ``latest`` is its newest proven one. Raises NoSuchBackup."""
    keys = authentication.read(chosen.backup_auth_key_file)
    if word == "latest":
        return drill.newest(backup_bucket, keys)
    for backup in rebuild.of_bucket(backup_bucket, keys):
        if backup.id == word:
            return backup
    raise NoSuchBackup(word)


def say(args: Namespace, summary: dict[str, Any], words: str) -> None:
    if args.json:
        output.emit_json(summary)
    else:
        output.out.print(words, soft_wrap=True)
