"""Recording of every effect of a process, numbered and named, and injection of a fault into one of them.

An effect is an HTTP attempt, an SQL statement, a commit or a file call. They are intercepted at the
transports: the connection pool below minio's ``http_client``, botocore's session, SQLAlchemy's execute events
and commit, and the ``os`` that the temp folder's adapter calls. The product is not changed for it.
"""

from __future__ import annotations

import os
import re
import signal
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Kind = Literal["http-write", "http-read", "sql", "commit", "file-write", "file-read", "program"]
Mode = Literal[
    "before", "after", "lost", "lost once", "503", "cut", "EIO", "killed",
    "restart", "outage", "disk full", "temp full",
]  # fmt: skip

#: Faults of an effect. ``before`` and ``after`` are SIGKILL; ``lost``: it is done, but unanswered, on every
#: attempt, with ``lost once`` on the first only; ``cut``: it is done, and the connection breaks before the
#: answer; ``killed``: a child program (pg_dump, a server) is killed right after its start.
MODES: Mapping[Kind, tuple[Mode, ...]] = {
    "http-write": ("before", "after", "lost", "lost once", "503"),
    "http-read": ("lost", "503"),
    "sql": ("before", "after", "cut"),
    "commit": ("before", "after", "cut"),
    "file-write": ("before", "after", "EIO"),
    "file-read": ("EIO",),
    "program": ("before", "after", "killed"),
}
#: Faults of the machine during an effect: its database server is restarted, or is down until the act has
#: ended; the disk of the server, or that of the temp folder, is full.
MACHINE: Mapping[Kind, tuple[Mode, ...]] = {
    "http-read": ("temp full",),
    "sql": ("restart", "outage", "disk full", "temp full"),
    "commit": ("restart", "outage", "disk full", "temp full"),
    "program": ("restart", "disk full", "temp full"),
}
_OF_MACHINE = {mode for modes in MACHINE.values() for mode in modes}
_INSTEAD = ("503", "EIO")
#: Parts of names that differ in every run: a backup's id, the instant of its proof, random digits.
_VARYING = re.compile(
    r"\d{8}[Tt]\d{6}[Zz]?([-_.][0-9a-f]{6,8}[Zz]?)?|(?<=_)[0-9a-f]{8}(?=_|\b)"
    r"|(?<=carried_|ast-run-)[0-9a-f]{16}"
)


@dataclass(frozen=True, slots=True)
class Effect:
    """The ``nth`` time that a process does ``what``. Its number is its position in the recorded run."""

    kind: Kind
    what: str
    nth: int

    def __str__(self) -> str:
        return f"{self.kind} {self.what}" + (f" (#{self.nth})" if self.nth > 1 else "")


@dataclass(frozen=True, slots=True)
class Fault:
    """One effect, and the fault mode injected into it."""

    effect: Effect
    mode: Mode


Observer = Callable[[Kind, str, Callable[[], Any]], Any]
Around = Callable[[Mode, Any], None]


def nothing(mode: Mode, program: Any) -> None:
    """Ignore a machine fault: the default for ``around``."""


@dataclass
class Injector:
    """Recorder of every effect, which injects ``fault``; it calls ``injected`` just before it does.

    An ``observer`` may be wrapped around effects, to delay them or note when they happen. ``around`` is
    called with a fault of the machine and the program running at that instant; the effect itself is real.
    """

    fault: Fault | None = None
    injected: Callable[[], None] = lambda: None
    names: Mapping[str, str] = field(default_factory=dict)
    observer: Observer | None = None
    around: Around = nothing
    log: list[Effect] = field(default_factory=list)
    _counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    _again: tuple[int, str, str] | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def through(self, kind: Kind, what: str, run: Callable[[], Any], fail: Callable[[Mode, Any], Any]) -> Any:
        """Do one effect. ``fail(mode, result)`` fails as this transport does: it raises or returns."""
        for name, short in self.names.items():
            what = what.replace(name, short)
        what = _VARYING.sub("ID", what)
        mode = self._meet(kind, what)
        if mode == "before":
            die()
        if mode in _OF_MACHINE:
            return self._amid(kind, mode, run)
        if mode in _INSTEAD:
            return fail(mode, None)
        try:
            result = self.observer(kind, what, run) if self.observer else run()
        finally:
            if mode == "after":
                die()
        return fail(mode, result) if mode else result

    def _amid(self, kind: Kind, mode: Mode, run: Callable[[], Any]) -> Any:
        """Inject a machine fault: a restart while a started program runs, any other before the effect."""
        if kind == "program" and mode == "restart":
            program = run()
            self.around(mode, program)
            return program
        self.around(mode, None)
        return run()

    def _meet(self, kind: Kind, what: str) -> Mode | None:
        """Return the fault mode of this effect, if any. A retry of a failed request fails again."""
        with self._lock:
            self._counts[kind, what] += 1
            effect = Effect(kind, what, self._counts[kind, what])
            self.log.append(effect)
            here = (threading.get_ident(), kind, what)
            if self.fault is None:
                return None
            if effect == self.fault.effect:
                self._again = here
                self.injected()
                return self.fault.mode
            if self._again == here and self.fault.mode in ("lost", "503"):
                return self.fault.mode
            if self._again and self._again[0] == here[0]:
                self._again = None
            return None


def die() -> None:
    """End this process at once, as a power cut would."""
    os.kill(os.getpid(), signal.SIGKILL)
    signal.pause()


class Wrapped:
    """Stand-in for a module with some of its functions replaced, for another module that imports it."""

    def __init__(self, module: Any, functions: Mapping[str, Any]) -> None:
        self._module, self._functions = module, functions

    def __getattr__(self, name: str) -> Any:
        return self._functions.get(name) or getattr(self._module, name)
