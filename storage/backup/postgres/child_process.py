"""Child processes that end with this process, and whose passwords are in no file and no argv."""

from __future__ import annotations

import fcntl
import os
import pwd
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import IO, Any

from psycopg2.extensions import make_dsn
from sqlalchemy.engine import make_url

from storage.core.errors import ConfigError
from storage.stores.postgres import conninfo

#: Run in the child before the program: switch to the account, then ask the kernel for a signal when the
#: parent ends (PR_SET_PDEATHSIG). A separate program, as Python code between fork and exec may hang in a
#: process with threads.
_BIND = """
import ctypes, os, sys
death, parent, uid, gid = map(int, sys.argv[1:5])
if uid >= 0: os.setgroups([]); os.setgid(gid); os.setuid(uid)
ctypes.CDLL(None).prctl(1, death)
if os.getppid() != parent: sys.exit(1)
os.execv(sys.argv[5], sys.argv[5:])
"""
PIPE = 1 << 20  # bytes, the most that Linux grants an unprivileged process
KEPT = ("PATH", "LANG", "TZ", "HOME", "LD_LIBRARY_PATH")


def spawn(
    argv: Sequence[object], *, death: int = signal.SIGTERM, account: str | None = None, **options: Any
) -> subprocess.Popen[bytes]:
    """Start a program, as ``account`` if given, that gets the signal ``death`` when this process ends.

    It has a small environment (``env`` adds to it) and a separate process group, so that only this process
    gets a Ctrl-C. Its messages are in English, because they are parsed.
    """
    env = {name: os.environ[name] for name in KEPT if name in os.environ} | {"LC_MESSAGES": "C"}
    env |= options.pop("env", {})
    entry = pwd.getpwnam(account) if account else None
    ids = (str(entry.pw_uid), str(entry.pw_gid)) if entry else ("-1", "-1")
    python = [os.path.realpath(sys.executable), "-I", "-S", "-c", _BIND]
    bound = [*python, str(int(death)), str(os.getpid()), *ids, *map(str, argv)]
    return subprocess.Popen(bound, env=env, process_group=0, **options)


def widen(pipe: IO[bytes]) -> None:
    """Enlarge a pipe's buffer where the kernel allows it: its two ends wait for each other less often."""
    with suppress(OSError):
        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, PIPE)


class Stderr:
    """Error output of a program, kept in memory and on no disk."""

    def __init__(self) -> None:
        self.file: IO[bytes] = os.fdopen(os.memfd_create("stderr"), "w+b")

    def text(self, most: int = 1 << 16) -> str:
        """Return the end of the output. It may quote data: show what ``messages.shown_output`` leaves."""
        self.file.seek(0)
        return self.file.read()[-most:].decode(errors="replace").strip()


@contextmanager
def login(url: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield a libpq connection string without the password, and the :func:`spawn` options that pass it.

    It has every parameter of the URL. The password file is in memory only (memfd), readable by the child
    alone, and ends with this process.
    """
    words = conninfo.words(make_url(url))
    if "sslpassword" in words:
        raise ConfigError(
            "STORAGE_DATABASE_URL has sslpassword, which argv would show; use a key without it."
        )
    password = words.pop("password", None)
    if password is None:  # libpq finds it as it does for this process: PGPASSWORD, ~/.pgpass, a service
        yield make_dsn(**words), {"env": _environment()}
        return
    words.pop("passfile", None)
    escaped = str(password).replace("\\", "\\\\").replace(":", "\\:")
    fd = os.memfd_create("pgpass", 0)
    try:
        os.fchmod(fd, 0o600)
        os.write(fd, f"*:*:*:*:{escaped}\n".encode())
        env = _environment() | {"PGPASSFILE": f"/proc/self/fd/{fd}"}
        env.pop("PGPASSWORD", None)
        yield make_dsn(**words), {"pass_fds": (fd,), "env": env}
    finally:
        os.close(fd)


def _environment() -> dict[str, str]:
    """Return libpq's own variables, such as PGSSLMODE, with the platform's defaults."""
    own = {"PGCONNECT_TIMEOUT": str(conninfo.CONNECT_TIMEOUT), "PGAPPNAME": conninfo.NAME}
    return own | {name: value for name, value in os.environ.items() if name.startswith("PG") and value}
