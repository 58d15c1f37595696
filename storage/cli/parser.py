"""Storage maintenance from the command line; every maintenance job also runs without Airflow.

Exit codes: 0 done, 1 failed, 2 usage, 3 refused by a guard, 4 waits for approval, 5 paused,
6 store or database unreachable.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from storage.cli import (
    backup,
    cold,
    installation,
    jobs,
    lifecycle,
    output,
    presign,
    records,
    restore,
    savings,
    tier,
)
from storage.core.errors import EXIT_FAILED, MachineFault, StorageError

COMMANDS = (jobs, installation, backup, restore, lifecycle, tier, cold, savings, presign, records)


def main(argv: Sequence[str] | None = None) -> int:
    args = parser().parse_args(argv)
    try:
        code: int = args.does(args)
    except StorageError as error:
        output.show_error(error, args.json)
        return error.exit_code
    except BrokenPipeError:
        # The reader closed the pipe: not an error.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        output.show_error(MachineFault(str(error)), args.json)
        return EXIT_FAILED
    except KeyboardInterrupt:
        output.err.print("Stopped. Completed batches stay completed; `storage runs` shows the progress.")
        return EXIT_FAILED
    return code


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(
        prog="storage", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    verbs = top.add_subparsers(required=True, metavar="COMMAND")
    for command in COMMANDS:
        command.add_parser(verbs)
    return top
