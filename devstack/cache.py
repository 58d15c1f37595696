"""Cache folder of the programs that `make tools` brings: one file and one lock per program."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from devstack.errors import DevstackError

Say = Callable[[str], None]


def say_now(text: str) -> None:
    """Print one progress line, unbuffered also into a pipe."""
    print(text, flush=True)


def cache_folder() -> Path:
    """Return the cache folder, which all stacks share."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "transcode-flow-storage" / "bin"


def cached(name: str) -> Path | None:
    """Return the path of the program `name` in the cache, or None."""
    program = cache_folder() / name
    return program if os.access(program, os.X_OK) else None


@contextmanager
def locked(name: str, say: Say) -> Iterator[None]:
    """Hold the lock on the program `name`, waiting for any other holder."""
    path = cache_folder() / f".{name}.lock"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = path.open("a")
    except OSError as refused:
        raise DevstackError(f"{refused}; make it writable or set XDG_CACHE_HOME to another folder") from None
    # The lock file is never removed: a process could wait on the old file while another locks a new one.
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"{name}: another process is fetching or building it, waiting for that ({path})")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def draft(name: str) -> Iterator[Path]:
    """Create a temporary folder beside the programs, from which a finished program is renamed into place.

    The caller holds the lock on `name`, so any existing draft was left by a killed process.
    """
    for abandoned in cache_folder().glob(f".draft-{name}.*"):
        shutil.rmtree(abandoned, ignore_errors=True)
    with tempfile.TemporaryDirectory(
        prefix=f".draft-{name}.", dir=cache_folder(), ignore_cleanup_errors=True
    ) as folder:
        yield Path(folder)
