"""Fetch programs of Debian packages into the cache folder, if possible without installing them.

A package is downloaded with the libraries this machine lacks, unpacked, and started by a wrapper script
that points the dynamic linker at them. If the program does not run that way, root installs the package.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from devstack import cache
from devstack.errors import BuildFailed, MissingTool

APT_SECONDS = 900
CHECK_SECONDS = 60


@dataclass(frozen=True)
class DebianPackage:
    """A program that a Debian package contains."""

    name: str  # of the package
    program: str  # its path inside the package, such as usr/bin/redis-server
    check: str = "--version"  # the option that prints its version

    @property
    def command(self) -> str:
        """Return the name of the program's file."""
        return Path(self.program).name

    @property
    def commands(self) -> tuple[str, ...]:
        """Return the commands to look for on PATH."""
        return (self.command,)

    @property
    def by_hand(self) -> str:
        """Return the command that installs the package."""
        return f"apt-get install -y --no-install-recommends {self.name}"


def fetch(package: DebianPackage, say: cache.Say = cache.say_now) -> Path:
    """Fetch the program of `package` unless it is cached; return the path that starts it."""
    if found := cache.cached(package.command):
        return found
    if shutil.which("apt-get") is None:
        raise MissingTool(f"this is not a Debian machine: install {package.command} so that PATH has it")
    with cache.locked(package.command, say):
        if found := cache.cached(package.command):  # fetched by the process that held the lock
            return found
        try:
            return _unpack(package, say)
        except BuildFailed as problem:
            say(f"{package.name} cannot be run from the cache folder: {problem}")
            return _install(package, say)


def _unpack(package: DebianPackage, say: cache.Say) -> Path:
    tree = cache.cache_folder().parent / "debian" / package.name
    with cache.draft(package.command) as folder:
        wanted = _wanted(package, say)
        say(f"Downloading {', '.join(wanted)}")
        _run(["apt-get", "download", *wanted], folder)
        unpacked = folder / "tree"
        for archive in sorted(folder.glob("*.deb")):
            _run(["dpkg", "-x", str(archive), str(unpacked)], folder)
        shutil.rmtree(tree, ignore_errors=True)  # left by a fetch that was killed before it wrote the wrapper
        tree.parent.mkdir(exist_ok=True)
        unpacked.replace(tree)
        wrapper = folder / package.command
        wrapper.write_text(_wrapper(package, tree))
        wrapper.chmod(0o755)
        try:
            _run([str(wrapper), package.check], folder, CHECK_SECONDS)
        except BuildFailed:
            shutil.rmtree(tree)
            raise
        return wrapper.replace(cache.cache_folder() / package.command)


def _wanted(package: DebianPackage, say: cache.Say) -> list[str]:
    """List what apt would install, as NAME=VERSION: the package and the libraries this machine lacks."""
    command = ["apt-get", "install", "--simulate", "--no-install-recommends", package.name]
    try:
        planned = _run(command, Path("/"))
    except BuildFailed:
        if os.geteuid() != 0:
            raise
        say("apt knows no such package yet: updating its lists")
        _run(["apt-get", "update"], Path("/"))
        planned = _run(command, Path("/"))
    found = re.findall(r"^Inst (\S+) (?:\[[^\]]*\] )?\((\S+)", planned, re.MULTILINE)
    # Nothing to install: the package is installed but its program is not on PATH.
    return [f"{name}={version}" for name, version in found] or [package.name]


def _wrapper(package: DebianPackage, tree: Path) -> str:
    folders = sorted({str(library.parent) for library in tree.rglob("lib*.so*")})
    # An empty entry would mean the working folder, so the line is left out if there are no libraries.
    path = shlex.quote(":".join(folders)) + '"${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"'
    lines = [
        "#!/bin/sh",
        f"# Starts the program of Debian's package {package.name} with the libraries unpacked beside it.",
        *([f"export LD_LIBRARY_PATH={path}"] if folders else []),
        f'exec {shlex.quote(str(tree / package.program))} "$@"',
    ]
    return "\n".join(lines) + "\n"


def _install(package: DebianPackage, say: cache.Say) -> Path:
    if os.geteuid() != 0:
        raise MissingTool(f"no {package.command}; run `sudo {package.by_hand}`")
    say(f"Installing the package: {package.by_hand}")
    try:
        _run(package.by_hand.split(), Path("/"))
    except BuildFailed as problem:
        raise MissingTool(f"no {package.command}; run `{package.by_hand}`: {problem}") from problem
    found = shutil.which(package.command)
    return Path(found) if found else Path("/") / package.program


def _run(command: list[str], folder: Path, seconds: int = APT_SECONDS) -> str:
    env = {**os.environ, "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"}
    try:
        done = subprocess.run(
            command, cwd=folder, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=seconds, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as problem:
        raise BuildFailed(f"{shlex.join(command)}: {problem}") from problem
    if done.returncode:
        reason = "\n".join(f"  {line}" for line in (done.stderr or done.stdout).strip().splitlines()[-5:])
        raise BuildFailed(f"{shlex.join(command)} failed ({done.returncode}):\n{reason}")
    return done.stdout
