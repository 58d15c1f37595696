"""A made-up capability, added to a copy of the project: its own files, and small edits of shared ones."""

from __future__ import annotations

import ast
import re
import shutil
from collections.abc import Callable, Iterator
from difflib import SequenceMatcher
from pathlib import Path

from tests.architecture.figures import capabilities, layers

PROJECT = Path(__file__).resolve().parents[2]
TEMPLATES = Path(__file__).parent / "new_capability"
COPIED = ("storage", "sql", "plugins", "dags", "pyproject.toml", "README.md")
SKIPPED = shutil.ignore_patterns("ruff.toml", ".*_cache")
NAME = "quarantine"


def copy_project(to: Path) -> None:
    """Copy the files that the checks read; modification times are kept, as mypy's cache depends on them."""
    to.mkdir()
    for name in COPIED:
        source = PROJECT / name
        if source.is_dir():
            shutil.copytree(source, to / name, ignore=SKIPPED)
        else:
            shutil.copy2(source, to / name)


def add_capability(to: Path) -> None:
    """Add the capability's own files, and edit the shared ones."""
    shutil.copytree(TEMPLATES, to, ignore=SKIPPED, dirs_exist_ok=True)
    for name, edit in EDITS.items():
        before = (to / name).read_text()
        after = edit(before)
        assert after != before, f"{name}: nothing to edit was found"
        (to / name).write_text(after)


def _contract(text: str) -> str:
    layer = next(" | ".join(layer) for layer in layers() if layer == capabilities())
    return text.replace(f'"{layer}"', f'"{layer} | {NAME}"')


def _catalog(text: str) -> str:
    text = _import(text, f"from storage.{NAME} import maintenance as {NAME}")
    return _after_last(text, r"\*\w+\.JOBS,", f"*{NAME}.JOBS,")


def _installation(text: str) -> str:
    text = re.sub(r"^(class Installation\(.*)\):", r"\1, QuarantineStores):", text, flags=re.MULTILINE)
    text = _import(text, f"from storage.{NAME} import connect as {NAME}")
    text = _import(text, f"from storage.{NAME}.ports import QuarantineStores")
    return _after_last(text, r"\*\*\w+\.members\(.*", f"**{NAME}.members(shared, connected),")


def _parser(text: str) -> str:
    text = re.sub(r"^(COMMANDS = \(.*)\)$", rf"\1, {NAME})", text, flags=re.MULTILINE)
    names = re.search(r"^from storage\.cli import \(\n(.*?)^\)", text, re.MULTILINE | re.DOTALL)
    assert names
    following = next(line for line in names[1].splitlines() if line.strip() > NAME)
    return text.replace(f"\n{following}\n", f"\n    {NAME},\n{following}\n", 1)


#: The shared files that register capabilities, and the edit of each that adds this one.
EDITS: dict[str, Callable[[str], str]] = {
    "pyproject.toml": _contract,
    "storage/catalog.py": _catalog,
    "storage/installation.py": _installation,
    "storage/cli/parser.py": _parser,
}


def _import(text: str, statement: str) -> str:
    """Insert an import in the order of the others."""
    lines, module = text.splitlines(keepends=True), statement.split()[1]
    imports = [node for node in ast.parse(text).body if isinstance(node, ast.ImportFrom)]
    before = [node for node in imports if "storage" <= (node.module or "") < module]
    lines.insert(max(node.end_lineno or 0 for node in before), f"{statement}\n")
    return "".join(lines)


def _after_last(text: str, pattern: str, line: str) -> str:
    """Insert a line below the last one of a kind, indented as that one is."""
    last = list(re.finditer(rf"^( *){pattern}\n", text, re.MULTILINE))[-1]
    return f"{text[: last.end()]}{last[1]}{line}\n{text[last.end() :]}"


def files(folder: Path) -> dict[str, str]:
    """Read every file of a copy, by its relative path."""
    paths = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.suffix != ".pyc")
    return {path.relative_to(folder).as_posix(): path.read_text() for path in paths}


def changed_lines(before: dict[str, str], after: dict[str, str]) -> dict[str, int]:
    """Count the lines that were added or replaced in each file that existed before."""
    differing = (name for name in before if before[name] != after[name])
    return {name: sum(_changes(before[name], after[name])) for name in differing}


def _changes(before: str, after: str) -> Iterator[int]:
    matcher = SequenceMatcher(None, before.splitlines(), after.splitlines(), autojunk=False)
    for tag, old, old_end, new, new_end in matcher.get_opcodes():
        if tag != "equal":
            yield max(old_end - old, new_end - new)
