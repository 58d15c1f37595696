"""Replacing an object by another form of itself."""

from __future__ import annotations

from storage.stores.s3 import S3Bucket


class S3Rewriter:
    def __init__(self, bucket: S3Bucket) -> None:
        self._bucket = bucket
