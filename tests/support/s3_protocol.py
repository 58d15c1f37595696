"""S3's answers to listings and bulk deletes without a server: an HTTP transport over the fake bucket.

It replaces the vendor client's connection pool, so the client's and the product's code both run in full,
and every HTTP request is counted by its method.
"""

from __future__ import annotations

from collections import Counter
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit
from xml.etree import ElementTree

import urllib3

from storage.core.deletion import DeleteTarget
from storage.core.login import Login
from storage.core.model import BucketName, ObjectInfo, ObjectKey, Prefix
from storage.stores.s3.bucket import S3Bucket
from storage.stores.s3.client import Endpoint
from storage.testing import MemoryObjects

SPACE = "{http://s3.amazonaws.com/doc/2006-03-01/}"


class Wire(urllib3.PoolManager):
    """A urllib3 pool that answers from ``objects``."""

    def __init__(self, objects: MemoryObjects) -> None:
        super().__init__()
        self.objects = objects
        self.requests: Counter[str] = Counter()

    def urlopen(  # type: ignore[override]
        self, method: str, url: str, redirect: bool = True, *, body: bytes | None = None, **_: Any
    ) -> urllib3.HTTPResponse:
        """Answer a listing or a bulk delete."""
        self.requests[method] += 1
        query = {name: values[0] for name, values in parse_qs(urlsplit(url).query, True).items()}
        answer = self._list(query) if method == "GET" else self._delete(body or b"")
        return urllib3.HTTPResponse(answer.encode(), headers={"Content-Type": "application/xml"}, status=200)

    def _list(self, query: dict[str, str]) -> str:
        assert query["list-type"] == "2"
        page = self.objects.page(
            Prefix(query["prefix"]), query.get("start-after", ""), int(query["max-keys"])
        )
        answer = "".join(map(_entry, page.objects))
        more = str(page.more).lower()
        return (
            f"<ListBucketResult><EncodingType>url</EncodingType><IsTruncated>{more}</IsTruncated>"
            f"{answer}</ListBucketResult>"
        )

    def _delete(self, body: bytes) -> str:
        keys = ElementTree.fromstring(body).iter(f"{SPACE}Key")
        self.objects.delete([DeleteTarget(ObjectKey(key.text or ""), "") for key in keys])
        return "<DeleteResult/>"


def _entry(info: ObjectInfo) -> str:
    return (
        f"<Contents><Key>{quote(info.key)}</Key><LastModified>{info.last_modified.isoformat()}</LastModified>"
        f"<ETag>{info.etag}</ETag><Size>{info.size}</Size></Contents>"
    )


def bucket(wire: Wire) -> S3Bucket:
    """Return the real adapter on that transport, for a bucket known to keep no versions."""
    server = Endpoint(
        url="http://store.invalid:9000", region="us-east-1", login=Login(access_key="a", secret_key="b")
    )
    made = S3Bucket(server, BucketName("videos"), http=wire)
    made.versioned = False  # otherwise it would send a request with the other vendor client
    return made
