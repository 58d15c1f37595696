"""In-memory bucket with S3's semantics: byte order, pages, versions, per-key delete errors."""

from __future__ import annotations

import hashlib
import io
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from threading import RLock
from typing import Any, BinaryIO, cast

from storage.core.attributes import Attributes, Document
from storage.core.deletion import DeleteTarget, Failure
from storage.core.errors import ObjectMissing, PreconditionFailed, StoreRefused
from storage.core.model import BucketName, ObjectInfo, ObjectKey, Page, Prefix, UploadInfo, UploadPart
from storage.testing.traffic import Traffic
from storage.testing.writer import MemoryWriter

PAGE = 1000
MAX_KEY_BYTES = 1024
PLAIN = Attributes()


@dataclass(frozen=True, slots=True)
class _Version:
    """A version of an object; ``data`` None is a delete marker."""

    id: str
    data: bytes | None
    etag: str
    last_modified: datetime
    attributes: Attributes = PLAIN
    storage_class: str = "STANDARD"
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class _Upload:
    """An incomplete multipart upload."""

    info: UploadInfo
    parts: dict[int, UploadPart] = field(default_factory=dict)


class MemoryObjects:
    """In-memory ObjectStore.

    ``failing`` maps a key to the error code that its delete returns; with ``lying`` a delete reports success
    and deletes nothing; ``skew`` is the server clock's lead over ``now``; keys in ``hidden`` exist but are
    omitted from listings.
    """

    def __init__(
        self, now: Callable[[], datetime], *, bucket: str = "transcode-storage", versioned: bool = False
    ) -> None:
        self.bucket = BucketName(bucket)
        self.versioned = versioned
        self.failing: dict[str, str] = {}
        self.hidden: set[str] = set()
        self.lying = False
        self.skew = timedelta()
        self.traffic = Traffic()
        self._now = now
        self._lock = RLock()
        self._versions: dict[str, list[_Version]] = {}
        self._sorted: list[str] | None = []
        self._uploads: dict[str, _Upload] = {}
        self._made = 0
        self._identity = ""

    @property
    def requests(self) -> Counter[str]:
        return self.traffic.requests

    # --- listing -------------------------------------------------------------------------------
    def scan(self, prefix: Prefix) -> Iterator[ObjectInfo]:
        after = ""
        while True:
            page = self.page(prefix, after)
            yield from page.objects
            if not page.more:
                return
            after = page.objects[-1].key

    def inventory(self) -> Iterator[ObjectInfo]:
        return self.scan(cast(Prefix, ""))

    def page(self, prefix: Prefix, start_after: str = "", limit: int = PAGE) -> Page:
        self.traffic("list")
        limit = min(limit, PAGE)
        with self._lock:
            keys = self._keys()
            first = max(bisect_left(keys, str(prefix)), bisect_right(keys, start_after))
            found: list[ObjectInfo] = []
            for key in keys[first:]:
                if not key.startswith(prefix):
                    break
                if key in self.hidden or (info := self._info(key)) is None:
                    continue
                if len(found) == limit:
                    return Page(tuple(found), True)
                found.append(info)
        return Page(tuple(found), False)

    def head(self, key: ObjectKey) -> ObjectInfo | None:
        self.traffic("head")
        with self._lock:
            return self._info(key)

    # --- changing ------------------------------------------------------------------------------
    def put(
        self, key: str, data: bytes, last_modified: datetime | None = None, attributes: Attributes = PLAIN
    ) -> ObjectInfo:
        """Store an object; ``last_modified`` may be in the past. Raises StoreRefused."""
        self.traffic("put")
        _checked(key)
        with self._lock:
            self._write(key, data, last_modified or self._now(), attributes)
            info = self._info(key)
        assert info
        return info

    def put_file(self, key: ObjectKey, path: Path) -> None:
        self.put(key, path.read_bytes())

    def create(
        self, key: ObjectKey, data: bytes, attributes: Attributes | None = None, *, over: bool = False
    ) -> None:
        self.traffic("put")
        _checked(key)
        with self._lock:
            if self._info(key) is not None and not over:
                raise PreconditionFailed(key)
            self._write(key, data, self._now(), attributes or PLAIN)

    @contextmanager
    def writer(self, key: ObjectKey, size_hint: int = 0) -> Iterator[MemoryWriter]:
        sink = MemoryWriter()
        yield sink
        self.put(key, sink.getvalue())

    def delete(self, targets: Sequence[DeleteTarget]) -> list[Failure]:
        if not targets:
            return []
        if len(targets) > PAGE:
            raise StoreRefused(f"{len(targets)} keys", f"one request deletes at most {PAGE}")
        self.traffic("delete")
        failures = []
        with self._lock:
            for target in targets:
                if code := self.failing.get(target.key):
                    failures.append(Failure(target.key, code, "injected", transient=code == "SlowDown"))
                elif not self.lying:
                    self._remove(target)
        return failures

    @contextmanager
    def open(self, key: ObjectKey) -> Iterator[BinaryIO]:
        yield io.BytesIO(self._newest("get", key).data or b"")

    def document(self, key: ObjectKey, most: int) -> Document | None:
        found = self._newest("get", key)
        body = found.data or b""
        return Document(key, found.etag, True, found.attributes, body) if len(body) <= most else None

    def attributes(self, key: ObjectKey) -> tuple[Attributes, dict[str, str]]:
        self.traffic("tags")
        found = self._newest("head", key)
        return found.attributes, dict(found.tags)

    def configuration(self) -> dict[str, Any]:
        self.traffic("configuration")
        return {"versioning": "Enabled" if self.versioned else None}

    # --- multipart uploads ---------------------------------------------------------------------
    def start_upload(self, key: str, initiated: datetime | None = None) -> str:
        """Begin a multipart upload; return its id."""
        self.traffic("start-upload")
        _checked(key)
        with self._lock:
            self._made += 1
            upload_id = f"upload-{self._made:06}"
            self._uploads[upload_id] = _Upload(
                UploadInfo(ObjectKey(key), upload_id, initiated or self._now())
            )
        return upload_id

    def put_part(self, upload_id: str, number: int, size: int, at: datetime | None = None) -> None:
        self.traffic("put-part")
        with self._lock:
            self._uploads[upload_id].parts[number] = UploadPart(number, size, at or self._now())

    def uploads(self) -> Iterator[UploadInfo]:
        self.traffic("list-uploads")
        with self._lock:
            uploads = (upload.info for upload in self._uploads.values())
            found = sorted(uploads, key=lambda info: (info.key, info.upload_id))
        yield from found

    def parts(self, key: ObjectKey, upload_id: str) -> list[UploadPart] | None:
        self.traffic("list-parts")
        with self._lock:
            upload = self._upload(key, upload_id)
            return [upload.parts[n] for n in sorted(upload.parts)] if upload else None

    def abort(self, key: ObjectKey, upload_id: str) -> None:
        self.traffic("abort")
        with self._lock:
            if self._upload(key, upload_id) and not self.lying:
                del self._uploads[upload_id]

    # --- the server ----------------------------------------------------------------------------
    def server_time(self) -> datetime:
        self.traffic("time")
        return (self._now() + self.skew).replace(microsecond=0)

    def identity(self) -> str:
        self.traffic("identity")
        return self._identity

    def adopt(self, identity: str) -> None:
        self.traffic("adopt")
        self._identity = identity

    # --- internals -----------------------------------------------------------------------------
    def _keys(self) -> list[str]:
        """Return every key in code point order, which equals UTF-8's byte order."""
        if self._sorted is None:
            self._sorted = sorted(self._versions)
        return self._sorted

    def _newest(self, request: str, key: str) -> _Version:
        self.traffic(request)
        with self._lock:
            newest = self._versions.get(key, [None])[0]
        if newest is None or newest.data is None:
            raise ObjectMissing(key)
        return newest

    def _info(self, key: str) -> ObjectInfo | None:
        versions = self._versions.get(key)
        if not versions or versions[0].data is None:
            return None
        newest = versions[0]
        ids = tuple(version.id for version in versions) if self.versioned else ()
        size = len(newest.data or b"")
        kind = newest.storage_class
        return ObjectInfo(ObjectKey(key), size, newest.last_modified, newest.etag, kind, versions=ids)

    def amend(self, key: str, **values: Any) -> None:
        """Change attributes of the newest version, such as tags or storage_class."""
        with self._lock:
            self._versions[key][0] = replace(self._newest("amend", key), **values)

    def _write(self, key: str, data: bytes | None, at: datetime, attributes: Attributes = PLAIN) -> None:
        etag = hashlib.md5(data, usedforsecurity=False).hexdigest() if data is not None else ""
        self._made += 1
        at = at.replace(microsecond=0)  # S3 returns whole seconds
        older = self._versions.get(key, []) if self.versioned else []
        if key not in self._versions:
            self._sorted = None
        self._versions[key] = [_Version(f"v{self._made:06}", data, etag, at, attributes), *older]

    def _remove(self, target: DeleteTarget) -> None:
        versions = self._versions.get(target.key)
        if self.versioned and not target.versions:
            self._write(target.key, None, self._now())
        elif versions is not None:
            left = [version for version in versions if self.versioned and version.id not in target.versions]
            self._versions[target.key] = left
            if not left:
                del self._versions[target.key]
                self._sorted = None

    def _upload(self, key: str, upload_id: str) -> _Upload | None:
        upload = self._uploads.get(upload_id)
        return upload if upload and upload.info.key == key else None


def _checked(key: str) -> None:
    try:
        length = len(key.encode())
    except UnicodeEncodeError as error:
        raise StoreRefused(key, "it is not Unicode") from error
    if not 1 <= length <= MAX_KEY_BYTES:
        raise StoreRefused(key, f"a key has 1 to {MAX_KEY_BYTES} bytes, this one {length}")
