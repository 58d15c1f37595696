"""Summary of a run as plain values, with the result keys of the pipeline's documents."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from storage.core.model import Run, Totals
from storage.engine.actions.base import S
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
    """Sum the completed actions of a run by verb: finished batches minus the lines not done."""
    finished = stores.runs.finished(run.id)
    not_done = {line for lines in finished.values() for line in lines}
    done: dict[str, Totals] = {}
    for batch in cut(read(run, stores.plans, job.by_verb)):
        if batch.number in finished:
            for line, action in enumerate(batch.actions, batch.first):
                if line not in not_done:
                    done[action.verb] = done.get(action.verb, Totals()) + Totals(1, action.size)
    return done
