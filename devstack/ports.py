"""Selection of free ports on the loopback interface."""

from __future__ import annotations

import random
import socket

from devstack.errors import DevstackError

HOST = "127.0.0.1"
# Below 32768: Linux assigns higher ports to outgoing connections, which could take the chosen port.
FIRST, LAST = 20000, 32000


def is_free(port: int) -> bool:
    """Return True if a server could listen on `port` now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port in TIME_WAIT is free
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def accepts(port: int) -> bool:
    """Return True if a server accepts connections on `port`."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.settimeout(2)
        return probe.connect_ex((HOST, port)) == 0


def choose(preferred: int | None = None) -> int:
    """Return `preferred` if it is free, else a random free port."""
    if preferred is not None and is_free(preferred):
        return preferred
    for _ in range(200):
        port = random.randint(FIRST, LAST)
        if is_free(port):
            return port
    raise DevstackError(f"no free port between {FIRST} and {LAST}; stop some servers and try again")
