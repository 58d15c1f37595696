"""Deletion logs: the deletions that a run really did, as one gzip JSON Lines object beside the plans."""

from __future__ import annotations

import gzip
import json
import re
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from storage.core.model import ACTED, ObjectInfo, ObjectKey, Prefix, Run
from storage.core.ports import ObjectStore
from storage.records.model import Deletion, DoneBatch, Known

FOLDER = Prefix("deletions/")
#: Verbs that delete nothing. A verb that is missing here is logged.
DELETE_NOTHING = frozenset(
    {"condemn", "condemn-job", "condemn-file", "clean-job", "fail", "compress", "transition", "follow"}
)
#: At most so many actions can be under way when a process is killed: four batches of a thousand.
UNDER_WAY = 4_000
_VERSIONS = ("etag", "upload_id", "mtime_ns")
_MONTH = re.compile(r"deletions/(\d{4})-(0[1-9]|1[0-2])/.")


def log_key(run: Run) -> ObjectKey:
    """Return the key of a run's deletion log, always the same for a run."""
    assert run.started_at
    return ObjectKey(f"{FOLDER}{run.started_at:%Y-%m}/{run.id}.jsonl.gz")


def month_end(key: str) -> datetime | None:
    """Return the end of the month that a log's key names; None for a key that is no log's."""
    found = _MONTH.match(key)
    if found is None:
        return None
    year, month = int(found[1]), int(found[2])
    return datetime.fromisoformat(f"{year + month // 12:04}-{month % 12 + 1:02}-01T00:00:00+00:00")


def deletions(
    run: Run, lines: Iterable[bytes], batches: Sequence[DoneBatch], needle: bytes = b""
) -> Iterator[Deletion]:
    """Yield what the run deleted, from its plan and its finished batches, in the order of the plan.

    A line of no finished batch may have been done by a process that was killed before it recorded the batch.
    As many of them as can have been under way are ``unknown``, and so are the lines that were not done of a
    batch in which some were gone already. Lines without ``needle`` are left out.
    """
    if run.state not in ACTED and not batches:
        return
    known, doubtful = _located(batches), 0
    most = UNDER_WAY if len(known) == len(batches) else float("inf")
    for number, line, batch in _by_batch(lines, known):
        doubtful += batch is None
        skipped = batch is not None and number in batch.not_done
        undone = skipped and not batch.some_gone if batch else doubtful > most
        if undone or needle not in line:
            continue
        values = json.loads(line)
        if values["verb"] not in DELETE_NOTHING:
            yield _deletion(run, values, batch, "unknown" if skipped or batch is None else "done")


def _by_batch(
    lines: Iterable[bytes], known: Sequence[tuple[int, DoneBatch]]
) -> Iterator[tuple[int, bytes, DoneBatch | None]]:
    """Yield each line with its number and the finished batch that it belongs to."""
    place = 0
    for number, line in enumerate(lines):
        while place < len(known) and number >= known[place][0] + known[place][1].count:
            place += 1
        inside = place < len(known) and number >= known[place][0]
        yield number, line, known[place][1] if inside else None


def _located(batches: Sequence[DoneBatch]) -> list[tuple[int, DoneBatch]]:
    """Return the batches with their first lines, as far as these are known."""
    found, line, number = list[tuple[int, DoneBatch]](), 0, 0
    for batch in batches:
        if batch.first is None and batch.number != number:  # an old record, after a batch that is missing
            return found
        first = line if batch.first is None else batch.first
        found.append((first, batch))
        line, number = first + batch.count, batch.number + 1
    return found


def _deletion(run: Run, values: dict[str, Any], batch: DoneBatch | None, outcome: Known) -> Deletion:
    at = batch.finished_at if batch else run.finished_at or run.started_at
    return Deletion(
        run=run.id,
        bucket=run.bucket,
        verb=values["verb"],
        key=values.get("key") or str(values.get("id", "")),
        version=str(next((values[name] for name in _VERSIONS if values.get(name)), "")),
        size=values.get("size", 0),
        at=at.isoformat() if at else "",
        reason=values.get("reason", ""),
        outcome=outcome,
    )


def write(run: Run, found: Iterable[Deletion], store: ObjectStore) -> bool:
    """Write the run's deletion log; return True if it is there. A run that deleted nothing has none.

    Whoever writes it writes the same bytes.
    """
    with tempfile.NamedTemporaryFile(prefix="deletions-", suffix=".jsonl.gz") as file:
        some = False
        with gzip.GzipFile(fileobj=file, mode="wb", compresslevel=6, mtime=0, filename="") as lines:
            for deletion in found:
                some = True
                text = json.dumps(asdict(deletion), sort_keys=True, separators=(",", ":"))
                lines.write(text.encode() + b"\n")
        file.flush()
        if not some:
            return True
        store.put_file(log_key(run), Path(file.name))
        stored = store.head(log_key(run))
        return stored is not None and stored.size == Path(file.name).stat().st_size


def read(key: ObjectKey, store: ObjectStore, needle: bytes = b"") -> Iterator[Deletion]:
    """Yield the deletions of one log, of the lines that hold ``needle``. Raises ObjectMissing."""
    with store.open(key) as source, gzip.open(source, "rb") as lines:
        for line in lines:
            if needle in line:
                yield Deletion(**json.loads(line))


def old_logs(store: ObjectStore, before: datetime) -> Iterator[ObjectInfo]:
    """Stream the logs of months that ended before ``before``, oldest first."""
    for info in store.scan(FOLDER):
        end = month_end(info.key)
        if end is not None and end > before:
            return
        if end is not None:
            yield info
