"""The tasks of cold storage: one plan, carried out by several tasks at once, each a range of keys."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from airflow.sdk import Param, TriggerRule, task, task_group
from storage_tasks import approval, cancellable, only_head, opened, plan_of

from storage import catalog
from storage.engine.job import Choices
from storage.engine.parts import Part, parts


def choices(job: str, name: str) -> Param:
    """A form field to pick some of a parameter's words; all of them where nothing is picked."""
    one = next(one for one in catalog.get(job).parameters if one.name == name)
    assert isinstance(one, Choices)
    words = list(one.among)
    return Param(
        one.default,
        type="array",
        items={"type": "string", "enum": words},
        minItems=1,
        examples=words,
        description=one.help,
    )


def maintain_in_parts(name: str, **fields: str) -> Any:
    """A maintenance job whose plan is carried out step by step, each step in mapped tasks.

    plan, approve, begin, then a task for each of the job's steps, mapped over 4 to 64 ranges of keys, and
    record, which verifies it all. ``fields`` as for ``maintain``.
    """
    job, pool = catalog.get(name), f"storage_{catalog.get(name).resource}"

    @task_group(group_id=name, tooltip=job.title)
    def of_parts() -> None:
        @task(pool=pool)
        def plan() -> dict[str, Any]:
            return plan_of(name, fields)

        @task(pool=pool, trigger_rule=TriggerRule.NONE_FAILED)
        def begin(planned: dict[str, Any]) -> dict[str, Any]:
            return _begin(planned, [verb for verb, _ in job.steps])

        @task(pool=pool, trigger_rule=TriggerRule.ALL_DONE)
        def record(begun: dict[str, Any] | None) -> dict[str, Any]:
            return _record(begun)

        planned = plan()
        gate = approval(name)
        begun = begin(planned)
        planned >> gate >> begun
        last: Any = begun
        for verb, title in job.steps:
            last >> (step := _step(title, verb, pool, begun))
            last = step
        last >> record(begun)

    return of_parts()


def _step(title: str, verb: str, pool: str, begun: Any) -> Any:
    @task(
        task_id=title,
        pool=pool,
        trigger_rule=TriggerRule.NONE_FAILED,
        map_index_template="{{ part['number'] + 1 }} of {{ part['of'] }}",
    )
    def step(run: str, until: str | None, part: dict[str, Any]) -> None:
        from storage.engine.parts import carry_out_part

        with cancellable(), opened() as stores:
            when = datetime.fromisoformat(until) if until else None
            carry_out_part(run, Part(**part), stores, until=when, progress=_say)

    return step.partial(run=begun["run"], until=begun["until"]).expand(part=begun[verb])


def _begin(planned: dict[str, Any], verbs: list[str]) -> dict[str, Any]:
    from storage.engine.parts import start

    begun: dict[str, Any] = {"run": planned["run"], "until": None, "planned": planned}
    begun |= {verb: [] for verb in verbs}
    if planned["dry_run"]:
        return begun
    with cancellable(), opened() as stores:
        run, until = start(planned["run"], stores)
    begun["until"] = until.isoformat() if until else None
    for verb in verbs:
        begun[verb] = [
            {"verb": one.verb, "number": one.number, "of": one.of} for one in parts(verb, run.planned.count)
        ]
    return begun


def _record(begun: dict[str, Any] | None) -> dict[str, Any]:
    from storage import console, console_cold
    from storage.cleanup import result
    from storage.engine.parts import end
    from storage.errors import Refused

    if begun is None:
        raise Refused("parts", "nothing was begun; the tasks before say why")
    if begun["planned"]["dry_run"]:
        return only_head(begun["planned"])
    with cancellable(), opened() as stores:
        run = end(begun["run"], stores)
        console.show_run(run, stores.runs.details(run.id))
        console_cold.show_savings(stores.cold.savings("class"), stores.cold.tiers(), stores.site)
        return result(run, stores)


def _say(what: str, count: int) -> None:
    print(f"{count:,} {what}", flush=True)
