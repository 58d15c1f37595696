"""Incomplete multipart uploads: listing parts by exact key and id, and aborting."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from storage.core.clock import utcnow
from storage.core.model import ObjectKey, Prefix
from storage.core.ports import ObjectStore

MIB = 1 << 20
Start = Callable[[str, list[bytes]], str]


def test_parts_of_an_upload(object_store: ObjectStore, start_upload: Start) -> None:
    upload_id = start_upload("uploads/job-1/rec 1+é.mp4", [b"a" * 5 * MIB, b"b" * 7])
    parts = object_store.parts(ObjectKey("uploads/job-1/rec 1+é.mp4"), upload_id)
    assert parts is not None
    assert [(part.number, part.size) for part in parts] == [(1, 5 * MIB), (2, 7)]
    assert all(abs(part.last_modified - utcnow()) < timedelta(minutes=1) for part in parts)


def test_upload_without_parts_has_none_of_them(object_store: ObjectStore, start_upload: Start) -> None:
    assert object_store.parts(ObjectKey("uploads/a"), start_upload("uploads/a", [])) == []


def test_parts_of_no_upload_is_none(object_store: ObjectStore, start_upload: Start) -> None:
    upload_id = start_upload("uploads/a", [b"x"])
    assert object_store.parts(ObjectKey("uploads/a"), "no-such-upload") is None
    assert object_store.parts(ObjectKey("uploads/b"), upload_id) is None


def test_abort_ends_that_upload_alone(object_store: ObjectStore, start_upload: Start) -> None:
    first, second = start_upload("uploads/a", [b"x"]), start_upload("uploads/a", [b"y"])
    object_store.abort(ObjectKey("uploads/a"), first)
    assert object_store.parts(ObjectKey("uploads/a"), first) is None
    assert object_store.parts(ObjectKey("uploads/a"), second) is not None


def test_abort_twice_is_no_failure(object_store: ObjectStore, start_upload: Start) -> None:
    upload_id = start_upload("uploads/a", [b"x"])
    object_store.abort(ObjectKey("uploads/a"), upload_id)
    object_store.abort(ObjectKey("uploads/a"), upload_id)
    assert object_store.parts(ObjectKey("uploads/a"), upload_id) is None


def test_uploads_shows_only_what_is_open(object_store: ObjectStore, start_upload: Start) -> None:
    """A listing of uploads is a hint: a store may leave some out, but may not invent any."""
    kept, gone = start_upload("uploads/kept", [b"x"]), start_upload("uploads/gone", [b"x"])
    object_store.abort(ObjectKey("uploads/gone"), gone)
    shown = {upload.upload_id: upload for upload in object_store.uploads()}
    assert shown.keys() <= {kept}
    for upload in shown.values():
        assert upload.key == "uploads/kept"
        assert abs(upload.initiated - utcnow()) < timedelta(minutes=1)


def test_incomplete_upload_is_no_object(object_store: ObjectStore, start_upload: Start) -> None:
    start_upload("uploads/a", [b"x"])
    assert object_store.head(ObjectKey("uploads/a")) is None
    assert list(object_store.scan(Prefix("uploads/"))) == []
