"""The journal of multipart uploads: recorded once, renewed by heartbeats, closed for good."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

from storage.core.clock import utcnow
from storage.core.model import ObjectKey


def test_recorded_uploads_are_open_until_closed(database: Any) -> None:
    database.uploads.record(ObjectKey("uploads/b é.mp4"), "id-2")
    database.uploads.record(ObjectKey("uploads/a.mp4"), "id-1")
    database.uploads.record(ObjectKey("uploads/a.mp4"), "id-0")
    found = list(database.uploads.open())
    assert {(one.key, one.upload_id) for one in found} == {
        ("uploads/a.mp4", "id-0"),
        ("uploads/a.mp4", "id-1"),
        ("uploads/b é.mp4", "id-2"),
    }
    assert all(abs(one.initiated - utcnow()) < timedelta(minutes=1) for one in found)
    database.uploads.close("id-1")
    database.uploads.close("id-1")
    database.uploads.close("never")
    assert {one.upload_id for one in database.uploads.open()} == {"id-0", "id-2"}


def test_recording_again_is_a_sign_of_life(database: Any) -> None:
    database.uploads.record(ObjectKey("uploads/a"), "id")
    [before] = database.uploads.open()
    first = database.uploads.heartbeats(["id"])["id"]
    time.sleep(0.01)
    database.uploads.record(ObjectKey("uploads/a"), "id")
    assert list(database.uploads.open()) == [before]
    assert database.uploads.heartbeats(["id"])["id"] > first


def test_heartbeats_of_what_is_known(database: Any) -> None:
    database.uploads.record(ObjectKey("uploads/a"), "id")
    beats = database.uploads.heartbeats(["id", "other"])
    assert beats.keys() == {"id"}
    assert abs(beats["id"] - utcnow()) < timedelta(minutes=1)
    assert database.uploads.heartbeats([]) == {}
