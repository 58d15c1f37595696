"""What every action is, and how one travels in a plan file."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from functools import cache
from typing import Any, ClassVar, Generic, Literal, NamedTuple, Protocol, Self, TypeVar

from storage.core.model import Job, JobId, Outcome, Tombstone, TombstoneKind
from storage.core.ports import EngineStores

Touches = Literal["object", "file", "job", "backup"]
S = TypeVar("S", bound=EngineStores)
S_co = TypeVar("S_co", bound=EngineStores, covariant=True)
S_contra = TypeVar("S_contra", bound=EngineStores, contravariant=True)


@dataclass(frozen=True, slots=True)
class Work(Generic[S_co]):
    """Where and for whom a batch is applied."""

    stores: S_co
    run_id: str
    job: str


class BatchSize(NamedTuple):
    """The most that is acted on and recorded together; one action always is, however large."""

    actions: int
    bytes: int = sys.maxsize


class Action(Protocol[S_contra]):
    """Frozen data. ``key`` names the thing, ``size`` is what it occupies, ``reason`` is for the operator."""

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
        """Act on the batch; one outcome an action, in order. Raises only what stops the whole batch."""
        ...

    def holds(self, stores: S_contra) -> bool:
        """Whether the act stands, by a fresh look."""
        ...


@dataclass(frozen=True, slots=True)
class Keep:
    """The decision to leave a thing alone, with why."""

    key: str
    size: int
    reason: str


#: Fields whose name in plan files is that of version 0.1.0.
_STORED_AS = {"tombstone": "stone"}


def encode(action: Action[Any]) -> str:
    """One line of a plan file: canonical JSON, ASCII only, times as ISO 8601."""
    values: dict[str, Any] = {"verb": action.verb}
    for field in fields(action):  # type: ignore[arg-type]
        value = getattr(action, field.name)
        values[_STORED_AS.get(field.name, field.name)] = (
            value.isoformat() if isinstance(value, datetime) else value
        )
    return json.dumps(values, sort_keys=True, separators=(",", ":"))


def decode(line: str | bytes, verbs: Mapping[str, type[Action[S]]]) -> Action[S]:
    """The exact inverse of :func:`encode`."""
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
    """The fields that are instants; a plan has a million lines and few verbs."""
    return tuple(field.name for field in fields(verb) if "datetime" in str(field.type))  # type: ignore[arg-type]


class Condemning(Protocol):
    """What an action that condemns has in common with its siblings."""

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
    """The tombstone an action writes; its number is the database's."""
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
