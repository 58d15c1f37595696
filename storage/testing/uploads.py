"""In-memory journal of multipart uploads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from storage.core.model import ObjectKey, UploadInfo
from storage.testing.database import Database, Journalled


class MemoryUploads:
    """In-memory UploadJournal. Recording an upload again updates its heartbeat."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def record(self, key: ObjectKey, upload_id: str) -> None:
        now, rows = self._db.now(), self._db.uploads
        if upload_id in rows:
            rows[upload_id].heartbeat = now
        else:
            rows[upload_id] = Journalled(UploadInfo(key, upload_id, now), now)

    def open(self) -> Iterator[UploadInfo]:
        yield from sorted(
            (row.info for row in self._db.uploads.values() if row.closed_at is None), key=_place
        )

    def heartbeats(self, upload_ids: Sequence[str]) -> dict[str, datetime]:
        rows = self._db.uploads
        return {upload_id: rows[upload_id].heartbeat for upload_id in upload_ids if upload_id in rows}

    def close(self, upload_id: str) -> None:
        row = self._db.uploads.get(upload_id)
        if row and row.closed_at is None:
            row.closed_at = self._db.now()


def _place(upload: UploadInfo) -> tuple[str, str]:
    return upload.key, upload.upload_id
