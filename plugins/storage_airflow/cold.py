"""Airflow tasks of cold storage: one plan, applied by parallel tasks, each on a range of keys."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from airflow.sdk import TriggerRule, get_current_context, task, task_group
from airflow.sdk.exceptions import AirflowSkipException

from storage import catalog
from storage.engine.parts import Part
from storage_airflow.approval import approval
from storage_airflow.connections import opened
from storage_airflow.maintenance import PLANNED, only_head, plan_of
from storage_airflow.runtime import cancellable


def maintain_in_parts(name: str, **fields: str) -> Any:
    """Define the tasks of a maintenance job whose plan is applied step by step, each step in mapped tasks.

    The tasks are plan, approve, begin, a task for each of the job's steps, mapped over 4 to 64 ranges of
    keys, and record, which verifies all changes. ``fields`` is as for ``maintain``.
    """
    job, pool = catalog.get(name), f"storage_{catalog.get(name).resource}"

    @task_group(group_id=name, tooltip=job.title)
    def of_parts() -> None:
        @task(pool=pool)
        def plan() -> dict[str, Any]:
            return plan_of(name, fields)

        @task(pool=pool, trigger_rule=PLANNED)
        def begin(planned: dict[str, Any]) -> list[dict[str, Any]]:
            return _begin(planned)

        @task(pool=pool, trigger_rule=TriggerRule.ALL_DONE)
        def record(planned: dict[str, Any] | None) -> dict[str, Any]:
            return _record(planned, name)

        planned = plan()
        gate, ranges = approval(name), begin(planned)
        planned >> gate >> ranges
        last: Any = ranges
        for verb, title in job.steps:
            last >> (step := _step(title, verb, pool, ranges))
            last = step
        last >> record(planned)

    return of_parts()


def _step(title: str, verb: str, pool: str, ranges: Any) -> Any:
    @task(
        task_id=title,
        pool=pool,
        trigger_rule=PLANNED,
        map_index_template="{{ task.op_kwargs['part']['number'] + 1 }} of {{ task.op_kwargs['part']['of'] }}",
    )
    def step(verb: str, part: dict[str, Any]) -> None:
        from storage.engine.parts import apply_part

        until = datetime.fromisoformat(part["until"]) if part["until"] else None
        mine = Part(verb, part["number"], part["of"])
        with cancellable(), opened() as stores:
            apply_part(
                catalog.of_run(part["run"], stores), part["run"], mine, stores, until=until, progress=_say
            )

    return step.partial(verb=verb).expand(part=ranges)


def _begin(planned: dict[str, Any]) -> list[dict[str, Any]]:
    """Start the run and return the ranges that the steps are mapped over; none in a dry run."""
    from storage.engine.parts import count, start

    if planned["dry_run"]:
        return []
    with cancellable(), opened() as stores:
        run, until = start(planned["run"], stores)
    last, of = until.isoformat() if until else None, count(run.planned.count)
    return [{"run": run.id, "until": last, "number": number, "of": of} for number in range(of)]


def _record(planned: dict[str, Any] | None, group: str) -> dict[str, Any]:
    from storage.cli import output, output_cold
    from storage.core.errors import Refused
    from storage.engine.parts import end
    from storage.engine.report import result

    if _state(get_current_context(), f"{group}.begin") == "skipped":
        raise AirflowSkipException("Skipped, as begin was; the log of the first skipped task says why.")
    if planned is None:
        raise Refused("plan", "there is none; read the log of the task plan")
    if planned["dry_run"]:
        return only_head(planned)
    with cancellable(), opened() as stores:
        job = catalog.of_run(planned["run"], stores)
        run = end(job, planned["run"], stores)
        if run.state != "verified":
            raise Refused("parts", f"run {run.id} is {run.state}: {run.message or 'it was not started'}")
        output.show_run(run, stores.runs.details(run.id))
        output_cold.show_savings(stores.cold.savings("class"), stores.cold.tiers(), stores.cold_settings)
        return result(job, run, stores)


def _state(context: Any, task_id: str) -> str | None:
    """Return the state of another task of this DAG run."""
    run = context["dag_run"]
    states = context["ti"].get_task_states(run.dag_id, task_ids=[task_id], run_ids=[run.run_id])
    state: str | None = states.get(run.run_id, {}).get(task_id)
    return state


def _say(what: str, count: int) -> None:
    print(f"{count:,} {what}", flush=True)
