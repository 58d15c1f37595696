"""Processes of the stack, identified by pid *and* start time so that a reused pid is never signalled."""

from __future__ import annotations

import contextlib
import os
import pwd
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from devstack.errors import NotReady, ServerDied

PROC = Path("/proc")
# Only output files of servers have this suffix below a stack: a process that writes to such a file is ours.
OUTPUT = ".out"
# Our child processes, kept so that they can be reaped: a zombie would hold its pid for ever.
_CHILDREN: dict[int, subprocess.Popen[bytes]] = {}


@dataclass(frozen=True)
class Stat:
    """The fields of /proc/PID/stat that identify a process."""

    state: str
    parent: int
    session: int
    started: int


def read_stat(pid: int) -> Stat | None:
    """Read the process table entry of `pid`; None if there is no such process."""
    try:
        text = (PROC / str(pid) / "stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = text.rpartition(")")[2].split()  # the name in parentheses may contain spaces
    return Stat(fields[0], parent=int(fields[1]), session=int(fields[3]), started=int(fields[19]))


def boot_id() -> str:
    """Return the id of this boot: start times count from boot, so they can repeat after a reboot."""
    return (PROC / "sys/kernel/random/boot_id").read_text().strip()[:8]


@dataclass(frozen=True)
class Process:
    """A process that was started by the stack."""

    pid: int
    identity: str

    @classmethod
    def of(cls, pid: int) -> Process:
        """Record the process that has `pid` now."""
        stat = read_stat(pid)
        if stat is None:
            raise ServerDied(f"process {pid} ended before it could be recorded")
        return cls(pid, f"{boot_id()}:{stat.started}")

    @property
    def started(self) -> int:
        """Return the start time in clock ticks since boot."""
        return int(self.identity.partition(":")[2])

    def alive(self) -> bool:
        """Return True if this process (not a later one with the same pid) still runs."""
        _reap(self.pid)
        stat = read_stat(self.pid)
        if stat is None or stat.state in "ZX":
            return False
        return self.identity == f"{boot_id()}:{stat.started}"

    def members(self) -> list[int]:
        """Return the live processes of the session this process leads or led, itself included."""
        if not self.identity.startswith(boot_id()):
            return []
        leader = read_stat(self.pid)
        if leader is not None and leader.started != self.started:
            return []  # the pid was reused, and with it the session id
        return [pid for pid, stat in _table() if stat.session == self.pid and stat.started >= self.started]

    def send(self, number: int) -> None:
        """Send a signal to this process if it still runs."""
        if self.alive():
            # It may end between the check and the signal, which is fine.
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def stop(self, number: int = signal.SIGTERM, timeout: float = 20.0) -> None:
        """Stop the process, then kill what is left of its session."""
        self.send(number)
        wait_until(lambda: not self.alive(), timeout)
        self.sweep()

    def sweep(self, timeout: float = 10.0) -> None:
        """Kill every remaining process of the session."""
        for pid in self.members():
            with contextlib.suppress(ProcessLookupError):  # exited since the table was read
                os.kill(pid, signal.SIGKILL)
        if not wait_until(lambda: not self.members(), timeout):
            raise NotReady(f"processes {self.members()} outlived SIGKILL; look at them with `ps`")


def _table() -> Iterator[tuple[int, Stat]]:
    for entry in PROC.iterdir():
        if entry.name.isdigit():
            _reap(int(entry.name))
            stat = read_stat(int(entry.name))
            if stat is not None and stat.state not in "ZX":
                yield int(entry.name), stat


def processes_in(folder: Path) -> list[int]:
    """Return the live processes whose working folder is `folder`."""
    return [pid for pid, _ in _table() if _link(pid, "cwd") == folder.resolve()]


def _link(pid: int, name: str) -> Path | None:
    try:
        return (PROC / str(pid) / name).readlink()
    except (FileNotFoundError, PermissionError, ProcessLookupError):
        return None  # ended meanwhile, or another user's


