"""In-memory log of cold objects."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime

from storage.cold.model import ColdRecord, Saving, SavingsLine, TierState
from storage.cold.ports import Group
from storage.core.model import JobId, Totals
from storage.core.tiers import Tier
from storage.testing.database import Database

BYTES = ("compress", "decompress")


class MemoryCold:
    """In-memory :class:`storage.cold.ports.ColdLog`. Tests may read ``ledger`` and ``records``."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.records: dict[str, tuple[datetime, ColdRecord]] = {}
        self.ledger: list[tuple[datetime, Saving]] = []
        self._read: dict[str, datetime] = {}
        self._pins: dict[JobId, str] = {}

    def get_records(self, keys: Sequence[str]) -> dict[str, ColdRecord]:
        return {key: self.records[key][1] for key in keys if key in self.records}

    def save_records(self, records: Sequence[ColdRecord]) -> None:
        self.records.update({record.key: (self._database.now(), record) for record in records})

    def moving(self) -> Iterator[ColdRecord]:
        found = [record for _, record in self.records.values() if record.tier_state in ("asked", "stuck")]
        yield from sorted(found, key=lambda record: record.key)

    def tiers(self) -> dict[tuple[Tier, TierState], Totals]:
        found: dict[tuple[Tier, TierState], Totals] = {}
        for _, record in self.records.values():
            if record.tier_state:
                group = (record.tier, record.tier_state)
                found[group] = found.get(group, Totals()) + Totals(1, record.size)
        return found

    def accessed(self, keys: Sequence[str]) -> dict[str, datetime]:
        return {key: self._read[key] for key in keys if key in self._read}

    def touch(self, keys: Sequence[str], at: datetime) -> None:
        self._read.update({key: max(at, self._read.get(key, at)) for key in keys})

    def pins(self, owners: Iterable[JobId]) -> dict[JobId, str]:
        return {owner: self._pins[owner] for owner in owners if owner in self._pins}

    def pin(self, owner: JobId, reason: str, by: str) -> None:
        self._pins.pop(owner, None)
        if reason:
            self._pins[owner] = reason

    def enter(self, savings: Sequence[Saving]) -> None:
        for new in savings:
            same = (last for _, last in reversed(self.ledger) if last.key == new.key and _alike(last, new))
            last = next(same, None)
            if last is None or (last.kind, last.etag, last.tier) != (new.kind, new.etag, new.tier):
                self.ledger.append((self._database.now(), new))

    def savings(self, by: Group, since: datetime | None = None) -> list[SavingsLine]:
        lines: dict[str, SavingsLine] = {}
        for at, saving in self.ledger:
            if saving.kind in BYTES and (since is None or at >= since):
                group = self._group(by, at, saving)
                lines[group] = _plus(lines.get(group, _EMPTY), group, saving)
        for at, record in self.records.values():
            if record.compression == "skipped" and (since is None or at >= since):
                group = self._group(by, at, record)
                lines[group] = _skipping(lines.get(group, _EMPTY), group, record)
        return [lines[group] for group in sorted(lines)]

    def _group(self, by: Group, at: datetime, entry: Saving | ColdRecord) -> str:
        if by == "day":
            return f"{at:%Y-%m-%d}"
        if by == "class":
            return entry.object_class
        return (entry.owner or "") if by == "job" else ""  # the fake's jobs have no api_key


_EMPTY = SavingsLine("", 0, 0, 0, 0)


def _alike(one: Saving, other: Saving) -> bool:
    """Return True if both are byte savings, or both tier savings."""
    return (one.kind in BYTES) == (other.kind in BYTES)


def _plus(line: SavingsLine, group: str, saving: Saving) -> SavingsLine:
    return SavingsLine(
        group,
        line.objects + (1 if saving.kind == "compress" else -1),
        line.before + saving.before,
        line.after + saving.after,
        line.left_behind + saving.left_behind,
        line.skipped,
        line.skipped_bytes,
        line.reasons,
    )


def _skipping(line: SavingsLine, group: str, record: ColdRecord) -> SavingsLine:
    reasons = Counter(line.reasons)
    reasons[record.skipped] += 1
    return SavingsLine(
        group,
        line.objects,
        line.before,
        line.after,
        line.left_behind,
        line.skipped + 1,
        line.skipped_bytes + record.size,
        dict(reasons),
    )
