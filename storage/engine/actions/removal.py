"""Deletion of a batch of objects: each try is preceded by a recheck, and a busy store is asked again."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from threading import Lock
from typing import Generic, Protocol, TypeVar

from storage.core.deletion import DeleteTarget, Failure, ObjectLock
from storage.core.errors import StoreRefused, TransientFault
from storage.core.model import ObjectInfo
from storage.core.ports import ObjectStore
from storage.engine.actions.recheck import look_again

PAUSES = (0.5, 1.0, 2.0, 4.0)  # seconds before each further try of what failed temporarily
_ONE_AT_A_TIME = Lock()  # a busy store is asked again for one batch at a time


class Deleting(Protocol):
    """Action that deletes the object at ``key``, or the object itself."""

    @property
    def key(self) -> str: ...


A = TypeVar("A", bound=Deleting)
Now = Mapping[str, ObjectInfo | None]
Blocked = Callable[[Sequence[A], Now], dict[str, str]]


@dataclass
class Removal(Generic[A]):
    """Results of a batch by key: ``absent`` before the first try, ``blocked`` by a recheck, or ``refused``.

    A key in none of them was deleted.
    """

    objects: ObjectStore
    blocks: Blocked[A]
    absent: set[str] = field(default_factory=set)
    blocked: dict[str, str] = field(default_factory=dict)
    refused: dict[str, Failure] = field(default_factory=dict)
    _sent: dict[str, ObjectInfo] = field(default_factory=dict)
    _fault: TransientFault | None = None

    def lock(self, key: str) -> ObjectLock | None:
        """Return the lock that keeps the object; None if no lock is known."""
        failure = self.refused.get(key)
        return failure.lock if failure else None

    def run(self, batch: Sequence[A], now: Now) -> None:
        """Delete what may be deleted. Raises TransientFault if the store answered no try as a whole."""
        todo = self._try(batch, now)
        for pause, parts in zip(PAUSES, (2, 4, 8, 16), strict=True):
            if not todo:
                return
            with _ONE_AT_A_TIME:
                time.sleep(pause)
                todo = [action for part in _cut(todo, parts) for action in self._again(part)]
        if todo and self._fault:
            raise self._fault

    def _again(self, actions: Sequence[A]) -> list[A]:
        return self._try(actions, look_again(self.objects, (action.key for action in actions)))

    def _try(self, actions: Sequence[A], now: Now) -> list[A]:
        """Delete the objects that nothing blocks; return the actions to try again."""
        gone = {key for key, info in now.items() if info is None}
        for key in gone & self._sent.keys():  # an earlier try has deleted it after all
            self.refused.pop(key, None)
        self.absent |= gone - self._sent.keys()
        left = [action for action in actions if action.key not in gone & self._sent.keys()]
        blocked = self.blocks(left, {key: self._as_sent(info) for key, info in now.items()})
        self.blocked |= blocked
        objects = [info for key, info in now.items() if info and key not in blocked]
        self._send(objects)
        for key in blocked:
            self.refused.pop(key, None)
        return [action for action in left if (failure := self.refused.get(action.key)) and failure.transient]

    def _send(self, objects: Sequence[ObjectInfo]) -> None:
        """Ask the store to delete the objects; record what it refuses."""
        if not objects:
            return
        targets = [DeleteTarget(info.key, info.etag, info.versions) for info in objects]
        self._fault = None
        try:
            failures = self.objects.delete(targets)
        except TransientFault as fault:
            self._fault = fault
            failures = [Failure(info.key, "", str(fault), transient=True) for info in objects]
        for info in objects:
            self._sent.setdefault(info.key, info)
            self.refused.pop(info.key, None)
        # Of several versions of a key one that stays for good decides.
        self.refused |= {f.key: f for f in sorted(failures, key=lambda f: not f.transient)}
        if strange := sorted(self.refused.keys() - self._sent.keys()):
            f = self.refused[strange[0]]
            raise StoreRefused(strange[0], f"an error for a key that was not sent ({f.code}: {f.message})")

    def _as_sent(self, info: ObjectInfo | None) -> ObjectInfo | None:
        """Return what an earlier try left of an object's versions as the object that it was."""
        sent = self._sent.get(info.key) if info else None
        # Its newest version went: all that is left is older. An overwritten version "null" is none of these.
        if info and sent and info.versions and set(info.versions) < set(sent.versions[1:]) | {""}:
            return replace(info, etag=sent.etag, last_modified=sent.last_modified)
        return info


def remove(
    batch: Sequence[A], blocks: Blocked[A], store: ObjectStore, *, now: Now | None = None
) -> Removal[A]:
    """Delete the objects of a batch, except those for which ``blocks`` gives a reason after each recheck.

    ``now`` is the state of the objects if it was read a moment ago.
    """
    removal = Removal(store, blocks)
    removal.run(batch, look_again(store, (action.key for action in batch)) if now is None else now)
    return removal


def _cut(actions: Sequence[A], parts: int) -> Iterator[Sequence[A]]:
    size = -(-len(actions) // parts)
    for first in range(0, len(actions), size):
        yield actions[first : first + size]
