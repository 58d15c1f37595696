"""Streamed upload of an object: parts are sent while the next fills; the object appears atomically."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any

from storage.core.errors import ObjectMissing, StorageError
from storage.core.model import ObjectKey
from storage.stores.s3.client import translated

PART = 16 << 20  # bytes of a part
MOST_PARTS = 9_000  # of an object: S3 allows 10,000, but the size hint is an estimate
PARALLEL = 3  # concurrent part uploads


class StreamWriter:
    """Writer that sends parts and hashes concurrently. Memory: parts in flight and the one being filled."""

    def __init__(
        self,
        boto: Any,
        bucket: str,
        key: ObjectKey,
        part_size: int,
        begun: Callable[[str], None],
        words: Mapping[str, Any] | None = None,
        conditions: Mapping[str, str] | None = None,
        put: Callable[..., Any] | None = None,
    ) -> None:
        self._put = put or boto.put_object
        self._words, self._conditions = words or {}, conditions or {}
        self.size = 0
        self._boto, self._place, self._part_size = boto, {"Bucket": bucket, "Key": str(key)}, part_size
        self._begun, self._hash = begun, hashlib.sha256()
        self._pieces: list[memoryview] = []  # of the part being filled
        self._filled = 0
        self.upload_id = ""
        self._sent: list[Future[str]] = []
        self._hashing: Future[None] | None = None
        self._pool = ThreadPoolExecutor(PARALLEL + 1)  # one thread hashes

    @property
    def sha256(self) -> str:
        """Return the SHA-256 of the bytes written so far."""
        if self._hashing:
            self._hashing.result()
        found = self._hash.copy()
        for piece in self._pieces:
            found.update(piece)
        return found.hexdigest()

    def write(self, data: bytes) -> int:
        self.size += len(data)
        rest = memoryview(data)
        while len(rest) >= (room := self._part_size - self._filled):
            self._pieces.append(rest[:room])
            self._send()
            rest = rest[room:]
        if rest:
            self._pieces.append(rest)
            self._filled += len(rest)
        return len(data)

    def flush(self) -> None:
        """Do nothing: a part is sent when it is full."""

    def _send(self) -> None:
        """Send the filled part."""
        if not self.upload_id:
            with translated(self._place["Bucket"], self._place["Key"]):
                self.upload_id = self._boto.create_multipart_upload(**self._place, **self._words)["UploadId"]
            self._begun(self.upload_id)
        if len(self._sent) >= PARALLEL:
            self._sent[-PARALLEL].result()  # bounds memory; an error of that part stops the stream
        if self._hashing:
            self._hashing.result()
        part = b"".join(self._pieces)
        self._pieces, self._filled = [], 0
        self._hashing = self._pool.submit(self._hash.update, part)
        self._sent.append(self._pool.submit(self._upload, len(self._sent) + 1, part))

    def _upload(self, number: int, part: bytes) -> str:
        with translated(self._place["Bucket"], self._place["Key"]):
            sent = self._boto.upload_part(
                **self._place, UploadId=self.upload_id, PartNumber=number, Body=part
            )
            return str(sent["ETag"])

    def complete(self) -> None:
        """Complete the object. A small object is sent in one request."""
        if not self.upload_id:
            with translated(self._place["Bucket"], self._place["Key"], "PUT"):
                self._put(**self._place, **self._words, **self._conditions, Body=b"".join(self._pieces))
            return
        if self._pieces:
            self._send()
        parts = [{"PartNumber": n, "ETag": sent.result()} for n, sent in enumerate(self._sent, 1)]
        with translated(self._place["Bucket"], self._place["Key"]):
            self._boto.complete_multipart_upload(
                **self._place,
                **self._conditions,
                UploadId=self.upload_id,
                MultipartUpload={"Parts": parts},
            )

    def abort(self) -> None:
        """Cancel the pending parts and abort the multipart upload."""
        for sent in self._sent:
            sent.cancel()
        self._pool.shutdown(wait=True)
        if self.upload_id:
            with suppress(ObjectMissing), translated(self._place["Bucket"], self._place["Key"]):
                self._boto.abort_multipart_upload(**self._place, UploadId=self.upload_id)

    def close(self) -> None:
        self._pool.shutdown(wait=True)


@contextmanager
def writing(
    boto: Any,
    bucket: str,
    key: ObjectKey,
    *,
    part_size: int = PART,
    begun: Callable[[str], None] = lambda upload_id: None,
    ended: Callable[[str], None] = lambda upload_id: None,
    words: Mapping[str, Any] | None = None,
    conditions: Mapping[str, str] | None = None,
    put: Callable[..., Any] | None = None,
) -> Iterator[StreamWriter]:
    """Yield a writer whose object appears when the block ends, and never when it raises.

    ``begun`` is called with the upload id before the first part, so that a journal knows it even if the
    process is killed. ``words`` are boto3 arguments for the object's attributes, ``conditions`` for its
    preconditions. ``put`` replaces boto3's ``put_object``.
    """
    writer = StreamWriter(boto, bucket, key, part_size, begun, words, conditions, put)
    try:
        yield writer
        writer.complete()
    except BaseException:
        with suppress(StorageError):  # must not mask the cause; the journal still has the upload
            writer.abort()
            if writer.upload_id:
                ended(writer.upload_id)
        raise
    finally:
        writer.close()
    if writer.upload_id:
        ended(writer.upload_id)
