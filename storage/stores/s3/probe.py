"""Probe of an endpoint's capabilities with temporary keys in the maintenance bucket."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

from botocore.exceptions import ClientError

from storage.core.capabilities import Capabilities
from storage.core.clock import utcnow
from storage.core.errors import StorageError
from storage.stores.s3.bucket import S3Bucket
from storage.stores.s3.client import translated

_WRONG_ETAG = '"00000000000000000000000000000000"'
_WRONG_SHA256 = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
_CLASSES = ("STANDARD", "REDUCED_REDUNDANCY", "STANDARD_IA", "GLACIER_IR", "GLACIER")
_ODD_KEYS = ("a//b", "a/../b", "a/./b", "trailing ", "new\nline", "dir/", "x" * 1000)


@dataclass(frozen=True)
class Probe:
    """A bucket, and a temporary folder in it for the probe's keys."""

    s3: Any
    bucket: str
    folder: str

    def key(self, name: str) -> str:
        return f"{self.folder}/{name}"

    def put(self, name: str, **conditions: Any) -> dict[str, Any]:
        answer: dict[str, Any] = self.s3.put_object(
            Bucket=self.bucket, Key=self.key(name), Body=b"probe", **conditions
        )
        return answer

    def there(self, name: str) -> bool:
        return not _refuses(lambda: self.s3.head_object(Bucket=self.bucket, Key=self.key(name)))


def probe(bucket: S3Bucket, swept: S3Bucket, file_leases: bool) -> Capabilities:
    """Try each capability on ``bucket``; of ``swept`` only the versioning state is read.

    Leaves nothing behind. Raises Unreachable, AccessDenied or BucketMissing.
    """
    target = Probe(bucket.boto, bucket.bucket, f"probe/{secrets.token_hex(8)}")
    with translated(bucket.bucket), _cleaned(target):
        answer = target.put("first")
        return Capabilities(
            server=answer["ResponseMetadata"]["HTTPHeaders"].get("server", "unknown"),
            versioned=swept.versioned,
            conditional_put=_refuses(lambda: target.put("first", IfNoneMatch="*"))
            and _refuses(lambda: target.put("first", IfMatch=_WRONG_ETAG)),
            conditional_delete=_conditional_delete(target),
            conditional_bulk_delete=_conditional_bulk_delete(target),
            conditional_complete=_conditional_complete(target),
            conditional_copy=_conditional_copy(target),
            counts_tags=_counts_tags(target),
            lists_below_objects=_lists_below_object(target),
            lists_uploads=_lists_upload(target, ""),
            lists_uploads_by_prefix=_lists_upload(target, target.folder),
            checks_sha256=_refuses(lambda: target.put("sum", ChecksumSHA256=_WRONG_SHA256)),
            storage_classes=tuple(name for name in _CLASSES if _keeps_class(target, name)),
            refused_keys=tuple(key for key in _ODD_KEYS if _refuses(lambda key=key: target.put(key))),  # type: ignore[misc]
            clock_skew_seconds=_skew(answer),
            file_leases=file_leases,
        )


def _refuses(attempt: Callable[[], Any]) -> bool:
    try:
        attempt()
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] in (401, 403):
            raise
        return True
    return False


def _conditional_delete(target: Probe) -> bool:
    target.put("guarded")
    refused = _refuses(
        lambda: target.s3.delete_object(Bucket=target.bucket, Key=target.key("guarded"), IfMatch=_WRONG_ETAG)
    )
    return refused and target.there("guarded")


def _conditional_bulk_delete(target: Probe) -> bool:
    """Return True if a wrong etag prevents the bulk delete and the right one allows it."""
    right = target.put("bulk")["ETag"].strip('"')
    _bulk(target, "bulk", _WRONG_ETAG.strip('"'))
    if not target.there("bulk"):
        return False
    _bulk(target, "bulk", right)
    return not target.there("bulk")


def _bulk(target: Probe, name: str, etag: str) -> None:
    target.s3.delete_objects(
        Bucket=target.bucket, Delete={"Objects": [{"Key": target.key(name), "ETag": etag}], "Quiet": True}
    )


