"""What an endpoint really does, found by doing it on keys of our own in the maintenance bucket."""

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
    """One bucket and a folder of our own in it."""

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
    """Try each capability on ``bucket``; ``swept`` is only asked whether it keeps versions.

    Leaves nothing behind. Raises Unreachable, AccessDenied or BucketMissing.
    """
    one = Probe(bucket.boto, bucket.bucket, f"probe/{secrets.token_hex(8)}")
    with translated(bucket.bucket), _cleaned(one):
        answer = one.put("first")
        return Capabilities(
            server=answer["ResponseMetadata"]["HTTPHeaders"].get("server", "unknown"),
            versioned=swept.versioned,
            conditional_put=_refuses(lambda: one.put("first", IfNoneMatch="*"))
            and _refuses(lambda: one.put("first", IfMatch=_WRONG_ETAG)),
            conditional_delete=_conditional_delete(one),
            conditional_bulk_delete=_conditional_bulk_delete(one),
            conditional_complete=_conditional_complete(one),
            conditional_copy=_conditional_copy(one),
            counts_tags=_counts_tags(one),
            lists_uploads=_lists_upload(one, ""),
            lists_uploads_by_prefix=_lists_upload(one, one.folder),
            checks_sha256=_refuses(lambda: one.put("sum", ChecksumSHA256=_WRONG_SHA256)),
            storage_classes=tuple(name for name in _CLASSES if _keeps_class(one, name)),
            refused_keys=tuple(key for key in _ODD_KEYS if _refuses(lambda key=key: one.put(key))),  # type: ignore[misc]
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


def _conditional_delete(one: Probe) -> bool:
    one.put("guarded")
    refused = _refuses(
        lambda: one.s3.delete_object(Bucket=one.bucket, Key=one.key("guarded"), IfMatch=_WRONG_ETAG)
    )
    return refused and one.there("guarded")


def _conditional_bulk_delete(one: Probe) -> bool:
    """Honoured: the wrong etag protects, and the right one does not stand in the way."""
    right = one.put("bulk")["ETag"].strip('"')
    _bulk(one, "bulk", _WRONG_ETAG.strip('"'))
    if not one.there("bulk"):
        return False
    _bulk(one, "bulk", right)
    return not one.there("bulk")


def _bulk(one: Probe, name: str, etag: str) -> None:
    one.s3.delete_objects(
        Bucket=one.bucket, Delete={"Objects": [{"Key": one.key(name), "ETag": etag}], "Quiet": True}
    )


def _conditional_complete(one: Probe) -> bool:
    """Whether a multipart upload ends only where If-Match holds: with the right etag, and no other."""
    right = one.put("whole")["ETag"]
    return not _completes(one, "whole", _WRONG_ETAG) and _completes(one, "whole", right)


def _completes(one: Probe, name: str, etag: str) -> bool:
    place = {"Bucket": one.bucket, "Key": one.key(name)}
    place["UploadId"] = one.s3.create_multipart_upload(**place)["UploadId"]
    answer = one.s3.upload_part(**place, PartNumber=1, Body=b"probe")
    parts = {"Parts": [{"PartNumber": 1, "ETag": answer["ETag"]}]}
    if _refuses(lambda: one.s3.complete_multipart_upload(**place, MultipartUpload=parts, IfMatch=etag)):
        _refuses(lambda: one.s3.abort_multipart_upload(**place))
        return False
    return True


def _conditional_copy(one: Probe) -> bool:
    """Whether a copy in place compares, beside its source, what it writes over."""
    place = {"Bucket": one.bucket, "Key": one.key("copied")}
    words = {**place, "CopySource": place, "MetadataDirective": "REPLACE", "Metadata": {"probe": "copied"}}
    one.put("copied")
    return _refuses(lambda: one.s3.copy_object(**words, IfMatch=_WRONG_ETAG))


def _counts_tags(one: Probe) -> bool:
    one.put("tagged", Tagging="one=1&two=2")
    return bool(one.s3.head_object(Bucket=one.bucket, Key=one.key("tagged")).get("TagCount") == 2)


def _lists_upload(one: Probe, prefix: str) -> bool:
    key = one.key("upload")
    upload = one.s3.create_multipart_upload(Bucket=one.bucket, Key=key)["UploadId"]
    try:
        answer = one.s3.list_multipart_uploads(Bucket=one.bucket, Prefix=prefix)
        return any(found["UploadId"] == upload for found in answer.get("Uploads", ()))
    finally:
        one.s3.abort_multipart_upload(Bucket=one.bucket, Key=key, UploadId=upload)


def _keeps_class(one: Probe, name: str) -> bool:
    """Accepted and still there on a second look: some servers accept any class and drop it."""
    if _refuses(lambda: one.put(f"class-{name}", StorageClass=name)):
        return False
    answer = one.s3.head_object(Bucket=one.bucket, Key=one.key(f"class-{name}"))
    return bool(answer.get("StorageClass", "STANDARD") == name)


def _skew(answer: dict[str, Any]) -> float:
    server = parsedate_to_datetime(answer["ResponseMetadata"]["HTTPHeaders"]["date"])
    return (server - utcnow()).total_seconds()


@contextmanager
def _cleaned(one: Probe) -> Iterator[None]:
    """Whatever happens, the probe's own folder is emptied, versions included."""
    try:
        yield
    finally:
        pages = one.s3.get_paginator("list_object_versions")
        for answer in pages.paginate(Bucket=one.bucket, Prefix=f"{one.folder}/"):
            for entry in (*answer.get("Versions", ()), *answer.get("DeleteMarkers", ())):
                one.s3.delete_object(Bucket=one.bucket, Key=entry["Key"], VersionId=entry["VersionId"])


def leases(folder: Any) -> tuple[bool, str]:
    """Whether open files in the temp folder can be told, and why not."""
    try:
        folder.check()
    except StorageError as error:
        return False, str(error)
    return True, ""
