"""Action protocol, and the encoding of actions in a plan file."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from functools import cache
from typing import Any, ClassVar, Generic, NamedTuple, Protocol, Self, TypeVar

from storage.core.model import Job, JobId, Outcome, Tombstone, TombstoneKind
from storage.core.ports import EngineStores

Touches = str  #: "object", "file", "job", or what only one capability knows, such as "backup"
S = TypeVar("S", bound=EngineStores)
S_co = TypeVar("S_co", bound=EngineStores, covariant=True)
S_contra = TypeVar("S_contra", bound=EngineStores, contravariant=True)


@dataclass(frozen=True, slots=True)
class Work(Generic[S_co]):
    """The stores, run and job for which a batch is applied."""

    stores: S_co
    run_id: str
    job: str


class BatchSize(NamedTuple):
    """Maximum size of a batch applied and recorded together; a batch always has at least one action."""

    actions: int
    bytes: int = sys.maxsize


class Action(Protocol[S_contra]):
    """A planned change. ``key`` names its target, ``size`` is in bytes, ``reason`` is for the operator."""

    verb: ClassVar[str]
    touches: ClassVar[Touches]
    batch_size: ClassVar[BatchSize]

    @property
    def key(self) -> str: ...
    @property
    def size(self) -> int: ...
    @property
    def reason(self) -> str: ...

    @classmethod
    def apply(cls, batch: Sequence[Self], work: Work[S_contra]) -> list[Outcome]:
        """Apply the batch; return one outcome per action, in order. Raises only if the whole batch stops."""
        ...

    def holds(self, stores: S_contra) -> bool:
        """Return True if the action is in effect, by reading the current state."""
        ...


@dataclass(frozen=True, slots=True)
class Keep:
    """The decision to leave an item unchanged, with its reason; ``counted`` is its reason in the report."""

    key: str
    size: int
    reason: str
    counted: str = ""


#: Fields that keep their name of version 0.1.0 in plan files.
_STORED_AS = {"tombstone": "stone"}


def encode(action: Action[Any]) -> str:
    """Encode an action as one line of a plan file: canonical JSON, ASCII only, times as ISO 8601."""
    values: dict[str, Any] = {"verb": action.verb}
    for field in fields(action):  # type: ignore[arg-type]
        value = getattr(action, field.name)
        values[_STORED_AS.get(field.name, field.name)] = (
            value.isoformat() if isinstance(value, datetime) else value
        )
    return json.dumps(values, sort_keys=True, separators=(",", ":"))


def decode(line: str | bytes, verbs: Mapping[str, type[Action[S]]]) -> Action[S]:
    """Decode a line of a plan file: the exact inverse of :func:`encode`."""
    values = json.loads(line)
    verb = verbs[values.pop("verb")]
    for name, stored in _STORED_AS.items():
        if stored in values:
            values[name] = values.pop(stored)
    for name in _times(verb):
        if values[name]:
            values[name] = datetime.fromisoformat(values[name])
    return verb(**values)


@cache
def _times(verb: type[Action[Any]]) -> tuple[str, ...]:
    """Return the datetime fields of a verb, cached: a plan has a million lines and few verbs."""
    return tuple(field.name for field in fields(verb) if "datetime" in str(field.type))  # type: ignore[arg-type]


class Condemning(Protocol):
    """Common fields of the actions that condemn."""

    @property
    def key(self) -> str: ...
    @property
    def size(self) -> int: ...
    @property
    def reason(self) -> str: ...
    @property
    def delete_after(self) -> datetime: ...
    @property
    def notice_seconds(self) -> float: ...


def tombstone_of(
    action: Condemning,
    work: Work[EngineStores],
    kind: TombstoneKind,
    place: str,
    seen: str,
    held_at: str = "",
) -> Tombstone:
    """Build the tombstone that an action writes; the database assigns its id."""
    owner: str | None = getattr(action, "owner", None)
    return Tombstone(
        id=0,
        run_id=work.run_id,
        job=work.job,
        kind=kind,
        place=place,
        key=action.key,
        size=action.size,
        seen=seen,
        reason=action.reason,
        delete_after=action.delete_after,
        notice_seconds=action.notice_seconds,
        owner=JobId(owner) if owner else None,
        owner_updated_at=getattr(action, "owner_updated_at", None),
        goes_with_job=getattr(action, "goes_with_job", False),
        held_at=held_at,
    )


def changed_owner(owner: str | None, seen: datetime | None, jobs: Mapping[JobId, Job]) -> str | None:
    """Return why the owner job is no longer as the plan saw it; None if it is unchanged.

    ``seen`` is the row's updated_at at planning, None if there was no row.
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
