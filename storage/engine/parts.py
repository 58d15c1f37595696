"""A plan carried out by several processes: begun once, in parts by key range, concluded once.

What one process does in :func:`storage.engine.apply.apply`, Airflow does in mapped tasks with these three.
The job's lock is held by one while a run begins and ends, and shared by the parts in between.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from storage.core.errors import ActionsFailed, Refused
from storage.core.model import Run
from storage.core.ports import EngineStores
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
WORTH_A_PART = 250  # actions: a smaller part would cost more to start than it does


@dataclass(frozen=True, slots=True)
class Part:
    """The ``number``-th of ``of`` key ranges of the actions of one verb."""

    verb: str
    number: int
    of: int


def start(run_id: str, stores: EngineStores) -> tuple[Run, datetime | None]:
    """Turn the run to applying; the run, and when its last batch must have begun."""
    with stores.runs.lock(load(run_id, stores).job):
        run = begin(run_id, stores)
    return run, deadline(run, stores)


def count(actions: int) -> int:
    """How many parts are worth it: at least four and at most 64."""
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
    """Do one part. May be repeated, and beside the others. Raises JobBusy beside a twin of itself."""
    run = load_for(job, run_id, stores)
    if run.state == "verified":
        return
    if run.state != "applying":
        raise Refused("parts", f"run {run.id} is {run.state}: {run.message or 'it was not begun'}")
    twin = f"{run.id} {part.verb} {part.number}/{part.of}"
    with stores.runs.lock(run.job, shared=True) as still_locked, stores.runs.lock(twin):
        apply_batches(run, _batches(job, run, part, stores), stores, still_locked, progress, until=until)


def end(job: MaintenanceJob[S], run_id: str, stores: S) -> Run:
    """Verify and record the run. Raises ActionsFailed where a part was not carried out to its end."""
    run = load_for(job, run_id, stores)
    if run.state != "applying":
        return run
    with stores.runs.lock(run.job), recorded(run, stores):
        finished = stores.runs.finished(run.id)
        left = sum(
            len(one.actions)
            for one in cut(read(run, stores.plans, job.by_verb))
            if one.number not in finished
        )
        if left:
            raise ActionsFailed(left, run.planned.count, "a part of it ended early; its own log says why")
        return conclude(job, run, stores)


def _batches(job: MaintenanceJob[S], run: Run, part: Part, stores: S) -> Iterator[Batch[S]]:
    """The part's batches: one range of those of its verb, which are in key order within each chunk."""
    mine = sum(1 for batch in cut(read(run, stores.plans, job.by_verb)) if batch.actions[0].verb == part.verb)
    first, last = (mine * number // part.of for number in (part.number, part.number + 1))
    ordinal = 0
    for batch in cut(read(run, stores.plans, job.by_verb)):
        if batch.actions[0].verb == part.verb:
            if first <= ordinal < last:
                yield batch
            ordinal += 1
