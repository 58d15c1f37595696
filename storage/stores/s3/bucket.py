"""Bucket of an S3 endpoint.

minio-py serves most requests, boto3 those it lacks (multipart administration, keys with dot segments,
conditional writes); listing pages and bulk deletes are read and written by :mod:`storage.stores.s3.xml`.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO, cast

from minio import Minio

from storage.core.attributes import Attributes, Document
from storage.core.deletion import DeleteTarget, Failure
from storage.core.errors import AccessDenied, ObjectMissing, PreconditionFailed, StoreRefused, TransientFault
from storage.core.model import BucketName, ObjectInfo, ObjectKey, Page, Prefix, UploadInfo, UploadPart
from storage.core.records import UploadJournal
from storage.stores.s3 import config, locks
from storage.stores.s3.client import TRANSIENT, Endpoint, Raw, dotted, translated
from storage.stores.s3.listing import Listing
from storage.stores.s3.writer import MOST_PARTS, PART, StreamWriter, writing
from storage.stores.s3.xml import delete_body, failures, fits_xml, to_second

MOST = 1000  # entries of one DeleteObjects request
IDENTITY = ObjectKey(".maintenance/bucket-id")


class S3Bucket:
    """Adapter for :class:`storage.core.ports.ObjectStore` on an S3 endpoint.

    ``conditional`` tells whether the probe proved that a bulk delete checks the etag sent with it,
    ``creates`` whether a put can be made to fail if the key exists. ``uploads`` records the multipart uploads
    of :meth:`writer`.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        bucket: BucketName,
        *,
        conditional: Callable[[], bool] = bool,
        creates: Callable[[], bool] = bool,
        uploads: UploadJournal | None = None,
        http: Any = None,
    ) -> None:
        self.endpoint, self.bucket, self._conditional = endpoint, bucket, conditional
        self._creates, self._uploads = creates, uploads
        self._minio: Minio = endpoint.minio(http)

    @cached_property
    def boto(self) -> Any:
        return self.endpoint.boto()

    @cached_property
    def versioned(self) -> bool:
        """Return True if the bucket keeps versions; a delete without a version id would then free nothing."""
        with translated(self.bucket):
            return self._minio.get_bucket_versioning(self.bucket).status in ("Enabled", "Suspended")

    @cached_property
    def _sends_etags(self) -> bool:
        return self._conditional()

    def scan(self, prefix: Prefix) -> Iterator[ObjectInfo]:
        return self._scan(prefix)

    def inventory(self) -> Iterator[ObjectInfo]:
        return self._scan(cast(Prefix, ""))

    def _scan(self, prefix: Prefix) -> Iterator[ObjectInfo]:
        cursor = ""
        while True:
            found = self.page(prefix, cursor)
            yield from found.objects
            if not found.more:
                return
            cursor = found.objects[-1].key

    def page(self, prefix: Prefix, start_after: str = "", limit: int = 1000) -> Page:
        listing = Listing(self.bucket, lambda query: self._call("GET", query=query))
        read = listing.version_page if self.versioned else listing.page
        return read(prefix, start_after, limit)

    def head(self, key: ObjectKey) -> ObjectInfo | None:
        if self.versioned:
            found = self.page(cast(Prefix, key), limit=1000)
            return next((info for info in found.objects if info.key == key), None)
        try:
            with translated(self.bucket, key, "HEAD"):
                return self._head(key)
        except ObjectMissing:
            return None

    def _head(self, key: ObjectKey) -> ObjectInfo:
        if dotted(key):
            answer = self.boto.head_object(Bucket=self.bucket, Key=key)
            etag, kind = answer["ETag"].strip('"'), answer.get("StorageClass", "STANDARD")
            return ObjectInfo(key, answer["ContentLength"], answer["LastModified"], etag, kind)
        headers = self.send("HEAD", key).headers
        etag, kind = headers.get("etag", "").strip('"'), headers.get("x-amz-storage-class") or "STANDARD"
        when = to_second(parsedate_to_datetime(headers["last-modified"]))
        return ObjectInfo(key, int(headers.get("content-length", 0)), when, etag, kind)

    def delete(self, targets: Sequence[DeleteTarget]) -> list[Failure]:
        """Delete the targets as the port specifies. A key that XML cannot encode gets its own request."""
        carried = [target for target in targets if fits_xml(target.key)]
        lone = [target for target in targets if not fits_xml(target.key)]
        failed = [f for chunk in _chunks(carried) for f in self._bulk(chunk)]
        failed += [f for target in lone for f in self._delete_alone(target)]
        return locks.explained(self.boto, self.bucket, failed, targets) if failed else []

    def _delete_alone(self, target: DeleteTarget) -> Iterator[Failure]:
        """Delete one target without retries, like the bulk delete: the caller rechecks before a retry."""
        boto: Any = self.endpoint.boto(attempts=1)
        place = {"Bucket": self.bucket, "Key": target.key}
        condition = {"IfMatch": f'"{target.etag}"'} if self._sends_etags else {}
        try:
            with translated(self.bucket, target.key):
                for version in target.versions:
                    boto.delete_object(**place, VersionId=version)
                if not target.versions:
                    boto.delete_object(**place, **condition)
        except ObjectMissing:
            return
        except PreconditionFailed as error:
            yield Failure(target.key, "PreconditionFailed", str(error))
        except (AccessDenied, StoreRefused, TransientFault) as error:
            yield Failure(target.key, "Refused", str(error), isinstance(error, TransientFault))

    def _bulk(self, targets: Sequence[DeleteTarget]) -> list[Failure]:
        if not targets:
            return []
        body = delete_body(targets, self._sends_etags)
        digest = base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()
        answer = self._call("POST", query={"delete": ""}, body=body, headers={"Content-MD5": digest})
        with translated(self.bucket):
            return [replace(failure, transient=failure.code in TRANSIENT) for failure in failures(answer)]

    def put_file(self, key: ObjectKey, path: Path) -> None:
        with translated(self.bucket, key, "PUT"):
            self._minio.fput_object(self.bucket, key, str(path))

    def create(
        self, key: ObjectKey, data: bytes, attributes: Attributes | None = None, *, over: bool = False
    ) -> None:
        words = config.put_words(key, attributes) if attributes else {}
        words |= {"IfNoneMatch": "*"} if self._creates() and not over else {}
        try:
            with translated(self.bucket, key):
                self.boto.put_object(Bucket=self.bucket, Key=key, Body=data, **words)
        except PreconditionFailed:
            with self.open(key) as file:  # also the result of a retry after a lost response
                if file.read(len(data) + 1) != data:
                    raise

    @contextmanager
    def writer(self, key: ObjectKey, size_hint: int = 0) -> Iterator[StreamWriter]:
        part_size = max(PART, -(-size_hint // MOST_PARTS))
        uploads = self._uploads
        with writing(
            self.boto,
            self.bucket,
            key,
            part_size=part_size,
            begun=lambda upload_id: uploads.record(key, upload_id) if uploads else None,
            ended=lambda upload_id: uploads.close(upload_id) if uploads else None,
        ) as sink:
            yield sink

    @contextmanager
    def open(self, key: ObjectKey) -> Iterator[BinaryIO]:
        with translated(self.bucket, key):
            if dotted(key):
                yield self.boto.get_object(Bucket=self.bucket, Key=key)["Body"]
                return
            answer = self._minio.get_object(self.bucket, key)
            try:
                yield cast(BinaryIO, Raw(answer))
            finally:
                answer.close()
                answer.release_conn()

    def document(self, key: ObjectKey, most: int) -> Document | None:
        return config.document(self.boto, self.bucket, key, most)

    def attributes(self, key: ObjectKey) -> tuple[Attributes, dict[str, str]]:
        return config.attributes(self.boto, self.bucket, key)

    def configuration(self) -> dict[str, Any]:
        return config.configuration(self.boto, self.bucket)

    def uploads(self) -> Iterator[UploadInfo]:
        """List without a prefix, because some stores show an upload only if the prefix is its exact key."""
        with translated(self.bucket):
            for answer in self.boto.get_paginator("list_multipart_uploads").paginate(Bucket=self.bucket):
                for upload in answer.get("Uploads", ()):
                    yield UploadInfo(ObjectKey(upload["Key"]), upload["UploadId"], upload["Initiated"])

    def parts(self, key: ObjectKey, upload_id: str) -> list[UploadPart] | None:
        place = {"Bucket": self.bucket, "Key": key, "UploadId": upload_id}
        try:
            with translated(self.bucket, key):
                pages = self.boto.get_paginator("list_parts").paginate(**place)
                found = [part for answer in pages for part in answer.get("Parts", ())]
        except ObjectMissing:
            return None
        return [UploadPart(part["PartNumber"], part["Size"], part["LastModified"]) for part in found]

    def abort(self, key: ObjectKey, upload_id: str) -> None:
        with suppress(ObjectMissing), translated(self.bucket, key):
            self.boto.abort_multipart_upload(Bucket=self.bucket, Key=key, UploadId=upload_id)

    def server_time(self) -> datetime:
        with translated(self.bucket, method="HEAD"):
            answer = self._minio._execute("HEAD", bucket_name=self.bucket)
        return parsedate_to_datetime(answer.headers["date"]).astimezone(UTC)

    def identity(self) -> str:
        try:
            with self.open(IDENTITY) as file:
                return file.read(200).decode()
        except ObjectMissing:
            return ""

    def adopt(self, identity: str) -> None:
        with translated(self.bucket, IDENTITY):
            self.boto.put_object(Bucket=self.bucket, Key=IDENTITY, Body=identity.encode())

    def send(self, method: str, key: ObjectKey, **words: Any) -> Any:
        """Send one object request by minio-py's transport, which signs it; minio-py's errors are raised."""
        return self._minio._execute(method, bucket_name=self.bucket, object_name=key, **words)

    def _call(
        self,
        method: str,
        *,
        query: dict[str, str],
        body: bytes | None = None,
        headers: dict[str, Any] | None = None,
    ) -> bytes:
        with translated(self.bucket, method=method):
            answer = self._minio._execute(
                method, bucket_name=self.bucket, query_params=cast(Any, query), body=body, headers=headers
            )
            return bytes(answer.data)


def _chunks(targets: Iterable[DeleteTarget]) -> Iterator[list[DeleteTarget]]:
    """Split targets in order into chunks of at most 1,000 entries: each version is an entry of its key."""
    chunk: list[DeleteTarget] = []
    room = MOST
    for target in targets:
        for start in range(0, max(1, len(target.versions)), MOST):
            part = replace(target, versions=target.versions[start : start + MOST])
            need = max(1, len(part.versions))
            if need > room:
                yield chunk
                chunk, room = [], MOST
            chunk.append(part)
            room -= need
    if chunk:
        yield chunk
