"""Persistent state of cold objects in PostgreSQL: verdicts, moves, reads, pins and savings."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy import Engine

from storage.cold.model import ColdRecord, Saving, SavingsLine, TierState
from storage.cold.ports import Group
from storage.core.model import BucketName, JobId, ObjectKey, Totals
from storage.core.tiers import Tier
from storage.stores.postgres.connection import Statements, as_json

PAGE = 1000
Row = Mapping[str, Any]


class PostgresCold:
    """Adapter for :class:`storage.cold.ports.ColdLog` on PostgreSQL, for one bucket."""

    def __init__(self, engine: Engine, bucket: BucketName) -> None:
        self._sql, self._bucket = Statements(engine, "cold"), str(bucket)

    def _rows(self, name: str, **values: Any) -> list[Row]:
        return self._sql.rows(name, bucket=self._bucket, **values)

    def get_records(self, keys: Sequence[str]) -> dict[str, ColdRecord]:
        return {row["key"]: _record(row) for row in self._rows("get_records", keys=_storable(keys))}

    def save_records(self, records: Sequence[ColdRecord]) -> None:
        self._rows("save_records", records=_json(one for one in records if "\0" not in one.key))

    def moving(self) -> Iterator[ColdRecord]:
        start = {"last_key": ""}
        return map(_record, self._sql.pages("moving", start=start, page=PAGE, bucket=self._bucket))

    def tiers(self) -> dict[tuple[Tier, TierState], Totals]:
        rows = self._rows("tiers")
        return {(row["tier"], row["tier_state"]): Totals(row["count"], row["bytes"]) for row in rows}

    def accessed(self, keys: Sequence[str]) -> dict[str, datetime]:
        return {row["key"]: row["at"] for row in self._rows("accessed", keys=_storable(keys))}

    def touch(self, keys: Sequence[str], at: datetime) -> None:
        self._rows("touch", keys=_storable(keys), at=at)

    def pins(self, owners: Iterable[JobId]) -> dict[JobId, str]:
        wanted = _storable(list(owners))
        return {JobId(row["owner"]): row["reason"] for row in self._sql.rows("pins", owners=wanted)}

    def pin(self, owner: JobId, reason: str, by: str) -> None:
        if reason:
            self._sql.rows("pin", owner=owner, reason=reason, by=by)
        else:
            self._sql.rows("unpin", owner=owner)

    def enter(self, savings: Sequence[Saving]) -> None:
        answer = _json(one for one in savings if "\0" not in one.key)
        with self._sql.transaction() as session:
            self._sql.rows_in(session, "alone_in_the_ledger", bucket=self._bucket)
            self._sql.rows_in(session, "enter", bucket=self._bucket, savings=answer)

    def savings(self, by: Group, since: datetime | None = None) -> list[SavingsLine]:
        saved = {row["one"]: row for row in self._rows("saved", by=by, since=since)}
        reasons: dict[str, Counter[str]] = defaultdict(Counter)
        skipped: dict[str, Totals] = defaultdict(Totals)
        for row in self._rows("not_worth_it", by=by, since=since):
            reasons[row["one"]][row["skipped"]] += row["count"]
            skipped[row["one"]] += Totals(row["count"], row["bytes"])
        return [
            _line(group, saved.get(group, {}), skipped[group], reasons[group])
            for group in sorted(saved.keys() | skipped.keys())
        ]


def _storable(texts: Sequence[str]) -> list[str]:
    """Drop keys with a NUL, which PostgreSQL's text cannot hold: such a key is never recorded."""
    return [str(text) for text in texts if "\0" not in text]


def _json(values: Iterable[Any]) -> str:
    return as_json([asdict(one) for one in values], default=lambda when: when.isoformat())


def _record(row: Row) -> ColdRecord:
    owner = JobId(row["owner"]) if row["owner"] else None
    return ColdRecord(**{**row, "key": ObjectKey(row["key"]), "owner": owner})


def _line(group: str, row: Row, skipped: Totals, reasons: Mapping[str, int]) -> SavingsLine:
    return SavingsLine(
        group,
        int(row.get("objects", 0)),
        int(row.get("before", 0)),
        int(row.get("after", 0)),
        int(row.get("left_behind", 0)),
        skipped.count,
        skipped.bytes,
        dict(reasons),
    )
