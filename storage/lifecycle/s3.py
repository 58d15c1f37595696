"""Read and write a bucket's lifecycle configuration as raw bytes, without a client's model of a rule."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

from minio.error import S3Error

from storage.core.errors import StoreRefused
from storage.core.model import BucketName
from storage.stores.s3.client import Endpoint, translated

_NONE = "NoSuchLifecycleConfiguration"


class S3Lifecycle:
    """Adapter for :class:`storage.lifecycle.ports.BucketRules` on an S3 endpoint."""

    def __init__(self, endpoint: Endpoint, bucket: BucketName, *, http: Any = None) -> None:
        self.bucket, self._minio = bucket, endpoint.minio(http)

    def get(self) -> bytes | None:
        try:
            return self._call("GET")
        except StoreRefused as error:
            if isinstance(error.__cause__, S3Error) and error.__cause__.code == _NONE:
                return None
            raise

    def put(self, document: bytes) -> None:
        """Put the document with its MD5: AWS accepts no configuration without a checksum."""
        md5 = base64.b64encode(hashlib.md5(document, usedforsecurity=False).digest()).decode()
        self._call("PUT", document, {"Content-MD5": md5})

    def clear(self) -> None:
        self._call("DELETE")

    def versioned(self) -> bool:
        with translated(self.bucket):
            return self._minio.get_bucket_versioning(self.bucket).status in ("Enabled", "Suspended")

    def _call(self, method: str, body: bytes | None = None, headers: Any = None) -> bytes:
        with translated(self.bucket, method=method):
            answer = self._minio._execute(
                method, bucket_name=self.bucket, query_params={"lifecycle": ""}, body=body, headers=headers
            )
            return bytes(answer.data)
