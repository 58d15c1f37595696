"""Tombstones, claims and the upload journal in the schema ``maintenance``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, fields
from datetime import datetime
from typing import Any

from sqlalchemy import Engine

from storage.core.errors import StatementRefused
from storage.core.model import BucketName, JobId, ObjectKey, Tombstone, Totals, UploadInfo
from storage.stores.postgres.connection import LEFT, Statements, as_json

PAGE = 1000
_RANK = {"job": 0, "object": 1, "file": 2}


class PostgresTombstones:
    """Adapter for :class:`storage.core.records.Tombstones` on PostgreSQL."""

    def __init__(self, engine: Engine) -> None:
        self._sql = Statements(engine, "tombstones")

    def condemn(self, tombstones: Sequence[Tombstone]) -> dict[str, str]:
        if not tombstones:
            return {}
        refused = {
            tombstone.key: "its key contains a NUL character, which cannot be recorded"
            for tombstone in tombstones
            if "\0" in tombstone.key
        }
        fit = [asdict(tombstone) for tombstone in tombstones if tombstone.key not in refused]
        rows = self._sql.rows("condemn", tombstones=as_json(fit, default=_iso))
        return refused | {row["key"]: row["why"] for row in rows if row["why"]}

    def due(self, as_of: datetime, containers: Sequence[str]) -> Iterator[Tombstone]:
        start: dict[str, Any] = {"last_rank": -1, "last_key": "", "last_id": 0}
        while True:
            rows = self._sql.rows("due", as_of=as_of, containers=list(containers), page=PAGE, **start)
            yield from map(_tombstone, rows)
            if len(rows) < PAGE:
                return
            last = rows[-1]
            start = {"last_rank": _RANK[last["kind"]], "last_key": last["key"], "last_id": last["id"]}

    def begin(self, ids: Sequence[int]) -> dict[int, Tombstone]:
        return {
            tombstone.id: tombstone for tombstone in map(_tombstone, self._sql.rows("begin", ids=list(ids)))
        }

    def finish(self, ids: Sequence[int], state: str, note: str = "") -> None:
        if ids:
            with self._sql.transaction() as connection:
                self._sql.rows_in(connection, "finish", ids=list(ids), state=state, note=note)
                self._sql.rows_in(connection, "close_claims")

    def postpone(self, ids: Sequence[int], until: datetime, note: str) -> None:
        self._sql.rows("postpone", ids=list(ids), until=until, note=note)

    def claim_job(self, tombstone: Tombstone, run_id: str) -> bool:
        with self._sql.transaction() as connection:
            run = self._sql.rows_in
            as_seen: dict[str, Any] = {"owner": tombstone.key, "seen": tombstone.owner_updated_at}
            changed = run(connection, "clean_job", **as_seen)
            if changed and changed[0]["status"] == "cleaned_up":
                run(connection, "claim", owner=tombstone.key, run_id=run_id)
            elif changed or run(connection, "still_failed", **as_seen):
                raise StatementRefused(LEFT)
            elif not run(connection, "claim_stands", owner=tombstone.key):
                return False
            run(connection, "finish_job_stone", id=tombstone.id)
            run(connection, "close_claims")
            return True

    def claimed(self, ids: Iterable[JobId]) -> set[JobId]:
        return {JobId(row["owner"]) for row in self._sql.rows("claimed", owners=list(ids))}

    def of_run(self, run_id: str) -> Iterator[Tombstone]:
        return map(_tombstone, self._sql.pages("of_run", start={"last_id": 0}, page=PAGE, run_id=run_id))

    def undo(self, ids: Sequence[int], *, dry_run: bool = False) -> set[int]:
        with self._sql.transaction() as connection:
            jobs = self._sql.rows_in(connection, "undo_jobs", ids=list(ids))
            others = self._sql.rows_in(connection, "undo_others", ids=list(ids))
            if dry_run:  # the same statements, so that it foretells what an undo does
                connection.rollback()
        return {row["id"] for row in (*jobs, *others)}

    def open_keys(self, place: str, keys: Sequence[str]) -> set[str]:
        return {str(row["key"]) for row in self._sql.rows("open_keys", place=place, keys=list(keys))}

    def open(self) -> dict[str, Totals]:
        return {row["kind"]: Totals(row["count"], row["bytes"]) for row in self._sql.rows("open")}


class PostgresUploads:
    """Adapter for :class:`storage.core.records.UploadJournal` on PostgreSQL."""

    def __init__(self, engine: Engine, bucket: BucketName) -> None:
        self._sql, self._bucket = Statements(engine, "tombstones"), bucket

    def record(self, key: ObjectKey, upload_id: str) -> None:
        self._sql.rows("record_upload", upload_id=upload_id, bucket=self._bucket, key=key)

    def open(self) -> Iterator[UploadInfo]:
        for row in self._sql.rows("open_uploads", bucket=self._bucket):
            yield UploadInfo(ObjectKey(row["key"]), row["upload_id"], row["initiated_at"])

    def heartbeats(self, upload_ids: Sequence[str]) -> dict[str, datetime]:
        rows = self._sql.rows("heartbeats", ids=list(upload_ids))
        return {row["upload_id"]: row["heartbeat_at"] for row in rows}

    def close(self, upload_id: str) -> None:
        self._sql.rows("close_upload", upload_id=upload_id)


def _iso(value: datetime) -> str:
    return value.isoformat()


def _tombstone(row: Mapping[str, Any]) -> Tombstone:
    values = {field.name: row[field.name] for field in fields(Tombstone) if field.name in row}
    return Tombstone(**values | {"owner": JobId(row["owner"]) if row["owner"] else None})
