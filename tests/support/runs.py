"""Act on a run by its id alone: the job is the catalogue's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from storage import catalog
from storage.core.model import Run, Totals
from storage.engine import apply as engine
from storage.engine import parts, plan, report
from storage.engine.actions import Action


def apply(run_id: str, stores: Any, **options: Any) -> Run:
    """As :func:`storage.engine.apply.apply`."""
    return engine.apply(catalog.of_run(run_id, stores), run_id, stores, **options)


def apply_part(run_id: str, part: parts.Part, stores: Any, **options: Any) -> None:
    """As :func:`storage.engine.parts.apply_part`."""
    parts.apply_part(catalog.of_run(run_id, stores), run_id, part, stores, **options)


def end(run_id: str, stores: Any) -> Run:
    """As :func:`storage.engine.parts.end`."""
    return parts.end(catalog.of_run(run_id, stores), run_id, stores)


def done_by_verb(run: Run, stores: Any) -> dict[str, Totals]:
    """As :func:`storage.engine.report.done_by_verb`."""
    return report.done_by_verb(catalog.get(run.job), run, stores)


def read(run: Run, plans: Any) -> Iterator[Action[Any]]:
    """As :func:`storage.engine.plan.read`."""
    return plan.read(run, plans, catalog.get(run.job).by_verb)


#: Every verb that some job names.
VERBS = {verb.verb: verb for job in catalog.JOBS.values() for verb in job.verbs}
