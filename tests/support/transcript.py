"""A completed job's transcript on a real store: compressing it and reading it back."""

from __future__ import annotations

from typing import Any

from storage.cold import decompressing_reader
from storage.cold.actions.compress import CompressObject
from storage.core.clock import utcnow
from storage.core.model import JobId, ObjectKey, Outcome
from storage.core.tiers import CodecName
from storage.engine.actions import Work
from storage.installation import Installation
from tests.conftest import Place

JOB = "job-1"
KEY = ObjectKey(f"processed/{JOB}/transcription/transcript.json")
TEXT = b"".join(b'{"start": %d, "text": "%x and so on"}\n' % (n, n * n) for n in range(60_000))
SMALL = TEXT[:100_000]


def put(place: Place, data: bytes, key: str = KEY, **words: Any) -> str:
    answer = place.boto.put_object(Bucket=place.settings.bucket, Key=key, Body=data, **words)
    return str(answer["ETag"]).strip('"')


def action(stores: Installation, etag: str, data: bytes, codec: CodecName = "zstd") -> CompressObject:
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


def apply(stores: Installation, *batch: CompressObject) -> list[Outcome]:
    return CompressObject.apply(batch, Work(stores, "run-1", "cold"))


def original(stores: Installation) -> bytes:
    return b"".join(decompressing_reader.read(stores.replacer, KEY))
