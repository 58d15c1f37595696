"""In-memory control values, and operators' verdicts after restores."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime

from storage.core.capabilities import Capabilities
from storage.core.model import JobId
from storage.core.records import PAUSED_BY_RESTORE, Pause, Ruling, Verdict, pause_of
from storage.testing.database import Database, Judged


class MemoryControl:
    """In-memory Control."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def read(self, name: str) -> str | None:
        self._db.traffic(f"control.{name}")
        return self._db.control.get(name)

    def write(self, name: str, value: str | None) -> None:
        if value is None:
            self._db.control.pop(name, None)
        else:
            self._db.control[name] = value
            self._db.control_changed[name] = self._db.now()

    def paused(self) -> Pause | None:
        return pause_of(self.read("paused"), self._db.control_changed.get("paused", self._db.now()))

    def capabilities(self) -> Capabilities:
        return self._db.capabilities

    def save_capabilities(self, found: Capabilities) -> None:
        self._db.capabilities = found


class MemoryVerdicts:
    """In-memory Verdicts."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def of(self, owners: Iterable[JobId], epoch: datetime | None = None) -> dict[JobId, Verdict]:
        self._db.traffic("verdicts.of")
        wanted, found = set(owners), dict[JobId, Verdict]()
        for judged in self._judged():
            if judged.verdict.owner in wanted and epoch in (None, judged.verdict.epoch):
                found[judged.verdict.owner] = judged.verdict
        return found

    def condemned(self) -> Iterator[Verdict]:
        latest = {judged.verdict.owner: judged for judged in self._judged()}
        for _, judged in sorted(latest.items()):
            if judged.closed and judged.verdict.ruling == "condemn":
                yield judged.verdict

    def record(self, owners: Iterable[JobId], ruling: Ruling, epoch: datetime, by: str) -> None:
        with self._db.lock:
            for owner in owners:
                self._db.verdicts[owner, epoch] = Judged(Verdict(owner, ruling, epoch))

    def close(self, epoch: datetime, by: str, now: datetime) -> None:
        with self._db.lock:
            for judged in self._judged():
                judged.closed = judged.closed or judged.verdict.epoch == epoch
            self._db.control.pop("restore_epoch", None)
            if self._db.control.get("paused", "").startswith(PAUSED_BY_RESTORE):
                del self._db.control["paused"]
            self._db.control["history_from"] = now.isoformat()
            self._db.enter("reconciled", "", {"epoch": epoch.isoformat(), "by": by})

    def _judged(self) -> list[Judged]:
        """Return every verdict, oldest epoch first."""
        with self._db.lock:
            return sorted(self._db.verdicts.values(), key=lambda judged: judged.verdict.epoch)
