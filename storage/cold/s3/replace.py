"""Replace an object of an S3 bucket by another form of itself; objects are read in their stored form."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from functools import cached_property
from typing import Any, BinaryIO
from urllib.parse import urlencode

from botocore.exceptions import ClientError
from minio.error import S3Error

from storage.cold.model import Details
from storage.cold.s3.http import Headers, Wire
from storage.core.attributes import Attributes
from storage.core.errors import PreconditionFailed, StoreRefused
from storage.core.model import ObjectInfo, ObjectKey
from storage.core.records import UploadJournal
from storage.core.tiers import TIER_TAG
from storage.stores.s3.bucket import S3Bucket
from storage.stores.s3.client import translated
from storage.stores.s3.config import put_words
from storage.stores.s3.writer import MOST_PARTS, PART, StreamWriter, writing
from storage.stores.s3.xml import to_second

_META = "x-amz-meta-"
#: Headers that an object carries, and boto3's argument for each.
_HEADERS: Mapping[str, str] = {
    "cache-control": "CacheControl",
    "content-disposition": "ContentDisposition",
    "content-language": "ContentLanguage",
    "expires": "Expires",
    "x-amz-website-redirect-location": "WebsiteRedirectLocation",
    "x-amz-server-side-encryption": "ServerSideEncryption",
    "x-amz-server-side-encryption-aws-kms-key-id": "SSEKMSKeyId",
}
_NO_COMPRESSION = ("aws-chunked", "identity")  # transfer codings, which some stores keep
_CHANGED_MEANWHILE = "ConditionalRequestConflict"  # AWS's error code for concurrent writers


class S3ObjectReplacer:
    """Adapter for :class:`storage.cold.ports.ObjectReplacer` on an S3 bucket.

    ``conditional`` returns True if the probe proved that puts and completions honour If-Match;
    ``counts_tags``, if a response without a tag count means that there are no tags. ``uploads`` records
    multipart uploads. ``frugal`` False: all requests go by boto3.
    """

    def __init__(
        self,
        bucket: S3Bucket,
        *,
        conditional: Callable[[], bool] = bool,
        counts_tags: Callable[[], bool] = bool,
        uploads: UploadJournal | None = None,
        part_size: int = PART,
        frugal: bool = True,
    ) -> None:
        self._wire = Wire(bucket, frugal=frugal)
        self._bucket, self._conditional, self._counts_tags = bucket, conditional, counts_tags
        self._uploads, self._part_size = uploads, part_size

    @cached_property
    def _honours_if_match(self) -> bool:
        return self._conditional()

    @cached_property
    def _uncounted(self) -> str:
        """Return the tag count to assume for a response without one."""
        return "0" if self._counts_tags() else ""

    def details(self, key: ObjectKey) -> Details:
        with translated(self._bucket.bucket, key, "HEAD"):
            headers = self._wire.head(key)
        return self._details(key, headers, int(headers.get("content-length", 0)))

    def read_range(self, key: ObjectKey, start: int, length: int, etag: str = "") -> tuple[Details, bytes]:
        span = f"bytes={start}-{start + length - 1}"
        try:
            with (
                translated(self._bucket.bucket, key),
                self._wire.get(key, etag, span) as (headers, body),
            ):
                return self._cut(key, headers, start, body.read(length))
        except StoreRefused as error:
            if not _is(error, "InvalidRange"):
                raise
            return self._beyond(key, etag)

    def _cut(self, key: ObjectKey, answer: Headers, start: int, data: bytes) -> tuple[Details, bytes]:
        answered = answer.get("content-range", "")
        if not answered and start:
            raise StoreRefused(key, "the store ignores the Range header")
        size = int(answered.rpartition("/")[2]) if answered else int(answer["content-length"])
        return self._details(key, answer, size), data

    def _beyond(self, key: ObjectKey, etag: str) -> tuple[Details, bytes]:
        """Answer a range beyond the end, as every range of an empty object is."""
        found = self.details(key)
        if etag and found.info.etag != etag:
            raise PreconditionFailed(key)
        return found, b""

    @contextmanager
    def open(self, key: ObjectKey, etag: str = "") -> Iterator[BinaryIO]:
        with translated(self._bucket.bucket, key), self._wire.get(key, etag) as (_, body):
            yield body

    def tags(self, key: ObjectKey) -> dict[str, str]:
        try:
            with translated(self._bucket.bucket, key):
                answer = self._bucket.boto.get_object_tagging(Bucket=self._bucket.bucket, Key=key)
        except StoreRefused as error:
            if _is(error, "NotImplemented"):
                return {}
            raise
        return {tag["Key"]: tag["Value"] for tag in answer["TagSet"]}

    @contextmanager
    def replace(
        self, seen: Details, attributes: Attributes, tags: Mapping[str, str], size_hint: int = 0
    ) -> Iterator[StreamWriter]:
        key, uploads = seen.info.key, self._uploads
        try:
            with writing(
                self._bucket.boto,
                self._bucket.bucket,
                key,
                part_size=max(self._part_size, -(-size_hint // MOST_PARTS)),
                begun=lambda upload_id: uploads.record(key, upload_id) if uploads else None,
                ended=lambda upload_id: uploads.close(upload_id) if uploads else None,
                words=words(seen, attributes, tags),
                conditions={"IfMatch": seen.info.etag},
                put=self._wire.put,
            ) as sink:
                yield sink
                if not self._honours_if_match:
                    self._still(seen)
        except StoreRefused as error:
            if _is(error, _CHANGED_MEANWHILE):
                raise PreconditionFailed(key) from error
            raise

    def versioned(self) -> bool:
        return self._bucket.versioned

    def _still(self, seen: Details) -> None:
        """Compare the etag immediately before the write, for stores that may ignore a condition."""
        if self.details(seen.info.key).info.etag != seen.info.etag:
            raise PreconditionFailed(seen.info.key)

    def _details(self, key: ObjectKey, headers: Headers, size: int) -> Details:
        count = headers.get("x-amz-tagging-count", self._uncounted)
        when = to_second(parsedate_to_datetime(headers["last-modified"]))
        kind = headers.get("x-amz-storage-class") or "STANDARD"
        return Details(
            info=ObjectInfo(key, size, when, headers.get("etag", "").strip('"'), kind),
            attributes=_attributes(headers),
            tag_count=int(count) if count else None,
            restore=headers.get("x-amz-restore", ""),
            blocked=_blocked(headers),
        )


def _attributes(headers: Headers) -> Attributes:
    codings = [one.strip() for one in headers.get("content-encoding", "").split(",")]
    return Attributes(
        headers.get("content-type", ""),
        ", ".join(one for one in codings if one and one not in _NO_COMPRESSION),
        {name[len(_META) :]: value for name, value in headers.items() if name.startswith(_META)},
        {name: headers[name] for name in _HEADERS if headers.get(name)},
    )


def _blocked(headers: Headers) -> str:
    if headers.get("x-amz-object-lock-legal-hold") == "ON":
        return "it is under legal hold"
    if headers.get("x-amz-object-lock-mode"):
        return "it is under retention: the old version would be kept beside the new one"
    if headers.get("x-amz-missing-meta", "0") != "0":
        return "it has metadata that the store's responses do not contain"
    return ""


def words(seen: Details, attributes: Attributes, tags: Mapping[str, str]) -> dict[str, Any]:
    """Return the boto3 arguments of a write. Raises StoreRefused for values that no request can carry.

    An object tagged for a tier is written to the default storage class: the rule of the tag moves it again,
    and such a tier is not a class that a request may name.
    """
    key, words = seen.info.key, put_words(seen.info.key, attributes)
    words |= {_HEADERS[name]: value for name, value in attributes.headers.items()}
    if "Expires" in words:
        words["Expires"] = _expiry(key, words["Expires"])
    if tags:
        words["Tagging"] = urlencode(dict(tags))
    if seen.info.storage_class != "STANDARD" and TIER_TAG not in tags:
        words["StorageClass"] = seen.info.storage_class
    return words


def _expiry(key: ObjectKey, text: str) -> Any:
    try:
        return parsedate_to_datetime(text)
    except ValueError as error:
        raise StoreRefused(
            key, f"its Expires header is not a date, so no request can send it: {text!r}"
        ) from error


def _is(error: StoreRefused, code: str) -> bool:
    cause = error.__cause__
    if isinstance(cause, S3Error):
        return cause.code == code
    return isinstance(cause, ClientError) and cause.response.get("Error", {}).get("Code") == code
