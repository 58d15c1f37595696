"""A key that lacks one right: the refusal names the request, the place and the right."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from minio import Minio, MinioAdmin
from minio.credentials import StaticProvider

from devstack.objectstore import ObjectStore
from storage.cold.s3.replace import S3ObjectReplacer
from storage.cold.s3.transition import S3TierStore
from storage.core.deletion import DeleteTarget
from storage.core.errors import AccessDenied, ActionDenied
from storage.core.login import Login
from storage.core.model import BucketName, ObjectKey, Prefix
from storage.lifecycle.s3 import S3Lifecycle
from storage.stores.s3.bucket import S3Bucket
from storage.stores.s3.client import Endpoint
from tests.conftest import Place, needed
from tests.support.command_line import Person, environment

KEY, EPOCH = ObjectKey("temp/1/a.ts"), datetime(2026, 1, 1, tzinfo=UTC)
Request = Callable[["Denied"], object]


@dataclass(frozen=True)
class Denied:
    """A bucket with one object, opened by a key that may do everything but one thing."""

    bucket: S3Bucket
    rules: S3Lifecycle
    file: Path


@pytest.fixture(scope="module")
def without(
    store_server: Callable[[str], ObjectStore], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str], Denied]]:
    server = needed("minio", store_server)
    root = StaticProvider(server.access_key, server.secret_key)
    host, name = server.endpoint_url.removeprefix("http://"), BucketName(f"denied-{secrets.token_hex(4)}")
    admin = MinioAdmin(endpoint=host, credentials=root, secure=False, region=server.region)
    client = Minio(host, credentials=root, secure=False, region=server.region)
    client.make_bucket(name)
    file = tmp_path_factory.mktemp("denied") / "file"
    file.write_bytes(b"x")
    client.fput_object(name, KEY, str(file))

    def denied(right: str) -> Denied:
        user, secret = secrets.token_hex(8), secrets.token_hex(16)
        admin.add_service_account(access_key=user, secret_key=secret, policy=policy(right))
        login = Login(access_key=user, secret_key=secret)
        endpoint = Endpoint(url=server.endpoint_url, region=server.region, login=login)
        return Denied(S3Bucket(endpoint, name), S3Lifecycle(endpoint, name), file)

    yield denied
    client.remove_object(name, KEY)
    client.remove_bucket(name)


def policy(denied: str) -> dict[str, Any]:
    """Return a policy that allows everything but one right."""
    allow = {"Effect": "Allow", "Action": ["s3:*"], "Resource": ["arn:aws:s3:::*"]}
    deny = {"Effect": "Deny", "Action": [denied], "Resource": ["arn:aws:s3:::*"]}
    return {"Version": "2012-10-17", "Statement": [allow, deny]}


def read(at: Denied) -> bytes:
    with at.bucket.open(KEY) as file:
        return file.read()


def write(at: Denied, size: int) -> None:
    with at.bucket.writer(KEY) as sink:
        sink.write(b"x" * size)


REQUESTS: tuple[tuple[str, str, str, Request], ...] = (
    ("s3:ListBucket", "ListObjectsV2", "/temp/*", lambda at: at.bucket.page(Prefix("temp/"))),
    ("s3:GetBucketVersioning", "GetBucketVersioning", "", lambda at: at.bucket.versioned),
    ("s3:ListBucketMultipartUploads", "ListMultipartUploads", "", lambda at: list(at.bucket.uploads())),
    ("s3:GetObject", "GetObject", f"/{KEY}", read),
    ("s3:GetObject", "GetObject", f"/{KEY}", lambda at: S3ObjectReplacer(at.bucket).read_range(KEY, 0, 1)),
    ("s3:PutObject", "PutObject", f"/{KEY}", lambda at: at.bucket.put_file(KEY, at.file)),
    ("s3:PutObject", "PutObject", f"/{KEY}", lambda at: at.bucket.create(KEY, b"y")),
    ("s3:PutObject", "PutObject", f"/{KEY}", lambda at: write(at, 1)),
    ("s3:PutObject", "CreateMultipartUpload", f"/{KEY}", lambda at: write(at, 17 << 20)),
    (
        "s3:PutObjectTagging",
        "PutObjectTagging",
        f"/{KEY}",
        lambda at: S3TierStore(at.bucket).put_tags(KEY, {}),
    ),
    ("s3:GetLifecycleConfiguration", "GetBucketLifecycleConfiguration", "", lambda at: at.rules.get()),
    ("s3:PutLifecycleConfiguration", "DeleteBucketLifecycle", "", lambda at: at.rules.clear()),
)


@pytest.mark.parametrize(("right", "action", "where", "request_"), REQUESTS)
def test_the_refusal_names_request_place_and_right(
    without: Callable[[str], Denied], right: str, action: str, where: str, request_: Request
) -> None:
    at = without(right)
    with pytest.raises(ActionDenied) as error:
        request_(at)
    name = f"{at.bucket.bucket}{where}" if where else f"bucket {at.bucket.bucket}"
    expected = f"denied {action} on {name} (AccessDenied): the key needs the right {right}."
    assert expected in str(error.value)
    assert "credentials" not in str(error.value)


def test_a_head_cannot_tell_a_wrong_key_from_a_missing_right(without: Callable[[str], Denied]) -> None:
    at = without("s3:GetObject")
    with pytest.raises(
        AccessDenied, match=f"HeadObject on {at.bucket.bucket}/{KEY}.*or lacks the right s3:GetObject"
    ):
        at.bucket.head(KEY)


def test_a_key_of_a_bulk_delete_names_the_right(without: Callable[[str], Denied]) -> None:
    (failure,) = without("s3:DeleteObject").bucket.delete([DeleteTarget(KEY, "0" * 32)])
    assert (failure.key, failure.code) == (KEY, "AccessDenied")
    assert "needs the right s3:DeleteObject" in failure.message


@pytest.mark.parametrize("place", ["minio"], indirect=True)
def test_status_says_what_it_could_not_ask(place: Place, person: Person) -> None:
    """It looked well with a store that was away."""

    def status(**wrong: str) -> tuple[int, str]:
        person.sits_at(environment(place.settings, **wrong))
        answer = person("status", "--json")
        return answer.code, answer.document["object_store"]

    assert status() == (0, "answers")
    for wrong, says in (
        ({"endpoint_url": "http://127.0.0.1:9"}, "does not answer"),
        ({"secret_key": "nothing-at-all"}, "refused the credentials"),
        ({"bucket": "absent"}, "no bucket 'absent'"),
        ({"backup_access_key": "nobody", "backup_secret_key": "nothing"}, "InvalidAccessKeyId"),
    ):
        code, said = status(**wrong)
        assert (code, says in said) == (6, True), said
    person.sits_at(environment(replace(place.settings, database_url="postgresql://u:p@127.0.0.1:9/d")))
    assert person("status").code == 6
