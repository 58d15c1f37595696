"""Work in a forked child, which may be killed at any instant, and the output it sent before it ended."""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Callable

Say = Callable[[bytes], None]
HUNG = b"\nhung"  # appended to the output of a child that was killed after its timeout


def forked(work: Callable[[Say], None], seconds: float) -> tuple[bytes, bool]:
    """Return the output of ``work`` in a child, and whether a signal ended it. A hung child is killed."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(reading)
            work(lambda data: _say(writing, data))
        finally:
            os._exit(0)  # without cleanup: the inherited sockets belong to the parent
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
