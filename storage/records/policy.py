"""Policy of old records: closed rows and ended runs go by their age, deletion logs by their month."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import islice

from storage.core.model import ObjectInfo, Run
from storage.engine.actions import Action, Keep
from storage.engine.plan import key_for
from storage.records.actions import PruneLog, PruneRows, PruneRun
from storage.records.deletions import old_logs
from storage.records.model import TABLES, OldRows, OldRun
from storage.records.ports import RecordStores

#: The most that one run removes: rows by the thousand for each table, runs, logs. The next night continues.
MOST_CHUNKS, MOST_RUNS, MOST_LOGS = 200, 2_000, 2_000


@dataclass(frozen=True, slots=True)
class Candidate:
    """An old record, with the bucket of plans and the instant that its age was compared with."""

    thing: OldRows | OldRun | ObjectInfo
    plans: str
    before: datetime


@dataclass(frozen=True, kw_only=True)
class OldRecords:
    """Policy that removes the platform's own old records."""

    def select(self, stores: RecordStores, as_of: datetime) -> Iterator[Candidate]:
        plans, records = stores.plans.bucket, as_of - stores.retention.records
        audit = as_of - stores.retention.audit
        for table, as_audit in TABLES:
            before = audit if as_audit else records
            for rows in islice(stores.records.old_rows(table, before), MOST_CHUNKS):
                yield Candidate(rows, plans, before)
        runs = (Candidate(run, plans, records) for run in stores.records.old_runs(records))
        yield from _until(runs, MOST_RUNS)
        for info in islice(old_logs(stores.plans, audit), MOST_LOGS):
            yield Candidate(info, plans, audit)

    def plan(self, items: Iterable[Candidate], as_of: datetime) -> Iterator[Action[RecordStores] | Keep]:
        for item in items:
            match item.thing:
                case OldRows() as rows:
                    yield _rows(rows)
                case OldRun() as old:
                    why = stays(old, item.plans)
                    yield Keep(old.run.id, 0, why) if why else _run(old.run, item)
                case ObjectInfo() as log:
                    yield _log(log, item.before)


def stays(old: OldRun, plans: str) -> str:
    """Return why the record of an old run stays; '' if it goes. ``plans`` is the bucket of plan files."""
    if old.marked:
        return "its tombstones or claims are still recorded"
    if old.recent:
        return "one of the newest runs of its job"
    if old.run.plan_uri and not old.run.plan_uri.startswith(f"s3://{plans}/"):
        return f"its plan is in another bucket: {old.run.plan_uri}"
    return ""


def _until(candidates: Iterable[Candidate], most: int) -> Iterator[Candidate]:
    """Yield candidates up to the one with which ``most`` runs go; the runs that stay do not count."""
    for one in candidates:
        yield one
        most -= isinstance(one.thing, OldRun) and not stays(one.thing, one.plans)
        if not most:
            return


def _rows(rows: OldRows) -> PruneRows:
    return PruneRows(
        key=f"maintenance.{rows.table}",
        table=rows.table,
        before=rows.before,
        since=rows.since,
        until=rows.until,
        last_id=rows.last_id,
        count=rows.count,
        reason=f"{rows.count:,} closed rows older than {rows.before:%Y-%m-%d %H:%M} UTC",
    )


def _run(run: Run, item: Candidate) -> PruneRun:
    """Build the action. A refused run may have a plan file as well, though its row does not name it."""
    return PruneRun(
        key=run.id,
        plan=run.plan_uri.removeprefix(f"s3://{item.plans}/") or key_for(run.job, run.id),
        state=run.state,
        sha256=run.plan_sha256,
        before=item.before,
        reason=f"ended ({run.state}) before {item.before:%Y-%m-%d %H:%M} UTC",
    )


def _log(info: ObjectInfo, before: datetime) -> PruneLog:
    return PruneLog(
        key=info.key,
        size=info.size,
        etag=info.etag,
        before=before,
        reason=f"deletions of a month that ended before {before:%Y-%m-%d}",
    )
