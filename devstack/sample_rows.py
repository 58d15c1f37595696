"""Insertion of the sample's rows into PostgreSQL, with sizes and hashes of the real contents."""

from __future__ import annotations

import csv
import hashlib
import io
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from functools import lru_cache
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine

from devstack.errors import DevstackError
from devstack.sample_content import Contents
from devstack.sample_values import ApiKey, Content, Job, Sample

_TABLES = Path(__file__).parent.parent / "sql" / "pipeline" / "tables.sql"
_SIZES = {
    "360p": "output_360p_size_bytes",
    "720p": "output_720p_size_bytes",
    "audio": "output_audio_size_bytes",
    "segments": "segments_360p_size_bytes",
}
_PATHS = (
    *(f"output_{name}_path" for name in ("360p", "720p", "audio")),
    *(f"transcription_{kind}_path" for kind in ("txt", "srt", "vtt", "json")),
)
_PLAIN = ("id", "api_key", "status", "created_at", "updated_at", "completed_at", "error_message")
JOB_COLUMNS = (*_PLAIN, "source_size_bytes", "source_file_hash", *_SIZES.values(), *_PATHS)


class Database:
    """Connections to the database of STORAGE_DATABASE_URL."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self._engine = create_engine(env["STORAGE_DATABASE_URL"])

    def prepare(self) -> None:
        """Create the pipeline's tables if absent. Raises DevstackError if the table jobs has rows."""
        with self._engine.begin() as connection:
            connection.exec_driver_sql(_TABLES.read_text())
            if connection.exec_driver_sql("SELECT 1 FROM jobs LIMIT 1").first():
                raise DevstackError("the table jobs already has rows; sample data needs an empty database")

    def insert(self, sample: Sample, contents: Contents) -> None:
        """Insert all rows in one transaction."""
        rows = list(_job_rows(sample.jobs, contents))
        used = _used(rows)
        connection = self._engine.raw_connection()
        try:
            with closing(connection.cursor()) as cursor:
                _copy(cursor, "api_keys", _KEY_COLUMNS, _key_rows(sample.api_keys, used))
                _copy(cursor, "jobs", JOB_COLUMNS, ([row[name] for name in JOB_COLUMNS] for row in rows))
            connection.commit()
        finally:
            connection.close()

    def close(self) -> None:
        """Close the connections."""
        self._engine.dispose()


_KEY_COLUMNS = ("key_hash", "storage_quota_bytes", "storage_used_bytes")


def _key_rows(keys: tuple[ApiKey, ...], used: Mapping[str, int]) -> Iterator[list[Any]]:
    for key in keys:
        yield [key.key_hash, key.storage_quota_bytes, used.get(key.key_hash, 0)]


def _job_rows(jobs: tuple[Job, ...], contents: Contents) -> Iterator[dict[str, Any]]:
    @lru_cache(maxsize=4096)
    def size(stem: str, content: Content) -> int:
        return contents.sizes(stem, content)

    @lru_cache(maxsize=4096)
    def source(content: Content) -> tuple[int, str]:
        body = contents.render(content)
        return len(body), hashlib.sha256(body).hexdigest()

    for job in jobs:
        row: dict[str, Any] = dict.fromkeys(JOB_COLUMNS)
        row.update({name: getattr(job, name) for name in _PLAIN})
        row.update(job.paths)
        if job.source:
            row["source_size_bytes"], row["source_file_hash"] = source(job.source)
        row.update({_SIZES[stem]: size(stem, content) for stem, content in job.made if stem in _SIZES})
        yield row


def _used(rows: list[dict[str, Any]]) -> Mapping[str, int]:
    """Return the used bytes by API key as the pipeline counts them: source and outputs of completed jobs."""
    total: Counter[str] = Counter()
    for row in rows:
        if row["status"] == "completed":
            total[row["api_key"]] += sum(row[name] or 0 for name in ("source_size_bytes", *_SIZES.values()))
    return total


def _copy(cursor: Any, table: str, columns: tuple[str, ...], rows: Iterable[list[Any]]) -> None:
    text = io.StringIO()
    csv.writer(text).writerows(rows)  # None becomes an empty field, which COPY reads as NULL
    text.seek(0)
    cursor.copy_expert(f"COPY {table} ({', '.join(columns)}) FROM STDIN WITH (FORMAT csv)", text)
