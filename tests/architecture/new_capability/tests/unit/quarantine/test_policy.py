"""Check which objects of the quarantine are noted."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from storage.core.model import ObjectInfo, ObjectKey
from storage.engine.actions import Keep
from storage.quarantine.actions import NoteObject
from storage.quarantine.policy import Candidate, QuarantinedObjects

NOW = datetime(2026, 1, 31, tzinfo=UTC)
POLICY = QuarantinedObjects(older_than=timedelta(days=30))


def found(days_old: int) -> ObjectInfo:
    return ObjectInfo(ObjectKey("quarantine/a.mp4"), 10, NOW - timedelta(days=days_old), "etag-1")


def test_an_old_object_is_noted_once() -> None:
    first, again = POLICY.plan([Candidate(found(30)), Candidate(found(30), noted="etag-1")], NOW)
    assert isinstance(first, NoteObject)
    assert (first.key, first.etag, first.size) == ("quarantine/a.mp4", "etag-1", 10)
    assert isinstance(again, Keep)


def test_a_young_object_is_not_noted() -> None:
    (decided,) = POLICY.plan([Candidate(found(29))], NOW)
    assert isinstance(decided, Keep)
