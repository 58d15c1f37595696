"""In-memory tombstones and claims: one open tombstone per target, each owner compared as it was seen."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import cast

from storage.core.model import JobId, Tombstone, TombstoneState, Totals
from storage.testing.database import Database

OPEN = ("condemned", "reaping")
ORDER = {"job": 0, "object": 1, "file": 2}


class MemoryTombstones:
    """In-memory Tombstones."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def condemn(self, tombstones: Sequence[Tombstone]) -> dict[str, str]:
        self._db.traffic("tombstones.condemn")
        refused: dict[str, str] = {}
        with self._db.lock:
            known = {_thing(tombstone): tombstone for tombstone in self._open()}
            for tombstone in tombstones:
                standing = known.get(_thing(tombstone))
                if why := self._moved_on(tombstone):
                    refused[tombstone.key] = why
                elif standing is None:
                    notice = timedelta(seconds=tombstone.notice_seconds)
                    due = (
                        max(tombstone.delete_after, self._db.now() + notice)
                        if notice
                        else tombstone.delete_after
                    )
                    new = replace(
                        tombstone,
                        id=max(self._db.tombstones, default=0) + 1,
                        state="condemned",
                        delete_after=due,
                    )
                    self._db.tombstones[new.id] = known[_thing(new)] = new
                elif standing.run_id != tombstone.run_id:
                    refused[tombstone.key] = f"already condemned by {standing.run_id}"
        return refused

    def due(self, as_of: datetime, containers: Sequence[str]) -> Iterator[Tombstone]:
        self._db.traffic("tombstones.due")
        with self._db.lock:
            in_place = [s for s in self._open() if s.place in containers]
            ready = [s for s in in_place if s.state == "reaping" or s.delete_after <= as_of]
            jobs_due = {s.owner for s in ready if s.kind == "job"}
            found = [s for s in ready if self._waits_for_nothing(s, jobs_due)]
        yield from sorted(found, key=lambda tombstone: (ORDER[tombstone.kind], tombstone.key, tombstone.id))

    def begin(self, ids: Sequence[int]) -> dict[int, Tombstone]:
        self._db.traffic("tombstones.begin")
        with self._db.lock:
            begun = {id: self._db.tombstones[id] for id in ids if self._is_open(id)}
            self._set(begun, "reaping")
            return {id: self._db.tombstones[id] for id in begun}

    def finish(self, ids: Sequence[int], state: str, note: str = "") -> None:
        self._db.traffic("tombstones.finish")
        with self._db.lock:
            open_ids = [id for id in ids if self._is_open(id)]
            self._set(open_ids, cast(TombstoneState, state))
            self._db.notes.update(dict.fromkeys(open_ids, note))
            self._close_claims()

    def postpone(self, ids: Sequence[int], until: datetime, note: str) -> None:
        self._db.traffic("tombstones.postpone")
        with self._db.lock:
            for id in (id for id in ids if self._db.tombstones[id].state == "reaping"):
                later = replace(self._db.tombstones[id], state="condemned", delete_after=until)
                self._db.tombstones[id], self._db.notes[id] = later, note

    def claim_job(self, tombstone: Tombstone, run_id: str) -> bool:
        self._db.traffic("tombstones.claim_job")
        with self._db.lock:
            id = JobId(tombstone.key)
            row = self._db.jobs.get(id)
            if row and (row.status, row.updated_at) == ("failed", tombstone.owner_updated_at):
                self._db.turn(row, "cleaned_up")
                self._db.claims[id] = run_id
            elif not (row and row.status == "cleaned_up" and id in self._db.claims):
                return False
            self._set([tombstone.id], "reaped")
            self._close_claims()
            return True

    def claimed(self, ids: Iterable[JobId]) -> set[JobId]:
        with self._db.lock:
            return set(ids) & set(self._db.claims)

    def of_run(self, run_id: str) -> Iterator[Tombstone]:
        with self._db.lock:
            found = [tombstone for tombstone in self._db.tombstones.values() if tombstone.run_id == run_id]
        yield from found

    def undo(self, ids: Sequence[int], *, dry_run: bool = False) -> set[int]:
        self._db.traffic("tombstones.undo")
        with self._db.lock:
            begun = set(self._db.claims) | {
                s.owner for s in self._open() if s.kind == "job" and s.state == "reaping"
            }
            tombstones = [self._db.tombstones[id] for id in ids if id in self._db.tombstones]
            lifted = {
                s.id
                for s in tombstones
                if s.state == "condemned" and not (s.goes_with_job and s.owner in begun)
            }
            if not dry_run:
                self._set(lifted, "undone")
        return lifted

    def open_keys(self, place: str, keys: Sequence[str]) -> set[str]:
        with self._db.lock:
            return {tombstone.key for tombstone in self._open() if tombstone.place == place} & set(keys)

    def open(self) -> dict[str, Totals]:
        sums: dict[str, Totals] = {}
        with self._db.lock:
            for tombstone in self._open():
                sums[tombstone.kind] = sums.get(tombstone.kind, Totals()) + Totals(1, tombstone.size)
        return sums

    def _waits_for_nothing(self, tombstone: Tombstone, jobs_due: set[JobId | None]) -> bool:
        """Return True unless the tombstone goes with a job that is not yet due, claimed or changed."""
        if not tombstone.goes_with_job or tombstone.state == "reaping":
            return True
        return (
            tombstone.owner in jobs_due
            or tombstone.owner in self._db.claims
            or bool(self._moved_on(tombstone))
        )

    def _close_claims(self) -> None:
        waiting = {tombstone.owner for tombstone in self._open() if tombstone.goes_with_job}
        for id in [id for id in self._db.claims if id not in waiting]:
            del self._db.claims[id]

    def _open(self) -> list[Tombstone]:
        return [tombstone for tombstone in self._db.tombstones.values() if tombstone.state in OPEN]

    def _is_open(self, id: int) -> bool:
        return id in self._db.tombstones and self._db.tombstones[id].state in OPEN

    def _set(self, ids: Iterable[int], state: TombstoneState) -> None:
        for id in ids:
            self._db.tombstones[id] = replace(self._db.tombstones[id], state=state)
            self._db.changed_at[id] = self._db.now()

    def _moved_on(self, tombstone: Tombstone) -> str | None:
        """Return why the owner is not as seen; None if it is."""
        if tombstone.owner is None:
            return None
        row, seen = self._db.jobs.get(tombstone.owner), tombstone.owner_updated_at
        if tombstone.kind == "job" or tombstone.goes_with_job:
            good = row is not None and (row.status, row.updated_at) == ("failed", seen)
        elif seen is None:
            good = row is None
        else:
            good = row is not None and row.updated_at == seen and row.ended
        return None if good else f"job {tombstone.owner} has moved on since the plan"


def _thing(tombstone: Tombstone) -> tuple[str, str, str]:
    return tombstone.kind, tombstone.place, tombstone.key
