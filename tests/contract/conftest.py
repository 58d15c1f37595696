"""The stores the contract suite runs against when nothing else is set up: the fake."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import pytest

from storage.clock import utcnow
from storage.testing import (
    Database,
    MemoryControl,
    MemoryJobs,
    MemoryObjects,
    MemoryRuns,
    MemoryTombstones,
    MemoryUploads,
)


@pytest.fixture(params=["fake"])
def store_kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def object_store(store_kind: str) -> MemoryObjects:
    return MemoryObjects(utcnow)


@pytest.fixture
def put(object_store: MemoryObjects) -> Callable[..., object]:
    return object_store.put


@pytest.fixture
def start_upload(object_store: MemoryObjects) -> Callable[[str, list[bytes]], str]:
    """Begin a multipart upload and store its parts, numbered from 1; its id."""

    def start(key: str, parts: list[bytes]) -> str:
        upload_id = object_store.start_upload(key)
        for number, data in enumerate(parts, 1):
            object_store.put_part(upload_id, number, len(data))
        return upload_id

    return start


@pytest.fixture(params=["fake"])
def database(request: pytest.FixtureRequest) -> SimpleNamespace:
    tables = Database(utcnow)
    return SimpleNamespace(
        jobs=MemoryJobs(tables),
        runs=MemoryRuns(tables),
        control=MemoryControl(tables),
        tombstones=MemoryTombstones(tables),
        uploads=MemoryUploads(tables),
        add_job=tables.add_job,
    )
