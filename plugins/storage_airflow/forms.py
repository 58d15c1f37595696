"""Fields of the trigger forms, built from the jobs' parameters."""

from __future__ import annotations

from airflow.sdk import Param

from storage import catalog
from storage.engine.job import Choices, Parameter


def number(job: str, name: str, help: str = "") -> Param:
    """Return a form field for a maintenance job's parameter, with its default, bounds and help."""
    parameters = {one.name: one for one in (*catalog.get(job).parameters, catalog.MAX_OBJECTS)}
    parameter = parameters[name]
    assert isinstance(parameter, Parameter)
    return Param(
        parameter.default,
        type="number",
        minimum=parameter.floor,
        maximum=parameter.ceiling,
        description=help or parameter.help,
    )


def dry_run() -> Param:
    """Return the dry-run field: a drop-down in the form; null, true or false in REST calls and schedules."""
    return Param(
        None,
        type=["null", "string", "boolean"],
        enum=[None, "only plan", "act", True, False],
        values_display={"null": "by default", "true": "true (only plan)", "false": "false (act)"},
        description="By default a scheduled run acts and a manual run only plans (dry run).",
    )


def choices(job: str, name: str) -> Param:
    """Return a multi-select field for a parameter's values; an empty selection means all of them."""
    parameter = next(one for one in catalog.get(job).parameters if one.name == name)
    assert isinstance(parameter, Choices)
    words = list(parameter.among)
    return Param(
        parameter.default,
        type="array",
        items={"type": "string", "enum": words},
        minItems=1,
        examples=words,
        description=parameter.help,
    )
