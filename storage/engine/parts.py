"""Parallel application of a plan: started once, applied in parts by key range, ended once.

:func:`storage.engine.apply.apply` does this in one process; Airflow uses these three functions in mapped
tasks. The job's lock is exclusive while a run starts and ends, and shared by the parts in between.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from storage.core.errors import ActionsFailed, Refused
from storage.core.model import Run
from storage.core.ports import EngineStores
from storage.engine import guard
from storage.engine.actions.base import S
from storage.engine.apply import (
    Batch,
    Progress,
    apply_batches,
    begin,
    conclude,
    cut,
    deadline,
    load,
    load_for,
    recorded,
)
from storage.engine.job import MaintenanceJob
from storage.engine.plan import read

FEWEST, MOST = 4, 64  # parts a plan is cut into
WORTH_A_PART = 250  # actions: starting a smaller part would cost more than applying it


@dataclass(frozen=True, slots=True)
class Part:
    """Key range ``number`` of ``of`` over the actions of one verb."""

    verb: str
    number: int
    of: int


def start(run_id: str, stores: EngineStores) -> tuple[Run, datetime | None]:
    """Set the run to applying; return it with the time after which no batch may start."""
    with stores.runs.lock(load(run_id, stores).job):
        run = begin(run_id, stores)
    return run, deadline(run, stores)


def count(actions: int) -> int:
    """Return the number of parts for so many actions: at least 4 and at most 64."""
    return min(MOST, max(FEWEST, -(-actions // WORTH_A_PART)))


def apply_part(
    job: MaintenanceJob[S],
    run_id: str,
    part: Part,
    stores: S,
    *,
    until: datetime | None = None,
    progress: Progress | None = None,
) -> None:
    """Apply one part. May be repeated and run concurrently; JobBusy if the same part is being applied."""
    run = load_for(job, run_id, stores)
    if run.state == "verified":
        return
    if run.state != "applying":
        raise Refused("parts", f"run {run.id} is {run.state}: {run.message or 'it was not started'}")
    twin = f"{run.id} {part.verb} {part.number}/{part.of}"
    with stores.runs.lock(run.job, shared=True) as still_locked, stores.runs.lock(twin):
        apply_batches(run, _batches(job, run, part, stores), stores, still_locked, progress, until=until)


def end(job: MaintenanceJob[S], run_id: str, stores: S) -> Run:
    """Verify and record the run. Raises Paused or ActionsFailed if a part did not finish."""
    run = load_for(job, run_id, stores)
    if run.state != "applying":
        return run
    with stores.runs.lock(run.job), recorded(run, stores):
        finished = stores.runs.finished(run.id)
        left = sum(
            len(batch.actions)
            for batch in cut(read(run, stores.plans, job.by_verb))
            if batch.number not in finished
        )
        if left:
            guard.running(stores)  # a pause, not a failure, ended the parts early
            raise ActionsFailed(left, run.planned.count, "a part ended early; see the log of that task")
        return conclude(job, run, stores)


def _batches(job: MaintenanceJob[S], run: Run, part: Part, stores: S) -> Iterator[Batch[S]]:
    """Yield the part's batches: one range of its verb's batches, which are in key order in each chunk."""
    mine = sum(1 for batch in cut(read(run, stores.plans, job.by_verb)) if batch.actions[0].verb == part.verb)
    first, last = (mine * number // part.of for number in (part.number, part.number + 1))
    ordinal = 0
    for batch in cut(read(run, stores.plans, job.by_verb)):
        if batch.actions[0].verb == part.verb:
            if first <= ordinal < last:
                yield batch
            ordinal += 1
