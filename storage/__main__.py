"""The command line: every maintenance job runs without Airflow too.

Exit codes: 0 done, 1 failed, 2 usage, 3 refused by a guard, 4 waits for approval, 5 paused,
6 store or database out of reach.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import Any

from storage import (
    commands,
    commands_backup,
    commands_cold,
    commands_lifecycle,
    commands_presign,
    commands_restore,
    commands_savings,
    commands_tier,
    console,
)
from storage.errors import EXIT_FAILED, MachineFault, StorageError


def main(argv: Sequence[str] | None = None) -> int:
    args = parser().parse_args(argv)
    try:
        code: int = args.does(args)
    except StorageError as error:
        console.show_error(error, args.json)
        return error.exit_code
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader has seen enough
        return 0
    except OSError as error:
        console.show_error(MachineFault(str(error)), args.json)
        return EXIT_FAILED
    except KeyboardInterrupt:
        console.err.print("Stopped. Finished batches stay finished; `storage runs` shows how far it came.")
        return EXIT_FAILED
    return code


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(
        prog="storage", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    verbs = top.add_subparsers(required=True, metavar="COMMAND")

    def verb(name: str, help: str, does: object) -> argparse.ArgumentParser:
        return _verb(verbs, name, help, does)

    verb("jobs", "list the maintenance jobs", commands.jobs)
    for name, help, does in (
        ("plan", "decide what a job would do, and change nothing", commands.plan),
        ("run", "plan a job and apply the plan", commands.run),
    ):
        one = verb(name, help, does)
        one.add_argument("job")
        one.add_argument("--as-of", help="reason about this instant (ISO 8601; never the future)")
        one.add_argument("--param", action="append", metavar="NAME=NUMBER", help="such as days_old=10")
    _add_apply(verb("apply", "apply the plan of a run, or what is left of it", commands.apply))
    one = verb("runs", "list the latest runs, or show one with its plan", commands.runs)
    one.add_argument("run", nargs="?")
    one.add_argument("--limit", type=_positive, default=20, help="how many runs")
    verb("undo", "take back what a run condemned", commands.undo_run).add_argument("run")
    one = verb("explain", "what each job would do with a key, a path or a job, and why", commands.explain)
    one.add_argument("subject", metavar="KEY|PATH|JOB")
    one.add_argument("--as-of", help=argparse.SUPPRESS)
    verb("probe", "find out what the endpoint really does", commands.probe)
    verb("status", "what is condemned, paused, guarded, and how the last runs went", commands.status)
    verb("pause", "stop all maintenance before its next batch", commands.pause).add_argument("--reason")
    verb("resume", "lift a pause", commands.resume)
    one = verb("migrate", "make or update the schema and know this bucket and database", commands.migrate)
    one.add_argument("--adopt", action="store_true", help="accept another bucket or database than before")
    _backup_parser(verbs)
    _restore_parser(verbs)
    commands_lifecycle.add_parser(verbs)
    commands_tier.add_parser(verbs)
    commands_cold.add_parser(verbs)
    commands_savings.add_parser(verbs)
    commands_presign.add_parser(verbs)
    return top


def _backup_parser(verbs: Any) -> None:
    """``storage backup VERB``."""
    about = "take, prove, list and prune backups"
    of_backup = verbs.add_parser("backup", help=about, description=about)
    inner = of_backup.add_subparsers(required=True, metavar="VERB")

    def verb(name: str, help: str, does: object, *, backup: bool = False) -> argparse.ArgumentParser:
        return _verb(inner, name, help, does, backup=backup)

    one = verb("run", "take a backup and prove it by restoring it", commands_backup.run)
    one.add_argument("kind", nargs="?", choices=("database", "metadata", "all"), default="all")
    one.add_argument("--no-proof", action="store_true", help="only take it: it does not count until proven")
    one.add_argument("--accept", action="store_true", help="accept a listing far off the last one")
    one.add_argument("--details", action="store_true", help="also each object's metadata and tags (slow)")
    one = verb("list", "the backups there are", commands_backup.listing)
    one.add_argument("--from-bucket", action="store_true", help="ask the bucket; needs no database")
    one.add_argument("--all", action="store_true", help="also expired ones")
    verb("show", "what a backup consists of (needs no database)", commands_backup.show, backup=True)
    verb("verify", "read every byte again and compare hashes", commands_backup.verify, backup=True)
    verb("prove", "restore it into a scratch database and compare", commands_backup.prove_one, backup=True)
    one = verb("prune", "show what the retention rule lets go; --act deletes it", commands_backup.prune)
    one.add_argument("--act", action="store_true", help="delete it")
    one.add_argument("--param", action="append", metavar="NAME=NUMBER", help="such as days_old=60")
    one = verb("pin", "keep a backup for ever", commands_backup.pin, backup=True)
    one.add_argument("--reason", default="")
    one.set_defaults(pinned=True)
    one = verb("unpin", "let the retention rule decide on it again", commands_backup.pin, backup=True)
    one.set_defaults(pinned=False)
    verb("check", "red when no fresh proven backup exists, or one is far off", commands_backup.check)
    about = "enter into the catalogue what only the bucket knows"
    one = verb("rebuild", about, commands_backup.rebuild_catalogue)
    one.add_argument("--accept", action="store_true", help="though the bucket has lost more than half")
    verb("drill", "bring the newest one to life on an empty server, timed", commands_backup.drilled)
    one = verb("guard", "whether files are given up only with a fresh backup", commands_backup.guarding)
    one.add_argument("state", choices=("on", "off"))


def _restore_parser(verbs: Any) -> None:
    about = "bring a backup back: beside the live database, or in its place"
    one = _verb(verbs, "restore", about, commands_restore.run)
    one.add_argument("backup", nargs="?", metavar="BACKUP", help="its id, or latest (the newest proven)")
    one.add_argument("--into", default="", metavar="NAME", help="a database that is new or empty")
    one.add_argument(
        "--confirm", default="", metavar="NAME", help="for --into, --live, --undo: the name again"
    )
    one.add_argument("--live", action="store_true", help="take the live one's place; the old one is kept")
    one.add_argument("--undo", action="store_true", help="put the database back that --live replaced")
    one.add_argument("--drop-kept", action="store_true", help="drop kept databases whose 7 days are over")
    one.add_argument("--tables", default="", metavar="T,T", help="only these tables, into a new database")
    one.add_argument("--api-key", default="", metavar="KEY", help="compare one key's rows (-: from stdin)")
    one.add_argument("--job", default="", metavar="JOB", help="the same for a job, or its metadata.json")
    one.add_argument("--apply", action="store_true", help="put back what is missing of --api-key or --job")
    one.add_argument("--roles", action="store_true", help="print the server's roles as SQL")
    about = "after a restore: judge what is newer than the backup"
    one = _verb(verbs, "reconcile", about, commands_restore.reconciled)
    one.add_argument("--adopt", nargs="+", default=[], metavar="JOB", help="keep its files (all: every one)")
    one.add_argument("--condemn", nargs="+", default=[], metavar="JOB", help="let its files go (or all)")
    one.add_argument("--close", action="store_true", help="all is judged: maintenance goes on")


def _verb(verbs: Any, name: str, help: str, does: object, *, backup: bool = False) -> argparse.ArgumentParser:
    one: argparse.ArgumentParser = verbs.add_parser(name, help=help, description=help)
    if backup:
        one.add_argument("backup", metavar="BACKUP", help="its id, or latest")
    one.add_argument("--json", action="store_true", help="one JSON document on stdout")
    one.set_defaults(does=does)
    return one


def _positive(text: str) -> int:
    if not text.isdigit() or not 0 < int(text) <= 10_000:
        raise argparse.ArgumentTypeError(f"{text} is no number from 1 to 10000")
    return int(text)


def _add_apply(one: argparse.ArgumentParser) -> None:
    one.add_argument("plan", metavar="RUN|PLAN", help="the run's id or its plan's address")
    one.add_argument("--approve", metavar="SHA256", help="approve exactly this plan")


if __name__ == "__main__":
    sys.exit(main())
