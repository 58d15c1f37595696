"""Figures on the structure of the code: ``python -m tests.architecture.figures`` prints a table.

The column "before" holds the values from before the package was divided into capabilities.
"""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import fields
from functools import cache
from importlib import import_module
from inspect import isfunction
from pathlib import Path
from typing import Any, NamedTuple

import grimp

PROJECT = Path(__file__).resolve().parents[2]
PACKAGE = "storage"
INSTALLATION = f"{PACKAGE}.installation"
#: Capabilities are the modules in the same layer as this one; the layers below it are shared code.
A_CAPABILITY = "backup"
MAY_OPEN_EVERYTHING = {"storage.cli", "storage.api", "storage.services", "plugins", "tests", "devstack"}


class Figure(NamedTuple):
    """One measured value, its former value, and its upper limit (None: no limit)."""

    name: str
    before: int | None
    now: int
    limit: int | None = None
    details: tuple[str, ...] = ()


# --- the import graph ---------------------------------------------------------------------------------


@cache
def graph() -> grimp.ImportGraph:
    """Build the graph of imports within the package, those for type checkers included."""
    return grimp.build_graph(PACKAGE, cache_dir=None)


def layers() -> list[list[str]]:
    """Read the layers of the import-linter contract, highest first, each as its modules."""
    (contract,) = (one for one in contracts() if one["type"] == "layers")
    return [[name.strip() for name in layer.split("|")] for layer in contract["layers"]]


def contracts() -> list[dict[str, Any]]:
    """Read the import-linter contracts of the project."""
    found: list[dict[str, Any]] = _settings()["importlinter"]["contracts"]
    return found


def _settings() -> dict[str, Any]:
    tools: dict[str, Any] = tomllib.loads((PROJECT / "pyproject.toml").read_text())["tool"]
    return tools


def capabilities() -> list[str]:
    """Name the capabilities, which may not import each other."""
    return next(layer for layer in layers() if A_CAPABILITY in layer)


def shared() -> list[str]:
    """Name the modules that every capability builds on."""
    all_layers = layers()
    below = all_layers.index(capabilities()) + 1
    return [name for layer in all_layers[below:] for name in layer]


def edges_between_capabilities() -> list[str]:
    """List the imports from one capability to another."""
    return [edge for one in capabilities() for edge in edges([one], set(capabilities()) - {one})]


def edges(importers: Iterable[str], imported: Iterable[str]) -> list[str]:
    """List the imports from modules of some top-level parts to modules of others."""
    wanted = {f"{PACKAGE}.{name}" for name in imported}
    return [
        f"{module} -> {other}"
        for part in importers
        for module in sorted(modules_of(f"{PACKAGE}.{part}"))
        for other in sorted(graph().find_modules_directly_imported_by(module))
        if top(other) in wanted
    ]


def modules_of(part: str) -> set[str]:
    """Name a module and all below it; none where there is no such module."""
    return {part, *graph().find_descendants(part)} if part in graph().modules else set()


def top(module: str) -> str:
    """Cut a module's name to its first two parts."""
    return ".".join(module.split(".")[:2])


def circles(package: str = PACKAGE) -> list[str]:
    """List the groups of siblings, at any depth, that import each other in a circle."""
    children = sorted(graph().find_children(package))
    reached = {child: _reached_siblings(child, package) for child in children}
    groups = {
        frozenset(other for other in children if other in reached[child] and child in reached[other])
        for child in children
    }
    here = [", ".join(sorted(group)) for group in groups if len(group) > 1]
    return here + [circle for child in children for circle in circles(child)]


def _reached_siblings(child: str, package: str) -> set[str]:
    """Return the siblings that a child imports, directly or not; the child itself only if in a cycle."""
    depth, reached, waiting = package.count(".") + 2, set[str](), [child]
    while waiting:
        importer = waiting.pop()
        for module in modules_of(importer):
            for other in graph().find_modules_directly_imported_by(module):
                sibling = ".".join(other.split(".")[:depth])
                inside = other.startswith(f"{package}.") and sibling != importer
                if inside and sibling not in reached:
                    reached.add(sibling)
                    waiting.append(sibling)
    return reached


def longest_chain() -> tuple[str, ...]:
    """Find the longest chain of modules of which each imports the next.

    An import that leads back into the chain, as from a package to its own part, ends it.
    """
    best: dict[str, tuple[str, ...]] = {}

    def walk(module: str, above: frozenset[str]) -> tuple[str, ...]:
        if module not in best:
            imported = graph().find_modules_directly_imported_by(module) - above
            chains = (walk(other, above | {other}) for other in sorted(imported))
            best[module] = (module, *max(chains, key=len, default=()))
        return best[module]

    return max((walk(module, frozenset({module})) for module in sorted(graph().modules)), key=len)


def importers_of_installation() -> set[str]:
    """Name the parts of the package and other top folders that open the stores of every capability."""
    inside = {top(module) for module in graph().find_modules_that_directly_import(INSTALLATION)}
    others = ("plugins", "dags", "tests", "devstack")
    return inside | {name for name in others if any(map(_imports_installation, sources(name)))}


def _imports_installation(path: Path) -> bool:
    package, _, module = INSTALLATION.rpartition(".")
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import) and any(alias.name == INSTALLATION for alias in node.names):
            return True
        if isinstance(node, ast.ImportFrom) and node.module == INSTALLATION:
            return True
        if isinstance(node, ast.ImportFrom) and node.module == package:
            return any(alias.name == module for alias in node.names)
    return False


