"""A job whose objects have been moved between tiers: its content, and checks of it by another client."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from storage.core.clock import utcnow
from tests.conftest import Place
from tests.support.command_line import Answer, Person, environment

JOB = "job-1"
FILM = f"processed/{JOB}/360p/output.mp4"
NOTES = f"processed/{JOB}/transcription/notes.vtt"
CONTENT = {FILM: bytes(range(256)) * 3000, NOTES: b"WEBVTT\n" * 40, f"processed/{JOB}/audio/empty.mp3": b""}
PRICES = "EUR hot=0.02 cold=0.004/90"
CLASSES = pytest.mark.parametrize("place", ["ministack"], indirect=True)
REMOTE = pytest.mark.parametrize("place", ["minio"], indirect=True)


def fill(place: Place, add_job: Callable[..., None]) -> None:
    long_ago = utcnow() - timedelta(days=200)
    add_job(JOB, "completed", long_ago, completed_at=long_ago)
    for key, data in CONTENT.items():
        place.boto.put_object(
            Bucket=place.settings.bucket, Key=key, Body=data, ContentType="a/b", CacheControl="max-age=5",
            Metadata={"made-by": "transcoder"}, Tagging="team=video",
        )  # fmt: skip


def sit(person: Person, place: Place, **other: str) -> Person:
    person.sits_at(environment(place.settings, **other))
    return person


def head(place: Place, key: str) -> dict[str, Any]:
    return dict(place.boto.head_object(Bucket=place.settings.bucket, Key=key))


def classes(place: Place) -> dict[str, str]:
    """Return the storage class by key, as a listing shows it."""
    answer = place.boto.list_objects_v2(Bucket=place.settings.bucket, Prefix="processed/")
    return {one["Key"]: one.get("StorageClass", "STANDARD") for one in answer["Contents"]}


def tags(place: Place, key: str) -> dict[str, str]:
    answer = place.boto.get_object_tagging(Bucket=place.settings.bucket, Key=key)["TagSet"]
    return {one["Key"]: one["Value"] for one in answer}


def read(place: Place, key: str, **words: str) -> bytes:
    answer = place.boto.get_object(Bucket=place.settings.bucket, Key=key, **words)
    return bytes(answer["Body"].read())


def intact(place: Place) -> None:
    """Assert that every object has its original bytes, headers, metadata and tags."""
    for key, data in CONTENT.items():
        assert hashlib.sha256(read(place, key)).digest() == hashlib.sha256(data).digest(), key
        answer = head(place, key)
        carried = (answer["ContentType"], answer["CacheControl"], answer["Metadata"])
        assert carried == ("a/b", "max-age=5", {"made-by": "transcoder"}), key
        assert tags(place, key).items() >= {"team": "video"}.items(), key


def eventually(holds: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not holds() and time.monotonic() < end:
        time.sleep(0.2)
    assert holds()


def refused(answer: Answer, *words: str) -> None:
    assert answer.code == 3, answer
    assert all(word in answer.err for word in words), answer.err
