"""Summary of a run as plain values, with the result keys of the pipeline's documents."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from storage.core.model import Run, Totals
from storage.engine.actions.base import Action, S
from storage.engine.apply import cut
from storage.engine.guard import GIB
from storage.engine.job import MaintenanceJob
from storage.engine.plan import read


def result(job: MaintenanceJob[S], run: Run, stores: S) -> dict[str, Any]:
    """Summarise a run as plain values: its record, and the documents' keys for the completed actions."""
    done = done_by_verb(job, run, stores)
    summary: dict[str, Any] = {
        "run": run.id,
        "job": run.job,
        "state": run.state,
        "as_of": run.as_of.isoformat(),
    }
    for name in ("considered", "planned", "done", "skipped", "failed"):
        total: Totals = getattr(run, name)
        summary |= {name: total.count, f"{name}_bytes": total.bytes}
    return summary | {"kept": dict(run.kept)} | _document_keys(done)


def _document_keys(done: Mapping[str, Totals]) -> dict[str, Any]:
    freed = sum(
        done.get(verb, Totals()).bytes for verb in ("delete", "reap", "condemn-file", "unlink", "abort")
    )
    return {
        "deleted_folders": done.get("remove-folder", Totals()).count,
        "freed_bytes": freed,
        "freed_gb": round(freed / GIB, 2),
        "deleted_jobs": done.get("clean-job", Totals()).count,
        "condemned_jobs": done.get("condemn-job", Totals()).count,
        "marked_as_failed": done.get("fail", Totals()).count,
    }


def done_by_verb(job: MaintenanceJob[S], run: Run, stores: S) -> dict[str, Totals]:
    """Sum the completed actions of a run by verb."""
    done: dict[str, Totals] = {}
    for actions in done_actions(job, run, stores):
        for action in actions:
            done[action.verb] = done.get(action.verb, Totals()) + Totals(1, action.size)
    return done


def done_actions(job: MaintenanceJob[S], run: Run, stores: S) -> Iterator[list[Action[S]]]:
    """Yield the completed actions of each finished batch of a run: all but the lines not done."""
    finished = stores.runs.finished(run.id)
    not_done = {line for lines in finished.values() for line in lines}
    for batch in cut(read(run, stores.plans, job.by_verb)) if finished else ():
        if batch.number in finished:
            lines = enumerate(batch.actions, batch.first)
            yield [action for line, action in lines if line not in not_done]
