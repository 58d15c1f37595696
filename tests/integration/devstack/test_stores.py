"""The object stores of the local stack, started by name: versitygw over a folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from devstack import objectstore, tools
from devstack.errors import DevstackError
from devstack.go_build import VERSITYGW
from tests.conftest import missing

pytestmark = pytest.mark.server
KEYS = {"access_key": "testaccesskey", "secret_key": "a secret of this test alone"}


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[objectstore.ObjectStore]:
    try:
        tools.bring(VERSITYGW)
    except DevstackError as error:
        missing["versitygw"] = f"no versitygw: {error}"
        pytest.skip(missing["versitygw"])
    store = objectstore.start("versitygw", tmp_path / "store", **KEYS)
    yield store
    store.stop()


def client(store: objectstore.ObjectStore, secret_key: str = KEYS["secret_key"]) -> Any:
    return boto3.client(
        "s3", endpoint_url=store.endpoint_url, region_name=store.region,
        aws_access_key_id=store.access_key, aws_secret_access_key=secret_key,
        config=Config(retries={"max_attempts": 1}),
    )  # fmt: skip


def refusal(call: Any, **arguments: Any) -> str:
    with pytest.raises(ClientError) as refused:
        call(**arguments)
    return str(refused.value.response["Error"]["Code"])


def test_versitygw_stores_an_object_and_keeps_it_over_a_restart(gateway: objectstore.ObjectStore) -> None:
    s3 = client(gateway)
    assert s3.list_buckets()["Buckets"] == []
    s3.create_bucket(Bucket="videos")
    s3.put_object(Bucket="videos", Key="a/b.mp4", Body=b"content")
    again = gateway.restart()
    try:
        assert not gateway.alive()
        assert (again.port, again.version) == (gateway.port, VERSITYGW.version)
        assert s3.get_object(Bucket="videos", Key="a/b.mp4")["Body"].read() == b"content"
        assert refusal(client(again, "another").list_buckets) == "SignatureDoesNotMatch"
    finally:
        again.stop()
    assert not again.alive()


def test_versitygw_differs_from_s3_as_its_notes_say(gateway: objectstore.ObjectStore) -> None:
    s3 = client(gateway)
    s3.create_bucket(Bucket="videos")
    s3.put_object(Bucket="videos", Key="a//b", Body=b"x", StorageClass="STANDARD_IA")
    listed = s3.list_objects_v2(Bucket="videos")["Contents"]
    assert [(one["Key"], one["StorageClass"]) for one in listed] == [("a/b", "STANDARD")]
    assert refusal(s3.put_object, Bucket="videos", Key="a/b/c", Body=b"x") == "ObjectParentIsFile"
    assert refusal(s3.put_object, Bucket="videos", Key="a", Body=b"x") == "ExistingObjectIsDirectory"
    assert refusal(s3.get_bucket_lifecycle_configuration, Bucket="videos") == "NotImplemented"
    stale = {"Objects": [{"Key": "a/b", "ETag": '"00000000000000000000000000000000"'}]}
    assert "Errors" not in s3.delete_objects(Bucket="videos", Delete=stale)
    assert s3.list_objects_v2(Bucket="videos")["KeyCount"] == 0
    s3.put_object(Bucket="videos", Key="a/b", Body=b"x")
    s3.delete_object(Bucket="videos", Key="a//b")
    assert s3.list_objects_v2(Bucket="videos")["KeyCount"] == 0


def test_versitygw_versions_and_refuses_to_overwrite_on_condition(gateway: objectstore.ObjectStore) -> None:
    s3 = client(gateway)
    s3.create_bucket(Bucket="videos")
    s3.put_bucket_versioning(Bucket="videos", VersioningConfiguration={"Status": "Enabled"})
    for body in (b"1", b"2"):
        s3.put_object(Bucket="videos", Key="k", Body=body)
    assert len(s3.list_object_versions(Bucket="videos")["Versions"]) == 2
    assert refusal(s3.put_object, Bucket="videos", Key="k", IfNoneMatch="*") == "PreconditionFailed"
