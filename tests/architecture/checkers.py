"""The project's checkers, run in separate processes on the project or on a copy of it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]


def run(folder: Path, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run Python with these arguments, and with ``folder`` as the place to import from."""
    line, env = [sys.executable, *command], os.environ | environment
    return subprocess.run(line, cwd=folder, env=env, capture_output=True, text=True, timeout=300)


def mypy(folder: Path, scratch: Path, *files: Path) -> subprocess.CompletedProcess[str]:
    """Check types with the configuration of ``folder``.

    The existing cache is copied, not shared: another mypy may be writing to it.
    """
    known, cache = PROJECT / ".mypy_cache", scratch / "mypy_cache"
    if known.is_dir():
        shutil.copytree(known, cache, dirs_exist_ok=True)
    return run(folder, "-m", "mypy", "--cache-dir", str(cache), *map(str, files))