def _conditional_complete(target: Probe) -> bool:
    """Return True if completing a multipart upload checks If-Match: only the right etag succeeds."""
    right = target.put("whole")["ETag"]
    return not _completes(target, "whole", _WRONG_ETAG) and _completes(target, "whole", right)


def _completes(target: Probe, name: str, etag: str) -> bool:
    place = {"Bucket": target.bucket, "Key": target.key(name)}
    place["UploadId"] = target.s3.create_multipart_upload(**place)["UploadId"]
    answer = target.s3.upload_part(**place, PartNumber=1, Body=b"probe")
    parts = {"Parts": [{"PartNumber": 1, "ETag": answer["ETag"]}]}
    if _refuses(lambda: target.s3.complete_multipart_upload(**place, MultipartUpload=parts, IfMatch=etag)):
        _refuses(lambda: target.s3.abort_multipart_upload(**place))
        return False
    return True


def _conditional_copy(target: Probe) -> bool:
    """Return True if a copy in place also checks If-Match on the object that it overwrites."""
    place = {"Bucket": target.bucket, "Key": target.key("copied")}
    words = {**place, "CopySource": place, "MetadataDirective": "REPLACE", "Metadata": {"probe": "copied"}}
    target.put("copied")
    return _refuses(lambda: target.s3.copy_object(**words, IfMatch=_WRONG_ETAG))


def _counts_tags(target: Probe) -> bool:
    target.put("tagged", Tagging="one=1&two=2")
    return bool(target.s3.head_object(Bucket=target.bucket, Key=target.key("tagged")).get("TagCount") == 2)


def _lists_below_object(target: Probe) -> bool:
    """Return True if a listing shows the keys below a key that is an object itself, or refuses such keys.

    MinIO keeps both and lists only the upper one, as long as it exists.
    """
    above = target.put("both")
    try:
        if _refuses(lambda: target.put("both/below")):
            return True
        answer = target.s3.list_objects_v2(Bucket=target.bucket, Prefix=target.key("both/"))
        return [found["Key"] for found in answer.get("Contents", ())] == [target.key("both/below")]
    finally:  # or the probe's own clean-up would not find what lies below
        version = {"VersionId": above["VersionId"]} if "VersionId" in above else {}
        target.s3.delete_object(Bucket=target.bucket, Key=target.key("both"), **version)


def _lists_upload(target: Probe, prefix: str) -> bool:
    key = target.key("upload")
    upload = target.s3.create_multipart_upload(Bucket=target.bucket, Key=key)["UploadId"]
    try:
        answer = target.s3.list_multipart_uploads(Bucket=target.bucket, Prefix=prefix)
        return any(found["UploadId"] == upload for found in answer.get("Uploads", ()))
    finally:
        target.s3.abort_multipart_upload(Bucket=target.bucket, Key=key, UploadId=upload)


def _keeps_class(target: Probe, name: str) -> bool:
    """Return True if a HEAD shows the class after the put: some servers accept any class and drop it."""
    if _refuses(lambda: target.put(f"class-{name}", StorageClass=name)):
        return False
    answer = target.s3.head_object(Bucket=target.bucket, Key=target.key(f"class-{name}"))
    return bool(answer.get("StorageClass", "STANDARD") == name)


def _skew(answer: dict[str, Any]) -> float:
    server = parsedate_to_datetime(answer["ResponseMetadata"]["HTTPHeaders"]["date"])
    return (server - utcnow()).total_seconds()


@contextmanager
def _cleaned(target: Probe) -> Iterator[None]:
    """Empty the probe's folder on exit, versions included."""
    try:
        yield
    finally:
        pages = target.s3.get_paginator("list_object_versions")
        for answer in pages.paginate(Bucket=target.bucket, Prefix=f"{target.folder}/"):
            for entry in (*answer.get("Versions", ()), *answer.get("DeleteMarkers", ())):
                target.s3.delete_object(Bucket=target.bucket, Key=entry["Key"], VersionId=entry["VersionId"])


def leases(folder: Any) -> tuple[bool, str]:
    """Check that open files in the temp folder can be detected; return (False, reason) if not."""
    try:
        folder.check()
    except StorageError as error:
        return False, str(error)
    return True, ""
