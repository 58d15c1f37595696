"""The reference pages ``docs/configuration.md`` and ``docs/command-line.md``, generated from the code.

``python -m devstack.settings_table`` writes the tables between the markers of both pages. A test compares.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, Field, fields
from pathlib import Path
from typing import Any

from devstack.settings_texts import COMMANDS, CONNECTIONS, MEANINGS, OPTIONS
from storage.core.settings import ALIASES, FALLBACKS, REQUIRED, Settings

PROJECT = Path(__file__).resolve().parents[1]


def settings_table() -> str:
    """A row for each field of :class:`Settings`."""
    rows = [
        "| variable | default | secret | other names | in Airflow | meaning |",
        "|---|---|---|---|---|---|",
    ]
    for one in fields(Settings):
        other = _code(*ALIASES.get(one.name, ()))
        if one.name in FALLBACKS:
            other = "; ".join(filter(None, (other, f"else {_code(*FALLBACKS[one.name])}")))
        cells = (
            f"`STORAGE_{one.name.upper()}`",
            _default(one),
            "" if one.repr else "yes",
            other,
            CONNECTIONS.get(one.name, f"extra `{one.name}`"),
            MEANINGS[one.name],
        )
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def _default(one: Field[Any]) -> str:
    if one.name in REQUIRED:
        return "**required**"
    return f"`{one.default}`" if one.default is not MISSING and one.default else ""


def _code(*words: str) -> str:
    return ", ".join(f"`{word}`" for word in words)


def schedules_table() -> str:
    """The variable and the default of each DAG that runs by schedule."""
    rows = ["| variable | DAG | default (UTC) |", "|---|---|---|"]
    for path in sorted((PROJECT / "dags").glob("*.py")):
        source = path.read_text()
        found = re.search(r'schedule\("(STORAGE_\w+)", "([^"]+)"\)', source)
        name = re.search(r'dag_id="(\w+)"', source)
        if found and name:
            rows.append(f"| `{found[1]}` | `{name[1]}` | `{found[2]}` |")
    return "\n".join(rows)


def commands_text() -> str:
    """Every command with its arguments and options, as the parser has them."""
    from storage.cli.parser import parser

    return "\n\n".join(_section(one) for one in _commands(parser()))


def _commands(top: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    for action in top._actions:
        if isinstance(action, argparse._SubParsersAction):
            for one in action.choices.values():
                yield one
                yield from _commands(one)


def _section(command: argparse.ArgumentParser) -> str:
    own = [
        one
        for one in command._actions
        if not isinstance(one, argparse._HelpAction | argparse._SubParsersAction)
        and one.help != argparse.SUPPRESS
        and "--json" not in one.option_strings  # every command has it
    ]
    group = any(isinstance(one, argparse._SubParsersAction) for one in command._actions)
    lines = [f"{'##' if group or command.prog.count(' ') == 1 else '###'} {command.prog}", ""]
    lines.append(COMMANDS[command.prog])
    if own:
        lines += ["", "| argument | meaning |", "|---|---|"]
        positional_first = sorted(own, key=lambda one: bool(one.option_strings))
        lines += [f"| {_spelled(one)} | {_meaning(command.prog, one)} |" for one in positional_first]
    return "\n".join(lines)


def _names(one: argparse.Action) -> tuple[str, ...]:
    """How an argument is named: its options, or what stands for its value."""
    return tuple(one.option_strings) or (str(one.metavar or one.dest),)


def _spelled(one: argparse.Action) -> str:
    """An argument as it is typed, for a cell of a table: ``--limit LIMIT``, ``[RUN]``."""
    value = str(one.metavar or "|".join(one.choices or ()) or one.dest.upper()).replace("|", "\\|")
    if one.nargs == 0:
        value = ""
    value = {"+": f"{value} ...", "*": f"[{value} ...]", "?": f"[{value}]"}.get(str(one.nargs), value)
    return f"`{' '.join(filter(None, (', '.join(one.option_strings), value)))}`"


def _meaning(prog: str, one: argparse.Action) -> str:
    name = _names(one)[-1]
    text = OPTIONS.get(f"{prog} {name}") or OPTIONS[name]
    given = one.nargs != 0 and one.default not in (None, "", [], False)
    return f"{text} Default: `{one.default}`." if given else text


#: Each page, and the tables in it by the word of their markers.
PAGES: Mapping[str, Mapping[str, Callable[[], str]]] = {
    "docs/configuration.md": {"settings": settings_table, "schedules": schedules_table},
    "docs/command-line.md": {"commands": commands_text},
}


def updated(page: str, text: str) -> str:
    """The page's text with its generated parts made anew. Raises ValueError where a marker is missing."""
    for word, made in PAGES[page].items():
        begin, end = f"<!-- generated: {word} -->\n", f"<!-- end: {word} -->"
        head, opened, rest = text.partition(begin)
        _, closed, tail = rest.partition(end)
        if not (opened and closed):
            raise ValueError(f"{page} lacks the markers {begin.strip()} and {end}")
        text = f"{head}{begin}\n{made()}\n\n{end}{tail}"
    return text


def main() -> int:
    for page in PAGES:
        path = PROJECT / page
        path.write_text(updated(page, path.read_text()))
        print(f"wrote {page}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
