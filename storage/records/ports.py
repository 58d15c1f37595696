"""Protocols of the old records."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from storage.core.model import Run
from storage.core.ports import EngineStores
from storage.core.retention import Retention
from storage.records.model import Deletion, DoneBatch, OldRows, OldRun, Table


class Records(Protocol):
    """Old records of the schema ``maintenance``. Streams are read page by page, oldest first."""

    def old_runs(self, before: datetime) -> Iterator[OldRun]:
        """Stream the runs that ended before ``before``; never one that is applying or waits for approval."""
        ...

    def batches(self, run: Run) -> list[DoneBatch]:
        """Return the finished batches of the run's plan, by number."""
        ...

    def delete_run(self, run: Run, before: datetime) -> bool:
        """Delete the run with its batches if it still is as given, ended before ``before`` and is unmarked.

        Return False if nothing was deleted.
        """
        ...

    def acted(self) -> Iterator[Run]:
        """Stream the runs that may have done something and have a plan."""
        ...

    def deleted_alone(self, key: str) -> list[Deletion]:
        """Return the deletions of this key that an application asked for one by one, from the audit."""
        ...

    def old_rows(self, table: Table, before: datetime) -> Iterator[OldRows]:
        """Stream the closed rows of a table older than ``before``, at most 1,000 together."""
        ...

    def delete_rows(self, rows: OldRows) -> int:
        """Delete the rows, but those that were opened again. Return how many were deleted."""
        ...

    def any_left(self, rows: OldRows) -> bool: ...


@dataclass(frozen=True, kw_only=True)
class RecordStores(EngineStores):
    """The stores of pruning records."""

    records: Records
    retention: Retention
