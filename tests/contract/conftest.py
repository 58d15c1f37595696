"""The implementations that each contract suite runs against: always the fake, real ones where available."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from datetime import datetime
from functools import cache
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import Engine, text

from storage.core.clock import utcnow
from storage.core.login import Login
from storage.core.model import BucketName
from storage.core.ports import ObjectStore
from storage.records.postgres import PostgresRecords
from storage.stores.postgres.audit import PostgresAudit
from storage.stores.postgres.jobs import PostgresJobs
from storage.stores.postgres.references import PostgresReferences
from storage.stores.postgres.runs import PostgresControl, PostgresRuns
from storage.stores.postgres.tombstones import PostgresTombstones, PostgresUploads
from storage.stores.s3.bucket import S3Bucket
from storage.stores.s3.client import Endpoint, translated
from storage.testing import (
    Database,
    MemoryAudit,
    MemoryControl,
    MemoryJobs,
    MemoryObjects,
    MemoryRecords,
    MemoryReferences,
    MemoryRuns,
    MemoryTombstones,
    MemoryUploads,
)
from tests.conftest import needed
from tests.contract import deviations

BUCKET = BucketName("transcode-storage")


#: An external store joins the suite when its endpoint and keys are in the environment.
REAL = ("ministack", "minio", "versitygw", "versitygw_plain")
VERSIONED = ("versitygw",)  # its buckets keep versions; versitygw_plain cannot
KINDS = ["fake", *REAL, *(["external"] if os.environ.get("STORAGE_ENDPOINT_URL") else [])]


@pytest.fixture(params=KINDS)
def store_kind(request: pytest.FixtureRequest) -> str:
    """Return the kind of store; a known deviation of this store is expected to fail the test."""
    deviations.expect(request, request.param)
    return str(request.param)


@cache
def client_of(endpoint: Endpoint) -> Any:
    """Return one client for all tests of a store: making it takes longer than most tests."""
    return endpoint.boto()


@pytest.fixture
def object_store(store_kind: str, request: pytest.FixtureRequest) -> ObjectStore:
    """Return an empty bucket for one test; a real bucket is discarded with its server."""
    if store_kind == "fake":
        return MemoryObjects(utcnow)
    server = needed(store_kind, request.getfixturevalue("store_server"))
    endpoint = Endpoint(
        url=server.endpoint_url,
        region=server.region,
        login=Login(access_key=server.access_key, secret_key=server.secret_key),
    )
    bucket = S3Bucket(endpoint, BucketName(f"contract-{secrets.token_hex(6)}"))
    bucket.boto = client_of(endpoint)
    answer = bucket.boto.create_bucket(Bucket=bucket.bucket)
    if store_kind in VERSIONED:
        status = {"Status": "Enabled"}
        bucket.boto.put_bucket_versioning(Bucket=bucket.bucket, VersioningConfiguration=status)
    answered = answer["ResponseMetadata"]["HTTPHeaders"].get("server", "")
    assert (answered == "MinIO") == (store_kind == "minio") or store_kind == "external", answered
    return bucket


@pytest.fixture
def put(object_store: Any, store_kind: str) -> Callable[[str, bytes], None]:
    """Store an object as another client would; raise StoreRefused if it is refused."""

    def fake(key: str, data: bytes) -> None:
        object_store.put(key, data)

    def real(key: str, data: bytes) -> None:
        with translated(object_store.bucket, key):
            object_store.boto.put_object(Bucket=object_store.bucket, Key=key, Body=data)

    return fake if store_kind == "fake" else real


@pytest.fixture
def start_upload(object_store: Any, store_kind: str) -> Callable[[str, list[bytes]], str]:
    """Begin a multipart upload and store its parts, numbered from 1; return its id."""

    def fake(key: str, parts: list[bytes]) -> str:
        upload_id = str(object_store.start_upload(key))
        for number, data in enumerate(parts, 1):
            object_store.put_part(upload_id, number, len(data))
        return upload_id

    def real(key: str, parts: list[bytes]) -> str:
        place = {"Bucket": object_store.bucket, "Key": key}
        upload_id = str(object_store.boto.create_multipart_upload(**place)["UploadId"])
        for number, data in enumerate(parts, 1):
            object_store.boto.upload_part(**place, UploadId=upload_id, PartNumber=number, Body=data)
        return upload_id

    return fake if store_kind == "fake" else real


@pytest.fixture(params=["fake", "postgres"])
def database(request: pytest.FixtureRequest) -> SimpleNamespace:
    """Return the ports of an empty database; ``add_job`` inserts or replaces a row of the pipeline's jobs,
    ``audited`` reads the audit trail back."""
    if request.param == "fake":
        tables = Database(utcnow)
        return SimpleNamespace(
            jobs=MemoryJobs(tables),
            runs=MemoryRuns(tables),
            records=MemoryRecords(tables),
            audit=MemoryAudit(tables),
            references=MemoryReferences(tables),
            control=MemoryControl(tables),
            tombstones=MemoryTombstones(tables),
            uploads=MemoryUploads(tables),
            add_job=tables.add_job,
            audited=lambda: [(event, run, dict(detail)) for event, run, detail in tables.audit],
        )
    engine: Engine = request.getfixturevalue("engine")
    return SimpleNamespace(
        jobs=PostgresJobs(engine),
        runs=PostgresRuns(engine),
        records=PostgresRecords(engine),
        audit=PostgresAudit(engine),
        references=PostgresReferences(engine),
        control=PostgresControl(engine, "http://127.0.0.1:9000"),
        tombstones=PostgresTombstones(engine),
        uploads=PostgresUploads(engine, BUCKET),
        add_job=_adder(engine),
        audited=lambda: _audited(engine),
    )


def _audited(engine: Engine) -> list[tuple[str, str, Any]]:
    with engine.connect() as session:
        rows = session.execute(text("SELECT event, run_id, detail FROM maintenance.audit ORDER BY id"))
        return [tuple(row) for row in rows]


def _adder(engine: Engine) -> Callable[..., None]:
    def add_job(id: str, status: str, updated_at: datetime, **columns: Any) -> None:
        values = {"id": id, "status": status, "updated_at": updated_at} | columns
        names, placeholders = ", ".join(values), ", ".join(f":{name}" for name in values)
        changes = ", ".join(f"{name} = excluded.{name}" for name in values)
        with engine.begin() as connection:
            connection.execute(
                text(
                    f"INSERT INTO jobs ({names}) VALUES ({placeholders}) "
                    f"ON CONFLICT (id) DO UPDATE SET {changes}"
                ),
                values,
            )

    return add_job
