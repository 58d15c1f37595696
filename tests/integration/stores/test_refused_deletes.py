"""Keys that a bulk delete names in its answer, which has status 200: busy, locked, or without the right."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from devstack.objectstore import ObjectStore
from storage import connect
from storage.core.clock import utcnow
from storage.core.deletion import DeleteTarget
from storage.core.errors import TransientFault
from storage.core.login import Login
from storage.core.model import BucketName, Prefix
from storage.stores.s3.bucket import S3Bucket
from storage.stores.s3.client import Endpoint
from tests.conftest import needed, new_place, replace, without_backups
from tests.support.command_line import keys, run_ahead
from tests.support.proxy import proxy

StoreServer = Callable[[str], ObjectStore]


def _errors(code: str, *keys: str) -> bytes:
    errors = "".join(f"<Error><Key>{key}</Key><Code>{code}</Code></Error>" for key in keys)
    return f"<DeleteResult>{errors}</DeleteResult>".encode()


def test_a_busy_store_is_asked_again_and_what_was_written_meanwhile_stays(
    store_server: StoreServer, database_url: str, tmp_path: Path
) -> None:
    """The answer names all twelve, which were deleted; one is written again before the next try."""
    server = needed("ministack", store_server)
    place = new_place(server, database_url, tmp_path)
    names = [f"temp/gone/{number:02}.ts" for number in range(12)]
    asked: list[str] = []

    def busy(path: str, body: bytes) -> bytes:
        if "delete=" not in path or asked:
            return body
        asked.append(path)
        place.put(names[3], b"another")
        return _errors("SlowDown", *names)

    with proxy(server.endpoint_url, change=busy) as address:
        through = replace(place, settings=replace(place.settings, endpoint_url=address))
        connect.set_up(through.settings)
        without_backups(through.settings)
        for name in names:
            place.put(name)
        run = run_ahead(through, "cleanup_temp_objects")
    assert asked
    assert (run.state, run.done.count, run.skipped.count) == ("verified", 11, 1)
    assert keys(place, "temp/") == {names[3]}


@pytest.mark.parametrize("cut", ["delete=", "versioning="])
def test_an_answer_that_was_cut_short_is_a_temporary_fault(
    cut: str, store_server: StoreServer, database_url: str, tmp_path: Path
) -> None:
    """An XML parser's error had no next step, and no retry."""
    server = needed("ministack", store_server)
    place = new_place(server, database_url, tmp_path)
    place.put("temp/a")
    with proxy(server.endpoint_url, change=lambda path, body: body[:40] if cut in path else body) as address:
        bucket = S3Bucket(_endpoint(server, address), BucketName(place.settings.bucket))
        with pytest.raises(TransientFault, match="cut short"):
            bucket.delete(_targets(bucket))


@pytest.fixture
def lockable(store_server: StoreServer) -> tuple[S3Bucket, Any]:
    """Create a bucket with object lock on MinIO; it ends with its server, as a lock cannot be lifted."""
    server = needed("minio", store_server)
    bucket = S3Bucket(_endpoint(server, server.endpoint_url), BucketName(f"locked-{secrets.token_hex(4)}"))
    bucket.boto.create_bucket(Bucket=bucket.bucket, ObjectLockEnabledForBucket=True)
    return bucket, server


def _endpoint(server: ObjectStore, url: str) -> Endpoint:
    login = Login(access_key=server.access_key, secret_key=server.secret_key)
    return Endpoint(url=url, region=server.region, login=login)


def _targets(bucket: S3Bucket) -> list[DeleteTarget]:
    return [DeleteTarget(info.key, info.etag, info.versions) for info in bucket.scan(Prefix("temp/"))]


def test_locked_objects_are_named_with_their_dates(lockable: tuple[S3Bucket, Any]) -> None:
    bucket, until = lockable[0], (utcnow() + timedelta(days=3)).replace(microsecond=0)
    words = {
        "temp/compliance": {"ObjectLockMode": "COMPLIANCE", "ObjectLockRetainUntilDate": until},
        "temp/free": {},
        "temp/governance": {"ObjectLockMode": "GOVERNANCE", "ObjectLockRetainUntilDate": until},
        "temp/hold": {"ObjectLockLegalHoldStatus": "ON"},
    }
    for key, lock in words.items():
        bucket.boto.put_object(Bucket=bucket.bucket, Key=key, Body=b"x", **lock)
    locks = {failure.key: failure.lock for failure in bucket.delete(_targets(bucket))}
    assert {key: lock and (lock.why, lock.until) for key, lock in locks.items()} == {
        "temp/compliance": ("object lock (COMPLIANCE)", until),
        "temp/governance": ("object lock (GOVERNANCE)", until),
        "temp/hold": ("a legal hold", None),
    }
    assert [info.key for info in bucket.scan(Prefix("temp/"))] == sorted(locks)


def test_a_missing_right_is_no_lock(lockable: tuple[S3Bucket, Any]) -> None:
    """The answer has the same code as for a locked object."""
    direct, server = lockable
    direct.boto.put_object(Bucket=direct.bucket, Key="temp/a", Body=b"x")

    def denied(path: str, body: bytes) -> bytes:
        return _errors("AccessDenied", "temp/a") if "delete=" in path else body

    with proxy(server.endpoint_url, change=denied) as address:
        bucket = S3Bucket(_endpoint(server, address), direct.bucket)
        [refused] = bucket.delete(_targets(bucket))
    assert (refused.key, refused.code, refused.lock) == ("temp/a", "AccessDenied", None)
    assert "s3:DeleteObject" in refused.message
