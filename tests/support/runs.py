"""The engine's functions on a run, called by its id alone: the job is looked up in the catalogue."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from storage import catalog
from storage.core.model import Run, Totals
from storage.engine import apply as engine
from storage.engine import parts, plan, report
from storage.engine.actions import Action


def apply(run_id: str, stores: Any, **options: Any) -> Run:
    """Call :func:`storage.engine.apply.apply` with the run's job."""
    return engine.apply(catalog.of_run(run_id, stores), run_id, stores, **options)


def apply_part(run_id: str, part: parts.Part, stores: Any, **options: Any) -> None:
    """Call :func:`storage.engine.parts.apply_part` with the run's job."""
    parts.apply_part(catalog.of_run(run_id, stores), run_id, part, stores, **options)


def end(run_id: str, stores: Any) -> Run:
    """Call :func:`storage.engine.parts.end` with the run's job."""
    return parts.end(catalog.of_run(run_id, stores), run_id, stores)


def done_by_verb(run: Run, stores: Any) -> dict[str, Totals]:
    """Call :func:`storage.engine.report.done_by_verb` with the run's job."""
    return report.done_by_verb(catalog.get(run.job), run, stores)


def read(run: Run, plans: Any) -> Iterator[Action[Any]]:
    """Call :func:`storage.engine.plan.read` with the verbs of the run's job."""
    return plan.read(run, plans, catalog.get(run.job).by_verb)


#: Every verb of the catalogue's jobs.
VERBS = {verb.verb: verb for job in catalog.JOBS.values() for verb in job.verbs}
