"""An act run in a forked child with an injected fault, and the child's report."""

from __future__ import annotations

import json
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from storage.core.errors import JobBusy, StorageError
from storage.core.settings import Settings
from storage.installation import Installation, open_installation
from storage.stores.postgres.connection import connect as connect_engine
from tests.faults.effects import Around, Effect, Fault, Injector, nothing
from tests.faults.fork import HUNG, Say, forked
from tests.faults.transports import http_client, hurry, watch_boto, watch_sql

KILLS = ("before", "after")
INJECTED = b"struck\n"
Does = Callable[[Injector], None]


@dataclass(frozen=True)
class ChildReport:
    """Report of a child: whether the fault was injected, how the child ended, and its effects.

    ``foreign``: the error is not a StorageError.
    """

    injected: bool
    killed: bool
    error: str = ""
    foreign: bool = False
    log: tuple[Effect, ...] = ()


def child(
    does: Does,
    names: Mapping[str, str],
    seconds: float,
    fault: Fault | None = None,
    around: Around = nothing,
) -> ChildReport:
    """Run ``does`` in a forked child with ``fault`` injected; the child counts as hung after ``seconds``."""

    def work(say: Say) -> None:
        injector = Injector(fault, lambda: say(INJECTED), names, around=around)
        error, foreign = _ended(does, injector)
        log = [(effect.kind, effect.what, effect.nth) for effect in injector.log]
        say(json.dumps({"error": error, "foreign": foreign, "log": log}).encode())

    said, killed = forked(work, seconds)
    injected = said.startswith(INJECTED)
    if said.endswith(HUNG):
        return ChildReport(injected, killed, "the child hung", True)
    rest: dict[str, Any] = json.loads(said.removeprefix(INJECTED) or b"{}")
    log = tuple(Effect(*entry) for entry in rest.get("log", ()))
    return ChildReport(injected, killed, rest.get("error", ""), rest.get("foreign", False), log)


def _ended(does: Does, injector: Injector) -> tuple[str, bool]:
    """Run ``does``; return the error it ended with, if any, and whether that is not a StorageError."""
    try:
        does(injector)
    except StorageError as problem:
        return f"{type(problem).__name__}: {problem}", False
    except BaseException as problem:  # noqa: BLE001 - any exception that ends the child is reported
        return "".join(traceback.format_exception(problem)[-3:]), True
    return "", False


@contextmanager
def watched(injector: Injector, settings: Settings) -> Iterator[Installation]:
    """Open the product's stores with each of their requests, statements and commits an effect."""
    hurry()
    watch_boto(injector)
    engine = connect_engine(settings.database_url)
    watch_sql(injector, engine)
    with open_installation(settings, engine=engine, http=http_client(injector)) as stores:
        yield stores


def misbehaved(answer: ChildReport, fault: Fault) -> Iterator[str]:
    """Yield violations in how a child with an injected fault ended, whatever its act."""
    if not answer.injected:
        yield "not exercised: the effect was never met"
    elif answer.killed != (fault.mode in KILLS):
        yield "the child ended otherwise than by the fault"
    if answer.foreign and fault.mode != "EIO":  # a broken disk may be reported as the system's own error
        yield f"an error that is not ours: {answer.error}"


def patient(again: Callable[[], ChildReport]) -> ChildReport:
    """Retry while the job is busy: a killed process's lock lasts until the server sees its socket closed."""
    answer = again()
    for _ in range(40):
        if not answer.error.startswith(JobBusy.__name__):
            break
        time.sleep(0.05)
        answer = again()
    return answer
