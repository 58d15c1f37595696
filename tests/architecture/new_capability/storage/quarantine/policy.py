"""Decide which objects of the quarantine are noted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice

from storage.core.model import ObjectInfo, Prefix
from storage.engine.actions import Action, Keep
from storage.quarantine.actions import NoteObject
from storage.quarantine.ports import QuarantineStores

QUARANTINE = Prefix("quarantine/")
TOGETHER = 1000  # notes looked up by one statement


@dataclass(frozen=True, slots=True)
class Candidate:
    """Hold an object and the etag that it was noted with, '' for none."""

    info: ObjectInfo
    noted: str = ""


@dataclass(frozen=True, kw_only=True)
class QuarantinedObjects:
    """Note each object that is older than a number of days, once."""

    older_than: timedelta

    def select(self, stores: QuarantineStores, as_of: datetime) -> Iterator[Candidate]:
        listing = stores.objects.scan(QUARANTINE)
        while some := list(islice(listing, TOGETHER)):
            noted = stores.quarantine.etags([info.key for info in some])
            yield from (Candidate(info, noted.get(info.key, "")) for info in some)

    def plan(self, items: Iterable[Candidate], as_of: datetime) -> Iterator[Action[QuarantineStores] | Keep]:
        for item in items:
            info = item.info
            if item.noted == info.etag:
                yield Keep(info.key, info.size, "noted already")
            elif as_of - info.last_modified < self.older_than:
                yield Keep(info.key, info.size, f"younger than {self.older_than.days} days")
            else:
                yield NoteObject(
                    key=info.key,
                    size=info.size,
                    etag=info.etag,
                    last_modified=info.last_modified,
                    reason=f"in quarantine for {self.older_than.days} days or longer",
                )
