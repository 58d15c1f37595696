"""Work done in a forked child, which may be killed at any instant, and what it said before it ended."""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Callable

Say = Callable[[bytes], None]
HUNG = b"\nhung"  # said for a child that had to be ended


def forked(work: Callable[[Say], None], seconds: float) -> tuple[bytes, bool]:
    """All that ``work`` says in a child, and whether a signal ended it. A child that hangs is killed."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(reading)
            work(lambda data: _say(writing, data))
        finally:
            os._exit(0)  # none of the parent's sockets is closed in good order: they are not ours
    os.close(writing)
    try:
        said = _listen(reading, pid, time.monotonic() + seconds)
    finally:
        os.close(reading)
        _, status = os.waitpid(pid, 0)
    return said, os.WIFSIGNALED(status)


def _say(writing: int, data: bytes) -> None:
    while data:
        data = data[os.write(writing, data) :]


def _listen(reading: int, pid: int, until: float) -> bytes:
    said = b""
    while True:
        ready, _, _ = select.select([reading], [], [], max(0.0, until - time.monotonic()))
        if not ready:
            os.kill(pid, signal.SIGKILL)
            return said + HUNG
        chunk = os.read(reading, 1 << 16)
        if not chunk:
            return said
        said += chunk
