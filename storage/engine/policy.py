"""What every policy is, and the look-up they share."""

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

NOTICE = timedelta(days=1)  # least time between condemning an object and deleting it
LOOK_UP = 1000  # rows asked for by one statement
Thing = TypeVar("Thing", ObjectInfo, LocalFile, UploadInfo)


class Policy(Protocol[S_contra]):
    """A rule. Every considered thing becomes exactly one action or one Keep."""

    def select(self, stores: S_contra, as_of: datetime) -> Iterable[Any]:
        """The candidates, streamed; the policy's only I/O."""
        ...

    def plan(self, items: Iterable[Any], as_of: datetime) -> Iterator[Action[S_contra] | Keep]:
        """Decide, purely."""
        ...


def with_jobs(
    things: Iterable[Thing],
    owner: Callable[[Thing], JobId | None],
    stores: EngineStores,
    tombstones: Tombstones | None = None,
) -> Iterator[Owned]:
    """Each thing with the row of the job its place names, a thousand at a time.

    With ``tombstones`` it is looked up whether the object is condemned already.
    """
    stream = iter(things)
    while chunk := list(islice(stream, LOOK_UP)):
        owners = [owner(thing) for thing in chunk]
        jobs = stores.jobs.get({one for one in owners if one})
        keys = [thing.path if isinstance(thing, LocalFile) else thing.key for thing in chunk]
        condemned = tombstones.open_keys(stores.objects.bucket, keys) if tombstones else set()
        for thing, one, key in zip(chunk, owners, keys, strict=True):
            yield Owned(thing, one, jobs.get(one) if one else None, key in condemned)


def condemn(
    info: ObjectInfo,
    due: datetime,
    reason: str,
    owner: JobId | None,
    job: Job | None,
    *,
    with_job: bool = False,
) -> CondemnObject:
    """Condemn an object as it is seen now, and its job as its row is now."""
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
    """A length of time as an operator says it: '3 days', '26 h', '12 min'."""
    minutes = max(0, int(length.total_seconds() // 60))
    if minutes >= 72 * 60:
        return f"{minutes // 1440} days"
    return f"{minutes // 60} h" if minutes >= 120 else f"{minutes} min"
