"""Fields of the trigger forms, made from the jobs' parameters."""

from __future__ import annotations

from airflow.sdk import Param

from storage import catalog
from storage.engine.job import Choices, Parameter


def number(job: str, name: str, help: str = "") -> Param:
    """A form field for a maintenance job's parameter, with its default, bounds and help."""
    fields = {one.name: one for one in (*catalog.get(job).parameters, catalog.MAX_OBJECTS)}
    one = fields[name]
    assert isinstance(one, Parameter)
    return Param(
        one.default, type="number", minimum=one.floor, maximum=one.ceiling, description=help or one.help
    )


def dry_run() -> Param:
    """A drop-down in the form; by REST and in schedules null, true or false."""
    return Param(
        None,
        type=["null", "string", "boolean"],
        enum=[None, "only plan", "act", True, False],
        values_display={"null": "by default", "true": "true (only plan)", "false": "false (act)"},
        description="By default a scheduled run acts and a manual run only plans.",
    )


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