def _reap(pid: int) -> None:
    child = _CHILDREN.get(pid)
    if child is not None and child.poll() is not None:
        del _CHILDREN[pid]


def wait_until(condition: Callable[[], bool], timeout: float, interval: float = 0.05) -> bool:
    """Poll `condition` until it holds; False when `timeout` seconds passed."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(interval)
    return True


def start_process(
    argv: Sequence[str | Path], *, env: Mapping[str, str], cwd: Path, log: Path, user: str | None = None
) -> Process:
    """Start a server in a new session, with its output appended to `log`."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as out:
        try:
            child = subprocess.Popen(
                [str(part) for part in argv], env=dict(env), cwd=cwd, stdin=subprocess.DEVNULL,
                stdout=out, stderr=subprocess.STDOUT, start_new_session=True, **as_user(user),
            )  # fmt: skip
        except OSError as refused:
            who = user or "this user"
            raise ServerDied(f"{argv[0]} cannot be started in {cwd} as {who}: {refused}") from refused
    _CHILDREN[child.pid] = child
    return Process.of(child.pid)


class Account(TypedDict, total=False):
    """Arguments of subprocess that select the account of a program."""

    user: int
    group: int
    extra_groups: list[int]


def as_user(user: str | None) -> Account:
    """Return the arguments of subprocess that run a program as `user`."""
    if user is None:
        return {}
    entry = pwd.getpwnam(user)
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


def writers(folder: Path) -> list[int]:
    """Return the live processes whose stdout is a server's output file in `folder` or below it."""
    return [pid for pid, _ in _table() if _is_output(_link(pid, "fd/1"), folder.resolve())]


def _is_output(path: Path | None, folder: Path) -> bool:
    return path is not None and path.suffix == OUTPUT and path.is_relative_to(folder)


def end_strays(folder: Path, known: Iterable[Process]) -> list[int]:
    """Stop processes of the stack in `folder` that belong to none of the `known` ones; return their pids.

    An interrupted start or a lost state file leaves such processes behind.
    """
    leaders = {process.pid for process in known if process.alive()}
    strays = [pid for pid in writers(folder) if not _belongs(pid, leaders)]
    for number in (signal.SIGTERM, signal.SIGKILL):
        for pid in set(strays) & set(writers(folder)):
            with contextlib.suppress(ProcessLookupError):  # exited since the check
                os.kill(pid, number)
        if wait_until(lambda: not set(strays) & set(writers(folder)), 10):
            break
    return strays


def _belongs(pid: int, leaders: set[int]) -> bool:
    stat = read_stat(pid)
    # PostgreSQL's child processes lead their own sessions, but the server is their parent.
    return stat is None or stat.session in leaders or stat.parent in leaders


def base_env(home: Path) -> dict[str, str]:
    """Return a minimal environment for a server: none of the caller's settings or credentials leak in."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "TZ") if name in os.environ}
    return {"PATH": os.defpath, **kept, "HOME": str(home), "TMPDIR": str(home)}


def tail(log: Path, lines: int = 15) -> str:
    """Return the last lines of a log, indented, for an error message."""
    if not log.exists():
        return f"  (no log at {log})"
    text = log.read_text(errors="replace").splitlines()[-lines:]
    return "\n".join(f"  {line}" for line in text) or f"  ({log} is empty)"


def wait_ready(name: str, process: Process, probe: Callable[[], bool], log: Path, timeout: float) -> None:
    """Wait until `probe` returns True. Raises ServerDied or NotReady, which quote the log."""
    try:
        answered = wait_until(lambda: not process.alive() or probe(), timeout, interval=0.1)
    except BaseException:  # interrupted, or the probe raised: the process is not recorded yet and would leak
        process.stop()
        raise
    if answered and process.alive():
        return
    if process.alive():
        process.stop()
        raise NotReady(f"{name} was not ready after {timeout:.0f} s; last lines of {log}:\n{tail(log)}")
    raise ServerDied(f"{name} ended while starting; last lines of {log}:\n{tail(log)}")
