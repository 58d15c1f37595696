"""Bucket operations that backups need: a streamed object is stored whole or not at all."""

from __future__ import annotations

import hashlib
import random
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import Any

import pytest

from storage.core.clock import utcnow
from storage.core.errors import ObjectMissing, PreconditionFailed, StorageError
from storage.core.model import ObjectKey
from storage.core.ports import ObjectStore
from storage.stores.s3 import bucket as s3
from storage.stores.s3.bucket import S3Bucket
from storage.stores.s3.writer import PARALLEL
from storage.testing import Database, MemoryUploads
from tests.contract.conftest import REAL

MIB = 1 << 20
PART = 5 * MIB  # the smallest part size that S3 accepts
KEY = ObjectKey("database/20260308T120000Z-0a1b2c3d/dump 1+é%.zst")
NOISE = random.Random(1).randbytes(3 * PART)


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3, "PART", PART)


def stored(store: ObjectStore, key: ObjectKey = KEY) -> bytes:
    with store.open(key) as file:
        return file.read()


@pytest.mark.parametrize("length", [0, 1, PART - 1, PART, PART + 1, 3 * PART], ids=lambda n: f"{n}B")
def test_written_as_a_stream(object_store: ObjectStore, length: int) -> None:
    data = NOISE[:length]
    with object_store.writer(KEY, length) as sink:
        for at in range(0, length, 700_001):
            piece = data[at : at + 700_001]
            assert sink.write(piece) == len(piece)
        assert sink.size == length
        assert sink.sha256 == hashlib.sha256(data).hexdigest()
    assert stored(object_store) == data
    info = object_store.head(KEY)
    assert info is not None and info.size == length
    assert list(object_store.uploads()) == []


def test_one_write_of_several_parts(object_store: ObjectStore) -> None:
    with object_store.writer(KEY) as sink:
        sink.write(NOISE)
    assert stored(object_store) == NOISE


@pytest.mark.parametrize("written", [5, 2 * PART + 1], ids=lambda n: f"{n}B")
@pytest.mark.parametrize("cause", [KeyboardInterrupt, StorageError])
def test_an_error_leaves_nothing(object_store: ObjectStore, written: int, cause: type[BaseException]) -> None:
    with pytest.raises(cause), object_store.writer(KEY) as sink:
        sink.write(NOISE[:written])
        raise cause
    assert object_store.head(KEY) is None
    with pytest.raises(ObjectMissing):
        stored(object_store)
    assert list(object_store.uploads()) == []


def test_an_error_leaves_what_was_there(object_store: ObjectStore) -> None:
    with object_store.writer(KEY) as sink:
        sink.write(b"before")
    with pytest.raises(ZeroDivisionError), object_store.writer(KEY) as sink:
        sink.write(NOISE)
        raise ZeroDivisionError
    assert stored(object_store) == b"before"


def test_it_is_not_there_before_the_end(object_store: ObjectStore) -> None:
    with object_store.writer(KEY) as sink:
        sink.write(NOISE)
        assert object_store.head(KEY) is None
    assert object_store.head(KEY) is not None


def test_two_at_once(object_store: ObjectStore) -> None:
    """The writer that finishes last determines the stored object."""
    with object_store.writer(KEY) as first:
        first.write(NOISE)
        with object_store.writer(KEY) as second:
            second.write(NOISE[::-1])
        assert stored(object_store) == NOISE[::-1]
    assert stored(object_store) == NOISE


@pytest.fixture
def creating(object_store: Any, store_kind: str) -> ObjectStore:
    """Return the store, recorded as able to refuse a put to an existing key."""
    if store_kind == "fake":
        return object_store  # type: ignore[no-any-return]
    return S3Bucket(object_store.endpoint, object_store.bucket, creates=lambda: True)


def test_create_never_overwrites(creating: ObjectStore) -> None:
    creating.create(KEY, b"first")
    with pytest.raises(PreconditionFailed):
        creating.create(KEY, b"other")
    with pytest.raises(PreconditionFailed):
        creating.create(KEY, b"first and more")
    assert stored(creating) == b"first"


def test_inventory_is_everything_in_key_order(
    object_store: ObjectStore, put: Callable[[str, bytes], None]
) -> None:
    keys = ["a", "b/c", "B", "b-c", "b.", "temp/é", "temp/z", ".maintenance/x", "processed/1/metadata.json"]
    for key in keys:
        put(key, key.encode())
    found = list(object_store.inventory())
    assert [info.key for info in found] == sorted(keys, key=str.encode)
    assert [info.size for info in found] == [len(info.key.encode()) for info in found]


@pytest.fixture
def journal() -> MemoryUploads:
    return MemoryUploads(Database(utcnow))


@pytest.fixture
def journalled(object_store: Any, journal: MemoryUploads) -> ObjectStore:
    return S3Bucket(object_store.endpoint, object_store.bucket, uploads=journal)


#: The fake sends an object in one piece: it has no upload to record.
real = pytest.mark.parametrize("store_kind", REAL, indirect=True)


@real
def test_an_upload_is_on_record_while_it_is_open(journalled: ObjectStore, journal: MemoryUploads) -> None:
    with journalled.writer(KEY) as sink:
        sink.write(NOISE)
        (seen,) = journal.open()
        assert seen.key == KEY
        assert journalled.parts(KEY, seen.upload_id) is not None
    assert list(journal.open()) == []


@real
def test_an_aborted_upload_is_off_the_record(journalled: ObjectStore, journal: MemoryUploads) -> None:
    with pytest.raises(ZeroDivisionError), journalled.writer(KEY) as sink:
        sink.write(NOISE)
        (seen,) = journal.open()
        raise ZeroDivisionError
    assert list(journal.open()) == []
    assert journalled.parts(KEY, seen.upload_id) is None


@real
def test_an_upload_that_somebody_ended_is_no_object(journalled: ObjectStore, journal: MemoryUploads) -> None:
    with pytest.raises(StorageError), journalled.writer(KEY) as sink:
        sink.write(NOISE)
        (seen,) = journal.open()
        journalled.abort(KEY, seen.upload_id)
    assert journalled.head(KEY) is None


@real
def test_a_slow_store_holds_the_writer_up(journalled: S3Bucket) -> None:
    """Memory holds no more parts than are being uploaded, however fast the writer produces parts."""
    gate = Event()

    def held(**_: object) -> None:
        gate.wait(30)

    journalled.boto.meta.events.register("before-call.s3.UploadPart", held)
    with journalled.writer(KEY) as sink, ThreadPoolExecutor(1) as pool:
        writing = pool.submit(lambda: [sink.write(NOISE[:PART]) for _ in range(3 * PARALLEL)])
        for _ in range(200):
            if sink.size >= PARALLEL * PART:
                break
            time.sleep(0.1)
        time.sleep(0.7)  # time in which a faulty writer would accept more
        written = sink.size
        gate.set()
        writing.result(60)
    assert PARALLEL * PART <= written <= (PARALLEL + 1) * PART
    assert stored(journalled) == NOISE[:PART] * 3 * PARALLEL
