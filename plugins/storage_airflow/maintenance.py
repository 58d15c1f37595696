"""Airflow tasks of a maintenance job: plan, approve, apply."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow.sdk import TriggerRule, get_current_context, task, task_group

from storage import catalog
from storage_airflow.approval import approval, explained
from storage_airflow.connections import opened
from storage_airflow.runtime import as_of, cancellable, only_plans

if TYPE_CHECKING:
    from storage.core.model import Run
    from storage.installation import Installation


OVER = ("verified", "rejected", "failed")
#: When a task on a plan runs: approval is not needed or was given. Skipped where the plan was skipped.
PLANNED = TriggerRule.NONE_FAILED_MIN_ONE_SUCCESS


def maintain(name: str, **fields: str) -> Any:
    """Define the three tasks of a maintenance job: plan, approve, apply.

    ``fields`` maps each of the job's parameters to its form field: ``hours_old="temp_hours_old"``.
    """
    pool = f"storage_{catalog.get(name).resource}"

    @task_group(group_id=name, tooltip=catalog.get(name).title)
    def job() -> None:
        @task(pool=pool)
        def plan() -> dict[str, Any]:
            return plan_of(name, fields)

        @task(pool=pool, trigger_rule=PLANNED)
        def apply(planned: dict[str, Any]) -> dict[str, Any]:
            return _apply(planned)

        planned = plan()
        planned >> approval(name) >> apply(planned)

    return job()


def plan_of(name: str, fields: Mapping[str, str]) -> dict[str, Any]:
    """Plan the job with the form's values; return the plan's summary, the only data passed between tasks."""
    from storage.cli import output
    from storage.engine import sweep
    from storage.engine.plan import read

    context = get_current_context()
    values = {own: context["params"][field] for own, field in fields.items()}
    dag_run = context["dag_run"]
    job = catalog.get(name)
    with cancellable(), opened() as stores:
        run = sweep.plan(
            job,
            stores,
            as_of(dag_run, stores.clock()),
            values,
            run_id=_run_id(f"{name}-{dag_run.run_id}", stores),
            requested_by=f"{dag_run.dag_id}, {dag_run.run_type.value} run",
        )
        output.show_run(run)
        output.show_actions(read(run, stores.plans, job.by_verb))
    return _head(run, only_plans(context["params"].get("dry_run"), dag_run.run_type))


def _run_id(first: str, stores: Installation) -> str:
    """Return the run's id; a new id if the task was cleared after its first plan was applied or rejected."""
    names = (first, *(f"{first}-{number}" for number in range(2, 100)))
    return next(n for n in names if not (run := stores.runs.get(n)) or run.state not in OVER)


def _head(run: Run, dry: bool) -> dict[str, Any]:
    return {
        "run": run.id,
        "state": run.state,
        "dry_run": dry,
        "sha256": run.plan_sha256,
        "uri": run.plan_uri,
        "considered": run.considered.count,
        "planned": run.planned.count,
        "planned_bytes": run.planned.bytes,
        "explained": explained(run),
    }


def _apply(planned: Mapping[str, Any]) -> dict[str, Any]:
    from storage.cli import output
    from storage.engine.apply import apply
    from storage.engine.report import result

    if planned["dry_run"]:
        return only_head(planned)
    with cancellable(), opened() as stores:
        job = catalog.of_run(planned["run"], stores)
        run = apply(job, planned["run"], stores)
        output.show_run(run, stores.runs.details(run.id))
        return result(job, run, stores)


def only_head(planned: Mapping[str, Any]) -> dict[str, Any]:
    """Print and return the plan's summary, the result of a dry run."""
    print(f"Dry run: {planned['planned']:,} actions planned, none done. {planned['uri']}")
    return dict(planned)
