"""Policy protocol, and helpers shared by policies."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from itertools import islice
from typing import Any, Protocol, TypeVar

from storage.core.model import Job, JobId, LocalFile, ObjectInfo, Owned, UploadInfo
from storage.core.ports import EngineStores
from storage.core.records import Tombstones
from storage.engine.actions import Action, CondemnObject, Keep
from storage.engine.actions.base import S_contra

NOTICE = timedelta(days=1)  # minimum time between condemning an object and deleting it
LOOK_UP = 1000  # rows read by one statement
Thing = TypeVar("Thing", ObjectInfo, LocalFile, UploadInfo)


class Policy(Protocol[S_contra]):
    """A selection rule. Each candidate yields exactly one action or one Keep."""

    def select(self, stores: S_contra, as_of: datetime) -> Iterable[Any]:
        """Stream the candidates; the policy's only I/O."""
        ...

    def plan(self, items: Iterable[Any], as_of: datetime) -> Iterator[Action[S_contra] | Keep]:
        """Decide on each candidate, as a pure function."""
        ...


def with_jobs(
    things: Iterable[Thing],
    owner: Callable[[Thing], JobId | None],
    stores: EngineStores,
    tombstones: Tombstones | None = None,
) -> Iterator[Owned]:
    """Yield each item with the row of the job its path names, read a thousand at a time.

    The owner is the row's id, which the path may spell in another way. With ``tombstones``, ``condemned``
    tells whether the object already has an open tombstone.
    """
    stream = iter(things)
    while chunk := list(islice(stream, LOOK_UP)):
        owners = [owner(thing) for thing in chunk]
        jobs = stores.jobs.get({job_id for job_id in owners if job_id})
        keys = [thing.path if isinstance(thing, LocalFile) else thing.key for thing in chunk]
        condemned = tombstones.open_keys(stores.objects.bucket, keys) if tombstones else set()
        for thing, job_id, key in zip(chunk, owners, keys, strict=True):
            job = jobs.get(job_id) if job_id else None
            yield Owned(thing, job.id if job else job_id, job, key in condemned)


def condemn(
    info: ObjectInfo,
    due: datetime,
    reason: str,
    owner: JobId | None,
    job: Job | None,
    *,
    with_job: bool = False,
) -> CondemnObject:
    """Build the action that condemns an object in its current state, with its job's current row."""
    return CondemnObject(
        key=info.key,
        size=info.size,
        etag=info.etag,
        last_modified=info.last_modified,
        delete_after=due,
        notice_seconds=NOTICE.total_seconds(),
        reason=reason,
        owner=owner,
        owner_updated_at=job.updated_at if job else None,
        goes_with_job=with_job,
    )


def span(length: timedelta) -> str:
    """Format a duration for an operator: '3 days', '26 h', '12 min'."""
    minutes = max(0, int(length.total_seconds() // 60))
    if minutes >= 72 * 60:
        return f"{minutes // 1440} days"
    return f"{minutes // 60} h" if minutes >= 120 else f"{minutes} min"
