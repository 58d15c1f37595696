"""Reconciliation after a restore: jobs with files or rows newer than the backup are adopted or condemned.

The database is as of ``taken_at``, the objects are of today: without their rows they look like orphans. So
every destructive job refuses until each such job has a verdict and the epoch is closed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from heapq import merge
from itertools import groupby, islice
from typing import Literal

from storage.backup.context import BackupContext
from storage.backup.ports import BackupStores
from storage.backup.postgres import copy_rows, reconcile
from storage.backup.restore.unreconciled import SKEW
from storage.core.errors import ConfigError, Refused, UsageError
from storage.core.model import JOB_PREFIXES, Job, JobId, ObjectInfo, Prefix, owner_of
from storage.core.records import Ruling
from storage.engine.policy import LOOK_UP

LOCK = "reconcile"


@dataclass(frozen=True, slots=True)
class Epoch:
    """Time between a restore and its reconciliation. ``kept``: the previous database, '' for none."""

    backup: str
    taken_at: datetime
    restored_at: datetime
    kept: str


@dataclass(frozen=True, slots=True)
class Unreconciled:
    """Job that needs a verdict: its objects from before the restore, the newest of them, and its row.

    ``row`` compares the live row with the kept database's ("same" also where that database has none).
    """

    owner: JobId
    objects: int
    bytes: int
    newest: datetime | None
    row: Literal["missing", "older", "same"]
    in_kept: bool
    verdict: Ruling | None


@dataclass(frozen=True, slots=True)
class _Found:
    """Data on a job from one listing, or from the kept database."""

    owner: JobId
    objects: int = 0
    bytes: int = 0
    newest: datetime | None = None


def open_epoch(stores: BackupStores) -> Epoch:
    """Return the open epoch. Raises UsageError if there is none, ConfigError if it cannot be read."""
    text = stores.control.read("restore_epoch")
    if text is None:
        raise UsageError("No restore waits to be reconciled; `storage restore` begins a restore.")
    try:
        answer = json.loads(text)
        return Epoch(
            backup=answer["backup"],
            taken_at=datetime.fromisoformat(answer["taken_at"]),
            restored_at=datetime.fromisoformat(answer["restored_at"]),
            kept=answer.get("kept") or "",
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(
            f"The control row restore_epoch cannot be read ({error!r}): it must be JSON with backup, "
            "taken_at, restored_at and kept."
        ) from error


def pending(context: BackupContext) -> Iterator[Unreconciled]:
    """Yield every job that needs a verdict, with its present verdict, streamed in the order of the folders.

    Such a job has objects from before the restore, and one of these is newer than the backup or the job has
    no row; or its row in the kept database is newer than the backup. Objects outside job folders belong to no
    job.
    """
    epoch = open_epoch(context.stores)
    with reconcile.kept(context.settings.database_url, epoch.kept) as kept:
        until = epoch.restored_at + SKEW
        sources = [_by_owner(context.stores.objects.scan(prefix), prefix, until) for prefix in JOB_PREFIXES]
        if kept:
            sources.append(_Found(owner) for owner in kept.changed_since(epoch.taken_at))
        together = groupby(merge(*sources, key=_folder), lambda found: found.owner)
        found = (_sum(owner, group) for owner, group in together)
        while chunk := list(islice(found, LOOK_UP)):
            yield from _compared(chunk, context.stores, epoch, kept)


def _by_owner(infos: Iterable[ObjectInfo], prefix: Prefix, until: datetime) -> Iterator[_Found]:
    """Sum a listing by job. It comes in key order, so the objects of a job are adjacent."""
    for owner, group in groupby(infos, lambda info: owner_of(info.key, prefix)):
        if owner:
            seen = (info for info in group if info.last_modified <= until)
            found = _sum(owner, (_Found(owner, 1, info.size, info.last_modified) for info in seen))
            if found.objects:
                yield found


def _folder(found: _Found) -> bytes:
    """Return the sort key of a job's folder. Folders sort with their slash, so job a-b comes before job a."""
    return f"{found.owner}/".encode()


