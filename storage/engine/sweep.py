"""Planning and running of a maintenance job: plan (as-of to guard), and run (plan and apply)."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from storage.core.errors import (
    EXIT_UNREACHABLE,
    ConfigError,
    NotApproved,
    Paused,
    Refused,
    RunBegun,
    StorageError,
)
from storage.core.model import ACTED, Run
from storage.engine import guard
from storage.engine.actions import Action, Keep
from storage.engine.actions.base import S
from storage.engine.apply import apply
from storage.engine.job import MaintenanceJob
from storage.engine.plan import Draft, write

HISTORY = 20
Progress = Callable[[str, int], None]


def new_run_id(job: str, as_of: datetime) -> str:
    return f"{job}-{as_of:%Y%m%dT%H%M%S}-{secrets.token_hex(3)}"


def plan(
    job: MaintenanceJob[S],
    stores: S,
    as_of: datetime,
    params: Mapping[str, Any] | None = None,
    *,
    run_id: str | None = None,
    requested_by: str = "",
    progress: Progress | None = None,
) -> Run:
    """Decide the actions, write the plan, check it with the guard and record the run. Changes nothing else.

    Returns the run, planned or waiting. Raises Refused or Paused (the run is recorded as refused).
    A repeated task plans again, which voids an approval; once the run is or was being applied, its plan is
    final and the run is returned as it is.
    """
    values = job.read(params or {})
    name = run_id or new_run_id(job.name, as_of)
    if (known := stores.runs.get(name)) and known.state in ACTED:
        return known
    now = stores.clock()
    run = Run(id=name, job=job.name, as_of=as_of, state="planned", params=values, started_at=now)
    run = replace(run, bucket=stores.objects.bucket, requested_by=requested_by)
    try:
        return _planned(job, stores, run, progress)
    except RunBegun:  # by a repeated task, while this one was listing
        return stores.runs.get(name) or run


def _planned(job: MaintenanceJob[S], stores: S, run: Run, progress: Progress | None) -> Run:
    """Decide, and record the run as planned, waiting or refused. Raises Refused or Paused."""
    try:
        run = _decide(job, stores, run, progress)
    except RunBegun:
        raise
    except (Refused, Paused) as refusal:
        stores.runs.save(replace(run, state="refused", message=str(refusal), finished_at=stores.clock()))
        raise
    stores.runs.save(run)
    return run


def _decide(job: MaintenanceJob[S], stores: S, run: Run, progress: Progress | None) -> Run:
    """Return the run with its plan, planned or waiting. Raises Refused or Paused."""
    guard.check_environment(stores, run.as_of)
    stores.plans.server_time()  # fail before a long listing, not after it, if the plan bucket is unreachable
    draft = _draft(job, stores, run, progress)
    reasons = _check(job, stores, draft, run.params)
    return replace(
        run,
        state="waiting" if reasons else "planned",
        message="; ".join(reasons),
        plan_uri=draft.uri,
        plan_sha256=draft.sha256,
        considered=draft.considered,
        kept=draft.kept,
        planned=draft.planned,
    )


def run(
    job: MaintenanceJob[S],
    stores: S,
    as_of: datetime,
    params: Mapping[str, Any] | None = None,
    *,
    requested_by: str = "",
    progress: Progress | None = None,
) -> Run:
    """Plan and apply a job. Raises NotApproved, with nothing done, if a limit tripped."""
    planned = plan(job, stores, as_of, params, requested_by=requested_by, progress=progress)
    if planned.state == "waiting":
        raise NotApproved(planned.id, planned.message)
    return apply(job, planned.id, stores, progress=progress)


def explain(
    jobs: Iterable[MaintenanceJob[S]], stores: S, as_of: datetime, subject: str
) -> Iterator[tuple[str, Action[S] | Keep]]:
    """Yield each job's current decisions on the key or path ``subject``, or on all items of that job id."""
    for job in jobs:
        rule = job.rule(job.read({}))
        try:
            for decided in rule.plan(rule.select(stores, as_of), as_of):
                if _about(decided, subject):
                    yield job.name, decided
        except StorageError as error:
            if isinstance(error, ConfigError) or error.exit_code == EXIT_UNREACHABLE:
                raise
            yield job.name, Keep(subject, 0, f"{job.name} cannot list its candidates: {error}")


def _about(decided: Action[Any] | Keep, subject: str) -> bool:
    return subject in (decided.key, getattr(decided, "owner", None)) or subject in decided.key.split("/")


def _draft(job: MaintenanceJob[S], stores: S, run: Run, progress: Progress | None) -> Draft:
    rule = job.rule(run.params)
    decisions = _declared(job, rule.plan(rule.select(stores, run.as_of), run.as_of))
    return write(_unless_begun(_counted(decisions, progress), run, stores), stores.plans, job.name, run.id)


def _unless_begun(decisions: Iterable[Action[S] | Keep], run: Run, stores: S) -> Iterator[Action[S] | Keep]:
    """Yield the decisions; raise RunBegun before the plan is stored if another process applied the run."""
    yield from decisions
    if (known := stores.runs.get(run.id)) and known.state in ACTED:
        raise RunBegun(run.id, known.state)


def _declared(job: MaintenanceJob[S], decisions: Iterable[Action[S] | Keep]) -> Iterator[Action[S] | Keep]:
    """Yield the decisions unchanged. Raises TypeError for a verb the job does not declare.

    A plan with such a verb could not be read back.
    """
    allowed = (*job.verbs, Keep)
    for decided in decisions:
        if type(decided) not in allowed:
            raise TypeError(f"{job.name} decided {type(decided).__name__}, which is not among its verbs")
        yield decided


def _counted(decisions: Iterable[Action[S] | Keep], progress: Progress | None) -> Iterator[Action[S] | Keep]:
    for number, decided in enumerate(decisions, 1):
        if progress:
            progress("considered", number)
        yield decided


def _check(job: MaintenanceJob[S], stores: S, draft: Draft, params: Mapping[str, float]) -> list[str]:
    """Return the exceeded limits. Raises Refused if a check fails that no approval can override."""
    history = _history(job, stores)
    for check in (guard.protected, *job.checks):
        check(draft, stores, history)
    population = job.population(draft, stores)
    return guard.tripped(job.bounds(params), draft, job.share(draft), population, history)


def _history(job: MaintenanceJob[S], stores: S) -> list[Run]:
    """Return the latest verified runs since the installation was last adopted."""
    since = stores.control.read("history_from") or ""
    runs = stores.runs.latest(job.name, HISTORY, "verified")
    return [run for run in runs if run.started_at and run.started_at.isoformat() >= since]
