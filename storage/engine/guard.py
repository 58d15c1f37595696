"""Pre-flight checks for a plan.

An operator may approve exceeded limits; failed environment checks (clocks, identity, pause) always refuse.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median

from storage.core.errors import Paused, Refused
from storage.core.model import Run, Totals, printable
from storage.core.ports import EngineStores, Stores
from storage.engine import last_run
from storage.engine.plan import Draft

MAX_SKEW = timedelta(seconds=60)
GIB, TIB = 1 << 30, 1 << 40
BACKUP_GUARD = "fresh_backup_guard"  # control row; "off" if the site makes its backups by other means
BACKUP_AGE = timedelta(hours=26)
LONGEST_PAUSE = timedelta(days=1)


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Limits of a run without approval. A larger plan waits for approval; no part of it is applied before.

    ``max_fraction`` is relative to all rows or objects of the class, never to the selection; None exempts
    the job.
    """

    max_objects: int | None = 10_000
    max_bytes: int | None = TIB
    max_fraction: float | None = 0.20
    small: int = 50  # a population of at most this size is exempt from the fraction
    times_history: float = 10.0
    history_floor: int = 200  # plans of at most this size are exempt from the comparison with history


UNLIMITED = Limits(max_objects=None, max_bytes=None, max_fraction=None, times_history=float("inf"))


def tripped(
    limits: Limits, draft: Draft, counted: Totals, population: int | None, history: Sequence[Run]
) -> list[str]:
    """Describe each limit the plan exceeds. ``counted``: the actions that the fraction limit applies to."""
    found = []
    if limits.max_objects is not None and draft.planned.count > limits.max_objects:
        found.append(f"{draft.planned.count:,} actions planned, {limits.max_objects:,} allowed")
    if limits.max_bytes is not None and draft.planned.bytes > limits.max_bytes:
        found.append(
            f"{draft.planned.bytes / GIB:,.1f} GiB planned, {limits.max_bytes / GIB:,.1f} GiB allowed"
        )
    if limits.max_fraction is not None and population and population > limits.small:
        share = counted.count / population
        if share > limits.max_fraction:
            wanted = f"{counted.count:,} of {population:,} ({share:.0%}) planned"
            found.append(f"{wanted}, {limits.max_fraction:.0%} allowed")
    usual = [run.planned.count for run in history if run.state == "verified"]
    if len(usual) >= 3 and draft.planned.count > limits.history_floor:
        typical = max(1.0, median(usual))
        if draft.planned.count > limits.times_history * typical:
            found.append(
                f"{draft.planned.count:,} actions planned, "
                f"more than {limits.times_history:g} times the usual {typical:,.0f}"
            )
    return found


def check_environment(stores: EngineStores, as_of: datetime) -> None:
    """Raise Refused or Paused unless bucket and database are the known ones and the clocks agree.

    Opens a restore epoch for a database that went back, and raises Refused while one is open.
    """
    running(stores)
    _clocks(stores, as_of)
    _identity(stores)
    last_run.check(stores)
    epoch = stores.control.read("restore_epoch")
    if epoch is not None:  # the row counts, whatever is in it
        raise Refused(
            "restore-epoch",
            "the database was restored, by this platform or by other means. Run `storage reconcile`, give "
            f"each job a verdict, then run `storage reconcile --close`. Details: {epoch}",
        )


def _clocks(stores: EngineStores, as_of: datetime) -> None:
    clocks = {
        "this worker": stores.clock(),
        "the database": stores.jobs.now(),
        "the object store": stores.objects.server_time(),
    }
    first, last = min(clocks, key=clocks.__getitem__), max(clocks, key=clocks.__getitem__)
    skew = clocks[last] - clocks[first]
    if skew > MAX_SKEW:
        raise Refused(
            "clocks",
            f"{last} is {skew.total_seconds():.0f} s ahead of {first}. Set the clocks (NTP) and run again.",
        )
    if as_of > clocks[first] + MAX_SKEW:
        raise Refused("as-of", f"{as_of.isoformat()} lies in the future.")


def _identity(stores: EngineStores) -> None:
    known, found = stores.control.read("identity"), stores.identity()
    if known is None:
        raise Refused("identity", "this installation was never set up here. Run `storage migrate`.")
    if known != found:
        raise Refused(
            "identity",
            f"this is not the bucket and database of before (known {known}, found {found}). "
            "If the change was intended, run `storage migrate --adopt`.",
        )


def shrunk(draft: Draft, stores: EngineStores, history: Sequence[Run]) -> None:
    """Refuse if fewer than half of the last run's remaining items are found: the listing was truncated."""
    last = next((run for run in history if run.state == "verified"), None)
    if last is None:
        return
    left = last.considered.count - last.done.count
    if left >= 100 and draft.considered.count < left / 2:
        raise Refused(
            "shrunk",
            f"{draft.considered.count:,} considered, but the last run left {left:,}. "
            "If the missing ones were removed on purpose, run `storage migrate --adopt`.",
        )


def file_clock(draft: Draft, stores: Stores, history: Sequence[Run]) -> None:
    """Refuse if the file system's clock, which file ages depend on, differs from this worker's."""
    apart = abs(stores.files.now() - stores.clock())
    if apart > MAX_SKEW:
        raise Refused(
            "clocks", f"the temp folder's clock differs by {apart.total_seconds():.0f} s from this worker's."
        )


def protected(draft: Draft, stores: EngineStores, history: Sequence[Run]) -> None:
    if draft.protected:
        raise Refused(
            "protected-prefix", f"{printable(draft.protected)} is protected; no maintenance job may touch it."
        )


def backlog(draft: Draft, stores: EngineStores, history: Sequence[Run]) -> None:
    """Refuse to fail a queue that is only waiting: without its workers, every job in it looks stuck."""
    queued, waiting = draft.by_status.get("queued", 0), stores.jobs.counts().get("queued", 0)
    if queued >= 10 and queued * 2 > waiting:
        raise Refused(
            "backlog",
            f"{queued:,} of {waiting:,} queued jobs look stuck: the workers seem to be stopped, and the jobs "
            "only wait. Start the workers, or fail the jobs by hand.",
        )


def running(stores: EngineStores) -> None:
    """Raise Paused if the kill switch is set; checked before every batch."""
    if pause := stores.control.paused():
        raise Paused(pause)


def pause_too_long(stores: EngineStores) -> str:
    """Return what is unsafe about a pause older than a day; empty without one."""
    pause = stores.control.paused()
    if pause is None or stores.clock() - pause.since <= LONGEST_PAUSE:
        return ""
    return f"maintenance has been paused {pause}: nothing is cleaned up or reaped. `storage resume` lifts it."


def fresh_backup(draft: Draft, stores: Stores, history: Sequence[Run]) -> None:
    """Refuse to delete files without a proven backup of the database younger than 26 h."""
    if stores.control.read(BACKUP_GUARD) == "off":
        return
    now = stores.clock()
    proven = stores.proven.newest(now + MAX_SKEW)
    if proven is None or now - proven > BACKUP_AGE:
        newest = f"of {proven.isoformat()}" if proven else "missing"
        raise Refused(
            "fresh-backup",
            f"the newest proven backup of the database is {newest}; it must be younger than 26 h. "
            "Run `storage backup run` (DAG daily_backup), which also proves the backup.",
        )
