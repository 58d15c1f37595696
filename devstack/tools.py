"""Find, build or fetch the programs that the tests need beyond Python packages; TOOLS lists them."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from devstack import cache, debian, go_build
from devstack.debian import DebianPackage
from devstack.errors import DevstackError, MissingTool
from devstack.go_build import AGE, MINIO, VERSITYGW, GoProgram
from devstack.tables import table

Tool = GoProgram | DebianPackage
PGBOUNCER = DebianPackage("pgbouncer", "usr/sbin/pgbouncer")
TOOLS: tuple[Tool, ...] = (MINIO, VERSITYGW, AGE, PGBOUNCER)


@dataclass(frozen=True)
class Found:
    """Result of finding, building or fetching one tool."""

    name: str
    state: str  # on PATH, cached, built, fetched, missing
    version: str = ""
    path: Path | None = None
    why: str = ""  # the reason if it is missing


def named(names: Iterable[str]) -> list[Tool]:
    """Return the named tools, or all tools if no name is given. Raises DevstackError for an unknown name."""
    known = {tool.name: tool for tool in TOOLS}
    wanted = list(names) or list(known)
    if unknown := [name for name in wanted if name not in known]:
        raise DevstackError(f"no tool {', '.join(unknown)}; choose from {', '.join(known)}")
    return [known[name] for name in wanted]


def find(tool: Tool) -> Found | None:
    """Find a tool on PATH or in the cache."""
    for command in tool.commands:
        if on_path := shutil.which(command):
            return Found(tool.name, "on PATH", _version(tool, Path(on_path)), Path(on_path))
    is_go = isinstance(tool, GoProgram)
    path = go_build.built(tool) if is_go else cache.cached(tool.command)
    return Found(tool.name, "cached", _version(tool, path), path) if path else None


def bring(tool: Tool, say: cache.Say = cache.say_now) -> Found:
    """Find a tool, or else build or fetch it."""
    if found := find(tool):
        return found
    if isinstance(tool, GoProgram):
        path, state = go_build.build(tool, say), "built"
    else:
        path, state = debian.fetch(tool, say), "fetched"
    return Found(tool.name, state, _version(tool, path), path)


def program(name: str) -> Path:
    """Return the path of an available tool. Raises MissingTool if `make tools` has not brought it."""
    found = find(named([name])[0])
    if found is None or found.path is None:
        raise MissingTool(f"no {name}; run `make tools` to build or fetch it")
    return found.path


def version(name: str, path: Path) -> str:
    """Return the version of the tool `name` at `path`."""
    return _version(named([name])[0], path) or "unknown"


def bring_all(wanted: Iterable[Tool], say: cache.Say = cache.say_now) -> list[Found]:
    """Bring tools, two at a time: one downloads while the other compiles. A failure leaves the others be."""

    def result(tool: Tool) -> Found:
        try:
            return bring(tool, say)
        except DevstackError as problem:
            say(f"{tool.name}: {problem}")
            return Found(tool.name, "missing", why=str(problem).partition("\n")[0].rstrip(":"))

    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(result, wanted))


def lines(results: Iterable[Found]) -> list[str]:
    """Format the results as a table."""
    rows = [
        (found.name, found.state, found.version or "-", str(found.path or found.why)) for found in results
    ]
    return table([("tool", "state", "version", "path, or why it is missing"), *rows])


def _version(tool: Tool, path: Path) -> str:
    if isinstance(tool, GoProgram) and (written := go_build.version_of(tool, path)):
        return written
    option = tool.check if isinstance(tool, DebianPackage) else "--version"
    try:
        done = subprocess.run(
            [str(path), option], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60,
            check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.partition("\n")[0].strip()[:60]
