"""Undo of a run's tombstones that have not been reaped, and what of a run no undo can take back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from storage.core.errors import NoSuchRun
from storage.core.model import JobId, Outcome, Tombstone, Totals
from storage.core.ports import EngineStores, Stores
from storage.engine.actions.base import S
from storage.engine.actions.files import put_back
from storage.engine.job import MaintenanceJob
from storage.engine.report import done_actions

MARKS = ("condemn", "condemn-file", "condemn-job")  # verbs that only write tombstones
CHANGES_NOTHING = ("follow",)
EXAMPLES = 20  # keys named for each verb
GONE = "reaped: deleted for good"
GOING = "reap has begun on it"
BEFORE = "undone before"
_NOT_LIFTED = {"reaped": GONE, "kept": "kept by reap", "undone": BEFORE}

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Selection:
    """Part of a run: what belongs to one job, or has one key or path; without both, all of it."""

    job: str = ""
    key: str = ""

    def of(self, items: Sequence[T], stores: EngineStores) -> list[T]:
        """Return the selected tombstones or actions. Another spelling of a job's id is that job."""
        found = [item for item in items if self.key in ("", item.key)]  # type: ignore[attr-defined]
        if not self.job:
            return found
        rows = stores.jobs.get({JobId(self.job), *filter(None, map(_owner, found))})
        asked = rows.get(JobId(self.job))

        def is_asked(owner: JobId | None) -> bool:
            row = rows.get(owner) if owner else None
            return owner == self.job or bool(row and asked and row.id == asked.id)

        return [item for item in found if is_asked(_owner(item))]


ALL = Selection()


def _owner(item: Any) -> JobId | None:
    """Return the job of a tombstone or action; a row of the pipeline's jobs is its own."""
    owner = item.key if getattr(item, "touches", "") == "job" else getattr(item, "owner", None)
    return JobId(owner) if owner else None


@dataclass(frozen=True, slots=True)
class Lasting:
    """Effects of a run by one verb that no undo takes back; ``keys`` are the first of its targets."""

    verb: str
    total: Totals = Totals()
    keys: tuple[str, ...] = ()


def undo(
    run_id: str, stores: Stores, only: Selection = ALL, *, dry_run: bool = False, by: str = ""
) -> list[tuple[Tombstone, Outcome]]:
    """Undo the selected tombstones of the run that reap has not begun, and rename its files back.

    May be repeated: a file whose tombstone was undone before a crash is still renamed back. With ``dry_run``
    nothing changes, and the outcomes are those that an undo would have now.
    """
    run = stores.runs.get(run_id)
    if run is None:
        raise NoSuchRun(run_id)
    with stores.runs.lock(run.job):
        tombstones = only.of(list(stores.tombstones.of_run(run_id)), stores)
        condemned = [tombstone.id for tombstone in tombstones if tombstone.state == "condemned"]
        lifted = stores.tombstones.undo(condemned, dry_run=dry_run)
        result = [
            (tombstone, _one(tombstone, tombstone.id in lifted, stores, dry_run)) for tombstone in tombstones
        ]
        if not dry_run:
            detail = {"lifted": len(lifted), "job": only.job, "key": only.key, "by": by}
            stores.audit.record("undo", run_id, detail)
    return result


def _one(tombstone: Tombstone, lifted: bool, stores: Stores, dry_run: bool) -> Outcome:
    aside = tombstone.kind == "file" and stores.files.look(tombstone.held_at) is not None
    if not lifted and not (aside and tombstone.state in ("undone", "kept", "reaped")):
        return Outcome("skipped", _NOT_LIFTED.get(tombstone.state, GOING), tombstone.size)
    if aside and not _put_back(tombstone, stores, dry_run):
        return Outcome(
            "failed", f"a new file has its path; the condemned file is at {tombstone.held_at}", tombstone.size
        )
    return Outcome("done", "", tombstone.size)


def _put_back(tombstone: Tombstone, stores: Stores, dry_run: bool) -> bool:
    if dry_run:
        return stores.files.look(tombstone.key) is None
    return put_back(stores.files, tombstone.held_at, tombstone.key)


def lasting(job: MaintenanceJob[S], run_id: str, stores: S, only: Selection = ALL) -> list[Lasting]:
    """Return what the run did, so far as it is recorded, that undo does not take back, by verb."""
    verbs = job.by_verb.keys() - {*MARKS, *CHANGES_NOTHING}
    run = stores.runs.get(run_id)
    found: dict[str, Lasting] = {}
    for batch in done_actions(job, run, stores) if run and verbs else ():
        for action in only.of(batch, stores):
            if action.verb in verbs:
                known = found.get(action.verb, Lasting(action.verb))
                total = known.total + Totals(1, action.size)
                keys = known.keys if len(known.keys) >= EXAMPLES else (*known.keys, action.key)
                found[action.verb] = replace(known, total=total, keys=keys)
    return list(found.values())


def total(outcomes: Iterable[Outcome]) -> Totals:
    return sum((Totals(1, outcome.bytes) for outcome in outcomes), Totals())
