"""Command line of the local stack: ``python -m devstack up|down|status|reset|env|object-store|tools``."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from pathlib import Path

from devstack import minio_build, report, stack, tools
from devstack.errors import DevstackError, MissingTool
from storage.core.errors import StorageError


def parser() -> argparse.ArgumentParser:
    """Build the command-line parser."""
    top = argparse.ArgumentParser(prog="python -m devstack", description=stack.__doc__)
    commands = top.add_subparsers(dest="command", required=True)
    helps = {
        "up": "start the stack, or repair and reuse the running one",
        "down": "stop the stack, keep its data",
        "status": "show which parts run, and their addresses",
        "reset": "stop the stack and delete its data",
        "env": "print the STORAGE_* variables as shell exports",
        "object-store": "build the real MinIO server into the cache",
        "tools": "find, build or fetch the programs that tests need",
    }
    for name, text in helps.items():
        command = commands.add_parser(name, help=text, description=text)
        if name == "tools":
            known = ", ".join(tool.name for tool in tools.TOOLS)
            command.add_argument("names", nargs="*", metavar="NAME", help=f"default: all of {known}")
        elif name != "object-store":
            command.add_argument("--home", type=Path, default=None, help="folder of the stack's files")
        if name == "up":
            command.add_argument("--store", choices=("auto", "minio", "ministack"), default="auto")
            command.add_argument(
                "--cold", action="store_true", help="also start a second MinIO for cold objects"
            )
            command.add_argument(
                "--no-airflow", action="store_true", help="start only object store and database"
            )
    return top


def run(options: argparse.Namespace) -> None:
    """Run one command."""
    home: Path = (getattr(options, "home", None) or stack.default_home()).resolve()
    if options.command == "object-store":
        print(minio_build.build())
    elif options.command == "tools":
        bring_tools(options.names)
    elif options.command == "up":
        # Only the command line passes the caller's AIRFLOW__* variables on: an exported one is deliberate.
        extra = {name: value for name, value in os.environ.items() if name.startswith("AIRFLOW__")}
        stack.up(options.store, airflow=not options.no_airflow, home=home, cold=options.cold, extra_env=extra)
        print()
        print("\n".join(report.lines(stack.status(home), home)))
    elif options.command == "down":
        stack.down(home)
    elif options.command == "reset":
        stack.reset(home)
    elif options.command == "env":
        for name, value in stack.running(home).env().items():
            print(f"export {name}={shlex.quote(value)}")
    else:
        print("\n".join(report.lines(stack.status(home), home)))


def bring_tools(names: list[str]) -> None:
    """Bring the named tools and print their paths. Raises MissingTool if one is missing."""
    results = tools.bring_all(tools.named(names))
    print("\n".join(tools.lines(results)))
    if lacking := [found.name for found in results if found.path is None]:
        raise MissingTool(f"{', '.join(lacking)} missing: see above for what to do")


def main() -> int:
    """Run the command line; an expected error prints one message without a traceback."""
    try:
        run(parser().parse_args())
    except (DevstackError, StorageError) as problem:
        print(f"devstack: {problem}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
