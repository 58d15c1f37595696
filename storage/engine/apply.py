"""Application of a plan in batches: each is rechecked, applied and recorded; finished ones never repeat."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import groupby
from typing import Generic

from storage.core.errors import (
    ActionsFailed,
    LockLost,
    NoSuchRun,
    NotApproved,
    PlanRejected,
    Refused,
    StorageError,
    UsageError,
    VerificationFailed,
)
from storage.core.model import Outcome, Run
from storage.core.ports import EngineStores
from storage.engine import guard, last_run
from storage.engine.actions import Action, BatchSize, Work
from storage.engine.actions.base import S, S_contra
from storage.engine.breaker import Breaker
from storage.engine.job import MaintenanceJob
from storage.engine.plan import read

THREADS = 4  # batches of one verb that run concurrently
SAMPLE = 100  # actions verified after the run
MINUTES = "budget_minutes"  # the parameter of jobs with a time budget
TIME_SPENT = "the time budget of this run is spent; the next run continues from here"

Progress = Callable[[str, int], None]


@dataclass(frozen=True, slots=True)
class Batch(Generic[S_contra]):
    """Consecutive actions of one verb; ``first`` is the plan line of the first action."""

    number: int
    first: int
    actions: Sequence[Action[S_contra]]


def apply(
    job: MaintenanceJob[S],
    run_id: str,
    stores: S,
    *,
    approve: str = "",
    by: str = "",
    progress: Progress | None = None,
) -> Run:
    """Apply the plan of a run of ``job``, or the rest of it. Returns the verified run.

    Raises NotApproved, Refused, Paused or JobBusy before anything is done; ActionsFailed or
    VerificationFailed at the end; TooManyFailures when it stops early. A verified run is returned as is.
    """
    run = load_for(job, run_id, stores)
    if run.state == "verified":
        return run
    if approve:
        stores.runs.approve(run.id, approve, by)
        run = load(run_id, stores)
    with stores.runs.lock(run.job) as still_locked:
        run = begin(run_id, stores)
        if run.state == "verified":
            return run
        with recorded(run, stores):
            todo = cut(read(run, stores.plans, job.by_verb))
            apply_batches(run, todo, stores, still_locked, progress, until=deadline(run, stores))
            return conclude(job, run, stores)


def begin(run_id: str, stores: EngineStores) -> Run:
    """Set the run to applying, if that is allowed; a verified run is returned as is.

    The caller holds the job's lock.
    """
    run = load(run_id, stores)
    if run.state == "verified":
        return run
    _may(run, stores)
    guard.check_environment(stores, run.as_of)
    _close_interrupted(run, stores)
    run = replace(run, state="applying", message="")
    stores.runs.save(run)
    stores.audit.record("apply", run.id, {"planned": run.planned.count, "sha256": run.plan_sha256})
    last_run.record(run, stores)  # before the first action: what it does is known to be done
    return run


def deadline(run: Run, stores: EngineStores) -> datetime | None:
    """Return the time after which the run starts no batch, from its time budget; None without a budget."""
    minutes = run.params.get(MINUTES)
    return stores.clock() + timedelta(minutes=float(minutes)) if minutes else None


def load(run_id: str, stores: EngineStores) -> Run:
    run = stores.runs.get(run_id)
    if run is None:
        raise NoSuchRun(run_id)
    return run


def load_for(job: MaintenanceJob[S], run_id: str, stores: EngineStores) -> Run:
    """Load a run of ``job``. Raises NoSuchRun, and UsageError for a run of another job."""
    run = load(run_id, stores)
    if run.job != job.name:
        raise UsageError(f"Run {run.id} belongs to job {run.job}, not to {job.name}.")
    return run


def _may(run: Run, stores: EngineStores) -> None:
    """Raise Refused or NotApproved unless the run may be applied to these stores."""
    if run.bucket not in ("", stores.objects.bucket):
        why = f"run {run.id} was planned for bucket {run.bucket}, and this is {stores.objects.bucket}"
        raise Refused("bucket", f"{why}. Set STORAGE_BUCKET to {run.bucket}, or plan again.")
    if run.state == "refused":
        raise Refused("guard", run.message)
    if run.state == "rejected":
        raise PlanRejected(run.id, run.message)
    if run.state == "waiting" and run.approved_sha256 != run.plan_sha256:
        raise NotApproved(run.id, run.message)


def _close_interrupted(run: Run, stores: EngineStores) -> None:
    """Mark interrupted runs of the job as failed.

    The caller holds the job's lock, so any other run of it recorded as applying was killed.
    """
    for other in stores.runs.latest(run.job, state="applying"):
        if other.id != run.id:
            left = _totals(other, stores)
            stores.runs.save(replace(left, state="failed", message="interrupted", finished_at=stores.clock()))


@contextmanager
def recorded(run: Run, stores: EngineStores) -> Iterator[None]:
    """Record any exception that ends the block in the run."""
    try:
        yield
    except BaseException as error:  # also a cancel or Ctrl-C: the record must not show it as running
        why = str(error) or type(error).__name__
        with suppress(StorageError):  # an unreachable database must not mask the cause
            if stores.runs.get(run.id):  # one that the database no longer knows is not entered again
                left = replace(_totals(run, stores), state="failed", message=why, finished_at=stores.clock())
                stores.runs.save(left)
        raise


def conclude(job: MaintenanceJob[S], run: Run, stores: S) -> Run:
    """Verify a sample of the actions and record the run. Raises ActionsFailed or VerificationFailed."""
    if stores.runs.get(run.id) is None:  # the database went back meanwhile: entered, the run would hide that
        raise LockLost(run.job)
    run = _totals(run, stores)
    _verify(job, run, stores)
    if run.failed.count:
        raise ActionsFailed(run.failed.count, run.planned.count, _first_failure(run.id, stores))
    run = replace(run, state="verified", message="", finished_at=stores.clock())
    stores.runs.save(run)
    stores.audit.record("verified", run.id, {"done": run.done.count, "bytes": run.done.bytes})
    return run


def apply_batches(
    run: Run,
    batches: Iterable[Batch[S]],
    stores: S,
    still_locked: Callable[[], None],
    progress: Progress | None = None,
    *,
    until: datetime | None = None,
) -> None:
    """Apply the batches no earlier attempt finished. Batches due after ``until`` are left to a later run."""
    finished, breaker = stores.runs.finished(run.id), Breaker()
    work = Work(stores, run.id, run.job)
    todo = (batch for batch in batches if batch.number not in finished)
    applied = 0
    with ThreadPoolExecutor(THREADS) as pool:

        def start(batch: Batch[S]) -> Future[list[Outcome]]:
            still_locked()
            guard.running(stores)
            return pool.submit(_leave if until and stores.clock() >= until else _one, batch, work)

        for verb, same_verb in groupby(todo, lambda batch: _verb(batch.actions[0])):
            width = THREADS if verb.touches == "object" else 1  # folders are removed innermost first
            for outcomes in _side_by_side(start, same_verb, width):
                breaker.count(outcomes)
                applied += len(outcomes)
                if progress:
                    progress("applied", applied)


def _side_by_side(
    start: Callable[[Batch[S]], Future[list[Outcome]]], batches: Iterable[Batch[S]], width: int
) -> Iterator[list[Outcome]]:
    """Yield the outcomes of each batch in order, running at most ``width`` batches concurrently."""
    under_way = deque[Future[list[Outcome]]]()
    for batch in batches:
        if len(under_way) == width:
            yield under_way.popleft().result()
        under_way.append(start(batch))
    while under_way:
        yield under_way.popleft().result()


def _leave(batch: Batch[S], work: Work[S]) -> list[Outcome]:
    """Record a batch as skipped and left to a later run."""
    return _finish(batch, [Outcome("skipped", TIME_SPENT, action.size) for action in batch.actions], work)


def _one(batch: Batch[S], work: Work[S]) -> list[Outcome]:
    """Apply one batch, then record it. A crash in between repeats the actions, which are idempotent."""
    return _finish(batch, _verb(batch.actions[0]).apply(batch.actions, work), work)


def _finish(batch: Batch[S], outcomes: list[Outcome], work: Work[S]) -> list[Outcome]:
    not_done = [batch.first + i for i, outcome in enumerate(outcomes) if outcome.status != "done"]
    work.stores.runs.finish_batch(work.run_id, batch.number, outcomes, not_done, first=batch.first)
    return outcomes


def cut(actions: Iterable[Action[S]]) -> Iterator[Batch[S]]:
    """Cut actions into batches of one verb, at most its ``batch_size`` each, numbered from 0."""
    number = first = 0
    for verb, group in groupby(actions, _verb):
        for chunk in _chunks(group, verb.batch_size):
            yield Batch(number, first, chunk)
            number, first = number + 1, first + len(chunk)


def _chunks(actions: Iterable[Action[S]], most: BatchSize) -> Iterator[list[Action[S]]]:
    chunk, size = list[Action[S]](), 0
    for action in actions:
        if chunk and (len(chunk) == most.actions or size + action.size > most.bytes):
            yield chunk
            chunk, size = [], 0
        chunk.append(action)
        size += action.size
    if chunk:
        yield chunk


def _verb(action: Action[S]) -> type[Action[S]]:
    return type(action)


def _verify(job: MaintenanceJob[S], run: Run, stores: S) -> None:
    """Verify a random sample of the completed actions. Raises VerificationFailed."""
    undone = {line for lines in stores.runs.finished(run.id).values() for line in lines}
    chance, sample, seen = random.Random(run.id), list[Action[S]](), 0
    for line, action in enumerate(read(run, stores.plans, job.by_verb)):
        if line in undone:
            continue
        seen += 1
        if len(sample) < SAMPLE:
            sample.append(action)
        elif (place := chance.randrange(seen)) < SAMPLE:
            sample[place] = action
    with ThreadPoolExecutor(16) as pool:
        broken = [
            a
            for a, holds in zip(sample, pool.map(lambda a: a.holds(stores), sample), strict=True)
            if not holds
        ]
    if broken:
        raise VerificationFailed(len(broken), len(sample), f"{broken[0].verb} {broken[0].key!r}")


def _totals(run: Run, stores: EngineStores) -> Run:
    done, skipped, failed = stores.runs.totals(run.id)
    return replace(run, done=done, skipped=skipped, failed=failed)


def _first_failure(run_id: str, stores: EngineStores) -> str:
    return next((why for status, why, _ in stores.runs.details(run_id) if status == "failed"), "")
