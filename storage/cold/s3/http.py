"""The four requests for replacing an object, sent by the cheaper of two transports.

minio-py needs a third of the CPU time that boto3 spends on a request. boto3 sends what minio-py cannot: keys
that a general URL library would rewrite, and headers for which only boto3 has arguments.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from typing import Any, BinaryIO, cast

from storage.core.model import ObjectKey
from storage.stores.s3.bucket import S3Bucket
from storage.stores.s3.client import Raw, dotted

Headers = Mapping[str, str]  # names in lower case
_WHOLE = "Metadata", "Body", "Bucket", "Key"
_HEADERS: Mapping[str, str] = {
    "CacheControl": "Cache-Control",
    "ContentDisposition": "Content-Disposition",
    "ContentEncoding": "Content-Encoding",
    "ContentLanguage": "Content-Language",
    "ContentType": "Content-Type",
    "IfMatch": "If-Match",
    "StorageClass": "x-amz-storage-class",
    "Tagging": "x-amz-tagging",
}


class Wire:
    """HTTP requests to one bucket. Vendor errors pass unchanged; ``frugal`` False: all by boto3."""

    def __init__(self, bucket: S3Bucket, *, frugal: bool = True) -> None:
        self._bucket, self._frugal = bucket, frugal

    def head(self, key: ObjectKey) -> Headers:
        if self._by_boto(key):
            return _headers_of(self._bucket.boto.head_object(**self._place(key)))
        return _lower(self._bucket.send("HEAD", key).headers)

    @contextmanager
    def get(self, key: ObjectKey, etag: str = "", span: str = "") -> Iterator[tuple[Headers, BinaryIO]]:
        """Yield headers and raw bytes of the object, if it has that etag; ``span`` is a Range value."""
        if self._by_boto(key):
            words = {name: value for name, value in (("IfMatch", etag), ("Range", span)) if value}
            reply = self._bucket.boto.get_object(**self._place(key), **words)
            with closing(reply["Body"]) as body:
                yield _headers_of(reply), body
            return
        asked = {name: value for name, value in (("If-Match", etag), ("Range", span)) if value}
        answer = self._bucket.send("GET", key, headers=asked, preload_content=False)
        try:
            yield _lower(answer.headers), cast(BinaryIO, Raw(answer))
        finally:
            answer.close()
            answer.release_conn()

    def put(self, **words: Any) -> None:
        """Write an object; ``words`` are the arguments of boto3's ``put_object``."""
        key, body = ObjectKey(words["Key"]), words["Body"]
        if self._by_boto(key) or not body or not words.keys() <= {*_HEADERS, *_WHOLE}:
            self._bucket.boto.put_object(**words)
            return
        headers = {_HEADERS[name]: value for name, value in words.items() if name in _HEADERS}
        headers |= {f"x-amz-meta-{name}": value for name, value in words.get("Metadata", {}).items()}
        self._bucket.send("PUT", key, headers=headers, body=body)

    def _by_boto(self, key: ObjectKey) -> bool:
        return not self._frugal or dotted(key)

    def _place(self, key: ObjectKey) -> dict[str, str]:
        return {"Bucket": str(self._bucket.bucket), "Key": str(key)}


def _headers_of(answer: Mapping[str, Any]) -> Headers:
    return _lower(cast(Headers, answer["ResponseMetadata"]["HTTPHeaders"]))


def _lower(headers: Headers) -> Headers:
    return {name.lower(): value for name, value in headers.items()}
