"""Policy for objects of jobs that an operator condemned after a restore."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import islice

from storage.backup.ports import BackupStores
from storage.core.model import JOB_PREFIXES, JobId, ObjectInfo, Owned, Prefix, owner_of
from storage.engine.actions import Action, Keep
from storage.engine.policy import LOOK_UP, condemn, with_jobs

NOTICE = timedelta(days=14)  # the same as for orphans
SKEW = timedelta(seconds=60)  # the store's clock may deviate this much from the restore's


@dataclass(frozen=True, slots=True)
class DeletionCandidate:
    """Object of a condemned job; ``epoch`` is the restore after which the job was condemned."""

    item: Owned
    epoch: datetime


@dataclass(frozen=True, kw_only=True)
class CondemnUnreconciled:
    """Policy that condemns objects of jobs that were condemned after a restore and have no row.

    Only objects that existed when the database was restored, and none before the epoch is closed. No operator
    has judged later objects: they stay.
    """

    notice: timedelta = NOTICE

    def select(self, stores: BackupStores, as_of: datetime) -> Iterator[DeletionCandidate]:
        verdicts = stores.verdicts.condemned()
        while chunk := list(islice(verdicts, LOOK_UP)):
            epochs = {verdict.owner: verdict.epoch for verdict in chunk}
            for item in with_jobs(_objects(epochs, stores), _owner, stores, stores.tombstones):
                assert isinstance(item.thing, ObjectInfo)
                judged = _owner(item.thing)  # as the verdict spells it, which a row may do otherwise
                assert judged
                yield DeletionCandidate(item, epochs[judged])

    def plan(
        self, items: Iterable[DeletionCandidate], as_of: datetime
    ) -> Iterator[Action[BackupStores] | Keep]:
        for to_delete in items:
            item, info = to_delete.item, to_delete.item.thing
            assert isinstance(info, ObjectInfo)
            if item.job:
                yield Keep(info.key, info.size, f"job {item.owner} has a row ({item.job.status})")
            elif item.condemned:
                yield Keep(info.key, info.size, "already condemned")
            elif info.last_modified > to_delete.epoch + SKEW:
                yield Keep(info.key, info.size, f"came after the restore of {to_delete.epoch:%Y-%m-%d %H:%M}")
            else:
                why = f"job {item.owner} was condemned after the restore of {to_delete.epoch:%Y-%m-%d %H:%M}"
                act = condemn(info, as_of + self.notice, why, item.owner, None)
                yield replace(act, notice_seconds=self.notice.total_seconds())


def _objects(owners: Iterable[JobId], stores: BackupStores) -> Iterator[ObjectInfo]:
    for owner in owners:
        for prefix in JOB_PREFIXES:
            yield from stores.objects.scan(Prefix(f"{prefix}{owner}/"))


def _owner(info: ObjectInfo) -> JobId | None:
    head, slash, _ = info.key.partition("/")
    return owner_of(info.key, Prefix(head + slash))
