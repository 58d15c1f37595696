"""The command line: every maintenance job runs without Airflow too.

Exit codes: 0 done, 1 failed, 2 usage, 3 refused by a guard, 4 waits for approval, 5 paused,
6 store or database out of reach.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from storage import commands, console
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
        one = verbs.add_parser(name, help=help, description=help)
        one.add_argument("--json", action="store_true", help="one JSON document on stdout")
        one.set_defaults(does=does)
        return one

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
    return top


def _positive(text: str) -> int:
    if not text.isdigit() or not 0 < int(text) <= 10_000:
        raise argparse.ArgumentTypeError(f"{text} is no number from 1 to 10000")
    return int(text)


def _add_apply(one: argparse.ArgumentParser) -> None:
    one.add_argument("plan", metavar="RUN|PLAN", help="the run's id or its plan's address")
    one.add_argument("--approve", metavar="SHA256", help="approve exactly this plan")


if __name__ == "__main__":
    sys.exit(main())
