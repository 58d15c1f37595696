"""Nouns of the records: old runs and rows, finished batches, deletions."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from storage.core.model import Run

Table = Literal["tombstones", "claims", "uploads", "audit"]
Known = Literal["done", "unknown"]
#: The tables whose rows go by their age, and whether they are kept as long as the audit.
TABLES: tuple[tuple[Table, bool], ...] = (
    ("tombstones", False),
    ("claims", False),
    ("uploads", False),
    ("audit", True),
)


@dataclass(frozen=True, slots=True)
class OldRun:
    """A run that ended long ago, and what still needs its record.

    ``marked``: a tombstone or an open claim names it. ``recent``: among the newest of its job and state.
    """

    run: Run
    marked: bool
    recent: bool


@dataclass(frozen=True, slots=True)
class OldRows:
    """Closed rows of one table older than ``before``: of ``since`` to the one of ``until`` with ``last_id``.

    ``count`` is their number when they were read.
    """

    table: Table
    before: datetime
    since: datetime
    until: datetime
    last_id: str
    count: int


@dataclass(frozen=True, slots=True)
class DoneBatch:
    """A finished batch of a run: ``count`` plan lines from ``first`` on, except ``not_done``.

    ``first`` is None in batches recorded before version 0.3.0. ``some_gone``: items that were not done were
    gone already, perhaps by an earlier attempt that was killed before it recorded the batch.
    """

    number: int
    first: int | None
    count: int
    not_done: frozenset[int]
    finished_at: datetime
    some_gone: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Deletion:
    """One deletion that a run did, as a line of its deletion log.

    ``outcome`` is ``unknown`` if an attempt may have been killed before it recorded what it did. ``version``
    is what was observed: the ETag of an object, the id of an upload, the modification time of a file.
    """

    run: str
    bucket: str
    verb: str
    key: str
    version: str
    size: int
    at: str
    reason: str
    outcome: Known = "done"