def _sum(owner: JobId, parts: Iterable[_Found]) -> _Found:
    objects, size, newest = 0, 0, None
    for part in parts:
        objects, size = objects + part.objects, size + part.bytes
        newest = max(filter(None, (newest, part.newest)), default=None)
    return _Found(owner, objects, size, newest)


def _compared(
    chunk: list[_Found], stores: BackupStores, epoch: Epoch, kept: reconcile.Kept | None
) -> Iterator[Unreconciled]:
    owners = [found.owner for found in chunk]
    rows, verdicts = stores.jobs.get(owners), stores.verdicts.of(owners, epoch.restored_at)
    before = kept.get(owners) if kept else {}
    for found in chunk:
        row, old = rows.get(found.owner), before.get(found.owner)
        if _in_doubt(found, row, old, epoch.taken_at):
            verdict = verdicts.get(found.owner)
            yield Unreconciled(
                owner=found.owner,
                objects=found.objects,
                bytes=found.bytes,
                newest=found.newest,
                row=_row(row, old),
                in_kept=old is not None,
                verdict=verdict.ruling if verdict else None,
            )


def _in_doubt(found: _Found, row: Job | None, old: Job | None, taken_at: datetime) -> bool:
    newest = max(filter(None, (found.newest, old.updated_at if old else None)), default=None)
    return row is None or (newest is not None and newest > taken_at)


def _row(row: Job | None, old: Job | None) -> Literal["missing", "older", "same"]:
    if row is None:
        return "missing"
    if old is None or old.updated_at is None:
        return "same"
    return "older" if row.updated_at is None or row.updated_at < old.updated_at else "same"


def decide(context: BackupContext, owners: Iterable[str], verdict: Ruling, by: str) -> int:
    """Record a verdict on jobs; return their number. The last verdict before the epoch is closed holds.

    adopt: the kept database's row is copied where the live one is missing or older, and the objects are not
    orphans from then on, with or without a row. condemn: once the epoch is closed, ``condemn_unreconciled``
    condemns the objects of those jobs that have no row; no row is ever deleted.

    May be repeated. Raises UsageError without an open epoch, JobBusy while another process reconciles,
    PipelineTableWrong or NotAdopted.
    """
    stores, wanted = context.stores, sorted({JobId(owner) for owner in owners})
    with stores.runs.lock(LOCK):
        epoch, copied = open_epoch(stores), 0
        with reconcile.kept(context.settings.database_url, epoch.kept) as kept:
            for first in range(0, len(wanted), LOOK_UP):
                chunk = wanted[first : first + LOOK_UP]
                if kept and verdict == "adopt":
                    copied += kept.copy(chunk)  # before the verdict, which records that this was done
                stores.verdicts.record(chunk, verdict, epoch.restored_at, by)
        detail = {"verdict": verdict, "jobs": len(wanted), "rows": copied, "by": by, "backup": epoch.backup}
        stores.audit.record("reconcile", "", detail)
    return len(wanted)


def close(context: BackupContext, by: str) -> None:
    """Close the epoch, so that maintenance goes on.

    Raises Refused while a job has no verdict, UsageError if no epoch is open, JobBusy while another process
    reconciles.
    """
    stores = context.stores
    with stores.runs.lock(LOCK):
        epoch = open_epoch(stores)
        count, first = 0, ""
        for job in pending(context):
            if job.verdict is None:
                count, first = count + 1, first or job.owner
        if count:
            raise Refused(
                "restore-epoch",
                f"{count:,} jobs are not judged yet, such as {first!r}. `storage reconcile` lists them; "
                "adopt or condemn each, then close again.",
            )
        if not (epoch.backup or epoch.kept):  # not restored by this platform, which voids marks by itself
            with copy_rows.opened(context.settings.database_url) as session:
                copy_rows.void(session)
        stores.verdicts.close(epoch.restored_at, by, stores.clock())
