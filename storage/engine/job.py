"""Maintenance job definition: a policy with its parameters, limits and checks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, Literal

from storage.core.errors import UsageError
from storage.core.model import Run, Totals
from storage.engine.actions.base import Action, S_contra
from storage.engine.guard import Limits
from storage.engine.plan import Draft
from storage.engine.policy import Policy


def hours(default: float, floor: float, ceiling: float, help: str) -> Parameter:
    """Define the parameter ``hours_old``."""
    return Parameter(name="hours_old", default=default, floor=floor, ceiling=ceiling, help=help)


def days(default: float, help: str, floor: float = 1) -> Parameter:
    """Define the parameter ``days_old``."""
    return Parameter(name="days_old", default=default, floor=floor, ceiling=3650, help=help)


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """A bounded numeric parameter. ``floor`` and ``ceiling`` are inclusive."""

    name: str
    default: float
    floor: float
    ceiling: float
    help: str

    def read(self, value: Any) -> float:
        if value is None:
            return self.default
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise UsageError(
                f"{self.name} is a number from {self.floor:g} to {self.ceiling:g}, not {value!r}."
            )
        if not self.floor <= value <= self.ceiling:
            raise UsageError(f"{self.name} is {value:g}; it may be from {self.floor:g} to {self.ceiling:g}.")
        return value


@dataclass(frozen=True, kw_only=True)
class Choices:
    """A parameter with a subset of known words as value, given as a list or comma-separated text."""

    name: str
    among: tuple[str, ...]
    help: str

    @property
    def default(self) -> list[str]:
        return list(self.among)

    def read(self, value: Any) -> list[str]:
        if value is None:
            return self.default
        asked = value.split(",") if isinstance(value, str) else value
        if not isinstance(asked, list | tuple) or not asked:
            raise UsageError(f"{self.name} may be one or more of {', '.join(self.among)}, not {value!r}.")
        if strange := [word for word in asked if word not in self.among]:
            raise UsageError(f"{self.name}: {strange[0]!r} is none of {', '.join(self.among)}.")
        return [word for word in self.among if word in asked]


MAX_OBJECTS = Parameter(
    name="max_objects",
    default=10_000,
    floor=1,
    ceiling=10_000,
    help="A plan of more actions waits for approval. May only be lowered here.",
)


@dataclass(frozen=True, kw_only=True)
class MaintenanceJob(Generic[S_contra]):
    """A named maintenance task on stores of type ``S_contra`` or a subtype.

    ``verbs`` are the actions its plans may hold. ``counted`` and ``population`` define the fraction limit:
    which verbs, out of how many. ``resource`` is the resource it loads: jobs of one resource share a pool.
    ``steps`` are the verbs that Airflow applies one after the other, each in parts, by the name of their
    task.
    """

    name: str
    title: str
    resource: Literal["objects", "database", "files"]
    policy: Callable[..., Policy[S_contra]]
    verbs: tuple[type[Action[S_contra]], ...]
    parameters: tuple[Parameter | Choices, ...] = ()
    limits: Limits = Limits()
    counted: tuple[str, ...] = ()
    population: Callable[[Draft, S_contra], int | None] = lambda draft, stores: None
    checks: tuple[Callable[[Draft, S_contra, Sequence[Run]], None], ...] = ()
    steps: tuple[tuple[str, str], ...] = ()

    def read(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Validate the parameters and fill in defaults. Raises UsageError for unknown or invalid ones."""
        parameters: tuple[Parameter | Choices, ...] = (*self.parameters, MAX_OBJECTS)
        known = {parameter.name: parameter for parameter in parameters}
        if strange := sorted(set(params) - set(known)):
            names = ", ".join(known)
            raise UsageError(f"{self.name} has no parameter {strange[0]!r}; it has {names}.")
        return {name: parameter.read(params.get(name)) for name, parameter in known.items()}

    @property
    def by_verb(self) -> dict[str, type[Action[S_contra]]]:
        """Return the job's action classes by their verb in plan files."""
        return {action.verb: action for action in self.verbs}

    def rule(self, params: Mapping[str, Any]) -> Policy[S_contra]:
        return self.policy(**{parameter.name: params[parameter.name] for parameter in self.parameters})

    def bounds(self, params: Mapping[str, Any]) -> Limits:
        """Return the limits, lowered to those in the parameters."""
        asked = int(params[MAX_OBJECTS.name])
        if self.limits.max_objects is None:  # an unlimited job applies only a limit the operator set
            return replace(self.limits, max_objects=asked) if asked < MAX_OBJECTS.default else self.limits
        lowest = min(self.limits.max_objects, asked)
        return replace(self.limits, max_objects=lowest)

    def share(self, draft: Draft) -> Totals:
        return sum((draft.by_verb.get(verb, Totals()) for verb in self.counted), Totals())
