"""Verbs on the platform's own records: remove closed rows, an ended run, a deletion log."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar

from storage.core.deletion import DeleteTarget
from storage.core.errors import JobBusy, ObjectMissing, PlanChanged
from storage.core.model import ObjectInfo, ObjectKey, Outcome, Run
from storage.core.ports import ObjectStore
from storage.engine.actions.base import BatchSize, Touches, Work
from storage.engine.plan import lines
from storage.records import deletions
from storage.records.model import OldRows, Table
from storage.records.ports import RecordStores

MAY_BEGIN = ("planned", "failed")  # states of a run whose plan can still be applied


@dataclass(frozen=True, slots=True, kw_only=True)
class PruneRows:
    """Remove closed rows of one table; a row that was opened again stays."""

    verb: ClassVar[str] = "prune-rows"
    touches: ClassVar[Touches] = "record"
    batch_size: ClassVar[BatchSize] = BatchSize(1)

    key: str
    table: Table
    before: datetime
    since: datetime
    until: datetime
    last_id: str
    count: int
    reason: str
    size: int = 0

    @classmethod
    def apply(cls, batch: Sequence[PruneRows], work: Work[RecordStores]) -> list[Outcome]:
        deleted = [work.stores.records.delete_rows(action._rows) for action in batch]
        return [Outcome("done") if count else Outcome("skipped", "already gone") for count in deleted]

    def holds(self, stores: RecordStores) -> bool:
        return not stores.records.any_left(self._rows)

    @property
    def _rows(self) -> OldRows:
        return OldRows(self.table, self.before, self.since, self.until, self.last_id, self.count)


@dataclass(frozen=True, slots=True, kw_only=True)
class PruneRun:
    """Remove an ended run: write its deletion log, delete its plan file, then its rows.

    In this order, so that at every instant what the run deleted can be read from its plan or from its log,
    and so that a run without a plan is found again by its row.
    """

    verb: ClassVar[str] = "prune-run"
    touches: ClassVar[Touches] = "record"
    batch_size: ClassVar[BatchSize] = BatchSize(20)

    key: str
    plan: str
    state: str
    sha256: str
    before: datetime
    reason: str
    size: int = 0

    @classmethod
    def apply(cls, batch: Sequence[PruneRun], work: Work[RecordStores]) -> list[Outcome]:
        return [action._prune(work) for action in batch]

    def _prune(self, work: Work[RecordStores]) -> Outcome:
        stores = work.stores
        run = stores.runs.get(self.key)
        if run is None:
            return Outcome("skipped", "already gone")
        if (run.state, run.plan_sha256) != (self.state, self.sha256):
            return Outcome("skipped", f"has moved on since the plan (now {run.state})")
        try:
            with _not_begun(run, work):
                return self._remove(run, stores)
        except JobBusy:
            return Outcome("skipped", f"{run.job} is running; a later night prunes this run")
        except PlanChanged:
            return Outcome("skipped", "its plan file is not the one that was recorded; both stay")

    def _remove(self, run: Run, stores: RecordStores) -> Outcome:
        plan = stores.plans.head(ObjectKey(self.plan))
        if plan and not _logged(run, stores):
            return Outcome("failed", "its deletion log could not be written; the plan stays")
        if plan and (left := _delete(stores.plans, plan)):
            return left
        if not stores.records.delete_run(run, self.before):
            return Outcome("skipped", "is referred to again, or went meanwhile")
        return Outcome("done", bytes=plan.size if plan else 0)

    def holds(self, stores: RecordStores) -> bool:
        return stores.runs.get(self.key) is None and stores.plans.head(ObjectKey(self.plan)) is None


@dataclass(frozen=True, slots=True, kw_only=True)
class PruneLog:
    """Remove a deletion log, if it is still the one that was seen."""

    verb: ClassVar[str] = "prune-log"
    touches: ClassVar[Touches] = "record"
    batch_size: ClassVar[BatchSize] = BatchSize(100)

    key: str
    size: int
    etag: str
    before: datetime
    reason: str

    @classmethod
    def apply(cls, batch: Sequence[PruneLog], work: Work[RecordStores]) -> list[Outcome]:
        return [action._prune(work.stores.plans) for action in batch]

    def _prune(self, plans: ObjectStore) -> Outcome:
        end, log = deletions.month_end(self.key), plans.head(ObjectKey(self.key))
        if log is None or end is None or end > self.before or log.etag != self.etag:
            return Outcome("skipped", "not the log that was seen" if log else "already gone", self.size)
        return _delete(plans, log) or Outcome("done", bytes=self.size)

    def holds(self, stores: RecordStores) -> bool:
        return stores.plans.head(ObjectKey(self.key)) is None


def _not_begun(run: Run, work: Work[RecordStores]) -> AbstractContextManager[Any]:
    """Hold the lock under which the run's plan could be applied; the job of this very run is held already."""
    if run.state not in MAY_BEGIN or run.job == work.job:
        return nullcontext()
    return work.stores.runs.lock(run.job)


def _logged(run: Run, stores: RecordStores) -> bool:
    """Write the log of what the run deleted; return True if it is there.

    The batches are read before the plan. A twin deletes the plan before the batches, so whoever can read the
    plan has read all batches.
    """
    batches = stores.records.batches(run)
    try:
        return deletions.write(run, deletions.deletions(run, lines(run, stores.plans), batches), stores.plans)
    except ObjectMissing:  # a twin has written the log and deleted the plan since
        return True


def _delete(plans: ObjectStore, info: ObjectInfo) -> Outcome | None:
    """Delete the object as it was seen, with all versions. Return the outcome if that is refused."""
    failed = plans.delete([DeleteTarget(info.key, info.etag, info.versions)])
    if not failed:
        return None
    if lock := failed[0].lock:
        return Outcome("skipped", str(lock), info.size)
    return Outcome("failed", f"{failed[0].code}: {failed[0].message} ({failed[0].key})", info.size)
