"""Old records in memory."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from itertools import islice

from storage.core.model import ACTED, Run
from storage.engine.sweep import HISTORY
from storage.records.deletions import DELETE_NOTHING
from storage.records.model import Deletion, DoneBatch, OldRows, OldRun, Table
from storage.testing.database import Database

PAGE = 1000
Row = tuple[datetime, str]  # when it was closed, and its id


class MemoryRecords:
    """In-memory :class:`storage.records.ports.Records`. The fake keeps no closed claims."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def old_runs(self, before: datetime) -> Iterator[OldRun]:
        for run in self._runs():
            if run.state not in ("applying", "waiting") and _ended_before(run, before):
                yield OldRun(run, self._marked(run), self._recent(run))

    def batches(self, run: Run) -> list[DoneBatch]:
        self._db.traffic("records.batches")
        found = self._db.batches.get((run.id, run.plan_sha256), {})
        return [
            DoneBatch(
                number,
                one.first,
                len(one.outcomes),
                frozenset(one.not_done),
                one.finished_at,
                any(
                    (outcome.status, outcome.detail) == ("skipped", "already gone")
                    for outcome in one.outcomes
                ),
            )
            for number, one in sorted(found.items())
        ]

    def delete_run(self, run: Run, before: datetime) -> bool:
        self._db.traffic("records.delete_run")
        with self._db.lock:
            now = self._db.runs.get(run.id)
            same = now is not None and (now.state, now.plan_sha256) == (run.state, run.plan_sha256)
            if not same or not _ended_before(run, before) or self._marked(run):
                return False
            del self._db.runs[run.id]
            for key in [key for key in self._db.batches if key[0] == run.id]:
                del self._db.batches[key]
            return True

    def acted(self) -> Iterator[Run]:
        yield from (run for run in self._runs() if run.state in ACTED and run.plan_uri)

    def deleted_alone(self, key: str) -> list[Deletion]:
        return [
            Deletion(
                run=run, bucket="", verb=detail["verb"], key=key, version="", size=0,
                at=at.isoformat(), reason=detail["reason"],
            )
            for (event, run, detail), at in zip(self._db.audit, self._db.audited_at, strict=True)
            if (event, detail.get("key"), detail.get("status")) == ("acted", key, "done")
            and detail["verb"] not in DELETE_NOTHING
        ]  # fmt: skip

    def old_rows(self, table: Table, before: datetime) -> Iterator[OldRows]:
        rows = iter(sorted(self._rows(table, before)))
        while page := list(islice(rows, PAGE)):
            at, id = page[-1]
            yield OldRows(table, before, page[0][0], at, id, len(page))

    def delete_rows(self, rows: OldRows) -> int:
        self._db.traffic("records.delete_rows")
        with self._db.lock:
            going = self._range(rows)
            for _, id in going:
                self._drop(rows.table, id)
        return len(going)

    def any_left(self, rows: OldRows) -> bool:
        return bool(self._range(rows))

    def _runs(self) -> list[Run]:
        with self._db.lock:
            runs = [(run.started_at, run.id, run) for run in self._db.runs.values() if run.started_at]
        return [run for *_, run in sorted(runs, key=lambda row: row[:2])]

    def _marked(self, run: Run) -> bool:
        marks = (tombstone.run_id for tombstone in self._db.tombstones.values())
        return run.id in (*marks, *self._db.claims.values())

    def _recent(self, run: Run) -> bool:
        newer = [one for one in self._runs() if (one.job, one.state) == (run.job, run.state)]
        return run in newer[-HISTORY:]

    def _range(self, rows: OldRows) -> list[Row]:
        first, last = (rows.since, ""), (rows.until, rows.last_id)
        return [row for row in self._rows(rows.table, rows.before) if first <= row <= last]

    def _rows(self, table: Table, before: datetime) -> list[Row]:
        return [row for row in self._closed(table) if row[0] < before]

    def _closed(self, table: Table) -> list[Row]:
        db = self._db
        if table == "tombstones":
            gone = [s for s in db.tombstones.values() if s.state in ("reaped", "undone", "kept")]
            return [(db.changed_at[s.id], _id(s.id)) for s in gone if s.kind != "file" or s.state == "reaped"]
        if table == "uploads":
            return [(row.closed_at, id) for id, row in db.uploads.items() if row.closed_at]
        return [(at, _id(number)) for number, at in enumerate(db.audited_at)] if table == "audit" else []

    def _drop(self, table: Table, id: str) -> None:
        if table == "tombstones":
            del self._db.tombstones[int(id)]
        elif table == "uploads":
            del self._db.uploads[id]
        elif table == "audit":  # oldest first, so the first entry is always the next one
            del self._db.audit[0], self._db.audited_at[0]


def _id(number: int) -> str:
    """Return a number as text that sorts like the number."""
    return f"{number:020}"


def _ended_before(run: Run, before: datetime) -> bool:
    ended = run.finished_at or run.started_at
    return run.started_at is not None and run.started_at < before and ended is not None and ended < before
