"""Search for what was deleted: in the plans that still exist, the deletion logs, and the audit."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

from storage.core.errors import ObjectMissing, PlanChanged, UsageError
from storage.core.model import ObjectInfo, Run
from storage.engine.plan import lines
from storage.records.deletions import FOLDER, deletions, read
from storage.records.model import Deletion
from storage.records.ports import RecordStores

THREADS = 16
_TOGETHER = 20 * THREADS  # files whose search is queued at once
T = TypeVar("T")


def deleted(key: str, stores: RecordStores) -> tuple[list[Deletion], list[str]]:
    """Return the recorded deletions of exactly this key or path, oldest first, and the unreadable plans.

    Plans are read before logs: a run that is pruned meanwhile is found in its log.
    """
    needle, unreadable = json.dumps(key).encode(), list[str]()

    def in_plan(run: Run) -> list[Deletion]:
        try:
            mine = deletions(run, lines(run, stores.plans), stores.records.batches(run), needle)
            return [one for one in mine if one.key == key]
        except ObjectMissing:
            return []
        except (PlanChanged, UsageError):  # altered, or in another bucket
            unreadable.append(run.plan_uri)
            return []

    def in_log(info: ObjectInfo) -> list[Deletion]:
        try:
            return [one for one in read(info.key, stores.plans, needle) if one.key == key]
        except ObjectMissing:
            return []

    found = set(stores.records.deleted_alone(key))
    found |= set(_each(in_plan, stores.records.acted()))
    found |= set(_each(in_log, stores.plans.scan(FOLDER)))
    return sorted(found, key=lambda one: (one.at, one.run)), sorted(unreadable)


def _each(search: Callable[[T], list[Deletion]], sources: Iterable[T]) -> Iterator[Deletion]:
    """Search the sources concurrently, some hundreds at a time."""
    rest = iter(sources)
    with ThreadPoolExecutor(THREADS) as pool:
        while some := list(islice(rest, _TOGETHER)):
            for found in pool.map(search, some):
                yield from found