# --- the interface of the stores ----------------------------------------------------------------------


def bundles() -> list[str]:
    """Name the classes in which each capability declares the stores that it needs."""
    return [
        node.name
        for capability in capabilities()
        for path in sources(f"{PACKAGE}/{capability}")
        for node in ast.walk(tree(path))
        if isinstance(node, ast.ClassDef) and any(ast.unparse(base).endswith("Stores") for base in node.bases)
    ]


def members(name: str) -> set[str]:
    """Name the fields and public methods of one of the package's dataclasses."""
    made = _class(name)
    inherited = {attribute: getattr(made, attribute) for attribute in dir(made)}
    methods = {
        attribute
        for attribute, value in inherited.items()
        if not attribute.startswith("_") and (isfunction(value) or isinstance(value, property))
    }
    return methods | {field.name for field in fields(made)}


def _class(name: str) -> type:
    for path in sources(PACKAGE):
        if any(isinstance(node, ast.ClassDef) and node.name == name for node in tree(path).body):
            module = ".".join(path.relative_to(PROJECT).with_suffix("").parts).removesuffix(".__init__")
            found: type = getattr(import_module(module), name)
            return found
    raise LookupError(f"{PACKAGE} has no class {name}")


# --- sizes --------------------------------------------------------------------------------------------


def sources(folder: str) -> Iterator[Path]:
    """Find the Python files below a folder of the project; a single module counts as one."""
    where = PROJECT / folder
    yield from sorted(where.rglob("*.py")) if where.is_dir() else [where.with_suffix(".py")]


@cache
def tree(path: Path) -> ast.Module:
    """Parse a file, once."""
    return ast.parse(path.read_text())


def lines(path: Path) -> int:
    """Count the lines of a file."""
    return len(path.read_text().splitlines())


def longer_files(folders: Iterable[str], most: int) -> tuple[str, ...]:
    """List the files of more than ``most`` lines."""
    every = (path for folder in folders for path in sources(folder))
    return tuple(f"{_shown(path)} {lines(path)}" for path in every if lines(path) > most)


def longer_functions(folders: Iterable[str], most: int) -> tuple[str, ...]:
    """List the functions of more than ``most`` lines, decorators not counted."""
    return tuple(
        f"{_shown(path)}:{node.lineno} {node.name} {length}"
        for folder in folders
        for path in sources(folder)
        for node in ast.walk(tree(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (length := (node.end_lineno or 0) - node.lineno + 1) > most
    )


def _shown(path: Path) -> str:
    return path.relative_to(PROJECT).as_posix() if path.is_relative_to(PROJECT) else path.name


# --- the table ----------------------------------------------------------------------------------------


def figures() -> list[Figure]:
    """Measure everything."""
    return [*_imports(), *_members(), *_sizes()]


def _imports() -> Iterator[Figure]:
    across, up = edges_between_capabilities(), edges(shared(), capabilities())
    turning, chain = circles(), longest_chain()
    strangers = importers_of_installation() - MAY_OPEN_EVERYTHING
    root = [path.name for path in sorted((PROJECT / PACKAGE).glob("*.py"))]
    yield Figure("files in the package's root folder", 33, len(root), 8, tuple(root))
    yield Figure("layers of the contract", 37, len(layers()), 7)
    yield Figure("imports from capability to capability", 7, len(across), 0, tuple(across))
    yield Figure("imports from shared code to a capability", 19, len(up), 0, tuple(up))
    yield Figure("circles among siblings, at any depth", 2, len(turning), 0, tuple(turning))
    yield Figure(f"unexpected importers of {INSTALLATION}", None, len(strangers), 0, tuple(strangers))
    yield Figure("modules in the longest chain of imports", 18, len(chain), None, (" > ".join(chain),))


def _members() -> Iterator[Figure]:
    for name, most in (("EngineStores", 9), ("Stores", 14), *((bundle, 17) for bundle in bundles())):
        yield Figure(f"members of {name}", 17, len(members(name)), most)


def _sizes() -> Iterator[Figure]:
    yield Figure("modules", 145, len(graph().modules))
    yield Figure("lines", 19_047, sum(map(lines, sources(PACKAGE))))
    code = (PACKAGE, "plugins", "dags", "devstack", "tests")
    for name, before, limit, found in (
        ("files of more than 300 lines", 0, None, longer_files(code, 300)),
        ("functions of more than 40 lines", 0, 0, longer_functions(code, 40)),
        ("plugin modules of more than 200 lines", 1, None, longer_files(["plugins"], 200)),
        ("DAG files of more than 40 lines", 0, 0, longer_files(["dags"], 40)),
    ):
        yield Figure(name, before, len(found), limit, found)


def table(measured: Iterable[Figure]) -> str:
    """Format the figures as text; details follow for a figure without a limit or over its limit."""
    rows = [f"{'':46}{'before':>8}{'now':>8}{'at most':>9}"]
    for one in measured:
        before, limit = ("-" if value is None else f"{value:,}" for value in (one.before, one.limit))
        rows.append(f"{one.name:46}{before:>8}{one.now:>8,}{limit:>9}")
        if one.limit is None or one.now > one.limit:
            rows += [f"    {detail}" for detail in one.details]
    return "\n".join(rows)


if __name__ == "__main__":
    print(table(figures()))
