"""A maintenance job: a policy, its parameters, and what guards it."""

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
    """The parameter ``hours_old``."""
    return Parameter(name="hours_old", default=default, floor=floor, ceiling=ceiling, help=help)


def days(default: float, help: str, floor: float = 1) -> Parameter:
    """The parameter ``days_old``."""
    return Parameter(name="days_old", default=default, floor=floor, ceiling=3650, help=help)


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """One number an operator may set, within bounds. ``floor`` and ``ceiling`` are inclusive."""

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
    """Some of a known set of words; a list, or one text with commas between them."""

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
            raise UsageError(f"{self.name} is some of {', '.join(self.among)}, not {value!r}.")
        if strange := [one for one in asked if one not in self.among]:
            raise UsageError(f"{self.name}: {strange[0]!r} is none of {', '.join(self.among)}.")
        return [one for one in self.among if one in asked]


MAX_OBJECTS = Parameter(
    name="max_objects",
    default=10_000,
    floor=1,
    ceiling=10_000,
    help="A plan of more actions waits for approval. May only be lowered here.",
)


@dataclass(frozen=True, kw_only=True)
class MaintenanceJob(Generic[S_contra]):
    """One named upkeep task, on stores of type ``S_contra`` or more.

    ``verbs`` are the actions that its plans may hold. ``counted`` and ``population`` say what the fraction
    limit is about: which verbs, out of how many. ``resource`` is what it wears: jobs of one resource share a
    pool. ``steps`` are the verbs that Airflow carries out one after the other, each in parts, by the name of
    their task.
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
        """The parameters by name, defaults filled in. Raises UsageError for unknown or unfit ones."""
        known: dict[str, Parameter | Choices] = {one.name: one for one in (*self.parameters, MAX_OBJECTS)}
        if strange := sorted(set(params) - set(known)):
            names = ", ".join(known)
            raise UsageError(f"{self.name} has no parameter {strange[0]!r}; it has {names}.")
        return {name: one.read(params.get(name)) for name, one in known.items()}

    @property
    def by_verb(self) -> dict[str, type[Action[S_contra]]]:
        """Its actions by the name that a plan file gives them."""
        return {action.verb: action for action in self.verbs}

    def rule(self, params: Mapping[str, Any]) -> Policy[S_contra]:
        return self.policy(**{one.name: params[one.name] for one in self.parameters})

    def bounds(self, params: Mapping[str, Any]) -> Limits:
        """The limits, lowered by the parameters where these are lower."""
        asked = int(params[MAX_OBJECTS.name])
        if self.limits.max_objects is None:  # an unlimited job heeds only a limit that was asked for
            return replace(self.limits, max_objects=asked) if asked < MAX_OBJECTS.default else self.limits
        lowest = min(self.limits.max_objects, asked)
        return replace(self.limits, max_objects=lowest)

    def share(self, draft: Draft) -> Totals:
        return sum((draft.by_verb.get(verb, Totals()) for verb in self.counted), Totals())
