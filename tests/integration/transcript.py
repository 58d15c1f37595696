"""A completed job's transcript on a real store, compressing it, and what it reads as."""

from __future__ import annotations

from typing import Any

from storage.clock import utcnow
from storage.cold import reading
from storage.cold_model import CodecName
from storage.engine.actions import CompressObject, Work
from storage.model import JobId, ObjectKey, Outcome
from storage.ports import Stores
from tests.conftest import Place

JOB = "job-1"
KEY = ObjectKey(f"processed/{JOB}/transcription/transcript.json")
TEXT = b"".join(b'{"start": %d, "text": "%x and so on"}\n' % (n, n * n) for n in range(60_000))
SMALL = TEXT[:100_000]


def put(place: Place, data: bytes, key: str = KEY, **words: Any) -> str:
    told = place.boto.put_object(Bucket=place.settings.bucket, Key=key, Body=data, **words)
    return str(told["ETag"]).strip('"')


def action(stores: Stores, etag: str, data: bytes, codec: CodecName = "zstd") -> CompressObject:
    row = stores.jobs.get([JobId(JOB)])[JobId(JOB)]
    return CompressObject(
        key=KEY,
        size=len(data),
        etag=etag,
        last_modified=utcnow(),
        codec=codec,
        level=None,
        object_class="transcripts",
        owner=JOB,
        owner_updated_at=row.updated_at,
        reason="old",
    )


def apply(stores: Stores, *batch: CompressObject) -> list[Outcome]:
    return CompressObject.apply(batch, Work(stores, "run-1", "cold"))


def original(stores: Stores) -> bytes:
    return b"".join(reading.read(stores.rewriter, KEY))
