"""What every action is, and how one travels in a plan file."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, ClassVar, Literal, Protocol, Self

from storage.model import Job, JobId, Outcome
from storage.ports import Stores

Touches = Literal["object", "file", "job"]


@dataclass(frozen=True, slots=True)
class Work:
    """Where and for whom a batch is applied."""

    stores: Stores
    run_id: str
    job: str


class Action(Protocol):
    """Frozen data. ``key`` names the thing, ``size`` is what it occupies, ``reason`` is for the operator."""

    verb: ClassVar[str]
    touches: ClassVar[Touches]
    batch_size: ClassVar[int]

    @property
    def key(self) -> str: ...
    @property
    def size(self) -> int: ...
    @property
    def reason(self) -> str: ...

    @classmethod
    def apply(cls, batch: Sequence[Self], work: Work) -> list[Outcome]:
        """Act on the batch; one outcome an action, in order. Raises only what stops the whole batch."""
        ...

    def holds(self, stores: Stores) -> bool:
        """Whether the act stands, by a fresh look."""
        ...


@dataclass(frozen=True, slots=True)
class Keep:
    """The decision to leave a thing alone, with why."""

    key: str
    size: int
    reason: str


def encode(action: Action) -> str:
    """One line of a plan file: canonical JSON, ASCII only, times as ISO 8601."""
    values: dict[str, Any] = {"verb": action.verb}
    for field in fields(action):  # type: ignore[arg-type]
        value = getattr(action, field.name)
        values[field.name] = value.isoformat() if isinstance(value, datetime) else value
    return json.dumps(values, sort_keys=True, separators=(",", ":"))


def decode(line: str | bytes, verbs: Mapping[str, type[Action]]) -> Action:
    """The exact inverse of :func:`encode`."""
    values = json.loads(line)
    verb = verbs[values.pop("verb")]
    for field in fields(verb):  # type: ignore[arg-type]
        value = values.get(field.name)
        if isinstance(value, str) and "datetime" in str(field.type):
            values[field.name] = datetime.fromisoformat(value)
    return verb(**values)


def changed_owner(owner: str | None, seen: datetime | None, jobs: Mapping[JobId, Job]) -> str | None:
    """Why the job behind a thing no longer is as the plan saw it; None while it is.

    ``seen`` is the row's updated_at then, None when there was no row.
    """
    if owner is None:
        return None
    row = jobs.get(JobId(owner))
    if row is None:
        return None if seen is None else f"the row of job {owner} is gone"
    if seen is None:
        return f"job {owner} has appeared since the plan"
    if row.updated_at != seen or not row.ended:
        return f"job {owner} has moved on since the plan (now {row.status})"
    return None
