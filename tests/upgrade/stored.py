"""Saving the objects of buckets in a zip file, and restoring them with their dates and ETags."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

EPOCH = (1980, 1, 1, 0, 0, 0)  # date of every zip entry, so that equal objects make equal files
INDEX = "index.json"
#: Boto3's names of an object's headers.
CARRIED = ("ContentType", "ContentEncoding", "CacheControl", "ContentDisposition", "ContentLanguage")


@dataclass(frozen=True, kw_only=True)
class Stored:
    """One object without its bytes; ``parts`` are the sizes of a multipart object's parts."""

    bucket: str
    key: str
    etag: str
    modified: str
    carried: Mapping[str, str]
    metadata: Mapping[str, str]
    tags: Mapping[str, str]
    parts: tuple[int, ...] = ()

    @property
    def when(self) -> datetime:
        """Return the instant of the last write."""
        return datetime.fromisoformat(self.modified)

    @property
    def words(self) -> dict[str, Any]:
        """Return boto3's arguments to write such an object."""
        tags = "&".join(f"{name}={value}" for name, value in self.tags.items())
        return {**self.carried, "Metadata": dict(self.metadata), **({"Tagging": tags} if tags else {})}


def save(boto: Any, buckets: Iterable[str], path: Path) -> list[Stored]:
    """Write all objects of the buckets into a zip file; return them."""
    found = [_look(boto, bucket, one) for bucket in buckets for one in listing(boto, bucket)]
    with zipfile.ZipFile(path, "w") as file:
        for one in found:
            body = boto.get_object(Bucket=one.bucket, Key=one.key)["Body"].read()
            _add(file, f"{one.bucket}/{one.key}", body)
        _add(file, INDEX, json.dumps([asdict(one) for one in found], indent=1).encode())
    return found


def listing(boto: Any, bucket: str) -> list[dict[str, Any]]:
    """Return every entry of the bucket's listing."""
    pages = boto.get_paginator("list_objects_v2").paginate(Bucket=bucket)
    return [one for page in pages for one in page.get("Contents", ())]


def _add(file: zipfile.ZipFile, name: str, data: bytes) -> None:
    entry = zipfile.ZipInfo(name, EPOCH)
    entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
    file.writestr(entry, data)


def _look(boto: Any, bucket: str, entry: Mapping[str, Any]) -> Stored:
    where = {"Bucket": bucket, "Key": entry["Key"]}
    head = boto.head_object(**where)
    etag = head["ETag"].strip('"')
    tags = boto.get_object_tagging(**where)["TagSet"]
    count = int(etag.partition("-")[2] or 0)
    sizes = (boto.head_object(**where, PartNumber=n)["ContentLength"] for n in range(1, count + 1))
    return Stored(
        bucket=bucket,
        key=entry["Key"],
        etag=etag,
        modified=entry["LastModified"].isoformat(),  # only a listing has the milliseconds
        carried={name: head[name] for name in CARRIED if head.get(name)},
        metadata=head["Metadata"],
        tags={one["Key"]: one["Value"] for one in tags},
        parts=tuple(sizes),
    )


def load(boto: Any, path: Path, prepare: Callable[[], object]) -> None:
    """Make the buckets, prepare them, put every object of the zip file into them; refuse existing buckets."""
    with zipfile.ZipFile(path) as file:
        objects = [_stored(one) for one in json.loads(file.read(INDEX))]
        for bucket in dict.fromkeys(one.bucket for one in objects):
            _refuse_existing(boto, bucket)
            boto.create_bucket(Bucket=bucket)
        prepare()
        dates = Dates(boto)
        for one in objects:
            dates.put(one, file.read(f"{one.bucket}/{one.key}"))


def _stored(values: dict[str, Any]) -> Stored:
    return Stored(**values | {"parts": tuple(values["parts"])})


def _refuse_existing(boto: Any, bucket: str) -> None:
    try:
        boto.head_bucket(Bucket=bucket)
    except ClientError:
        return
    raise RuntimeError(f"the bucket {bucket} is there already: another test, or another load, uses it")


class Dates:
    """Writer of objects dated back, which only MinIO supports; other stores ignore the header."""

    def __init__(self, boto: Any) -> None:
        self._boto, self._date = boto, ""
        for call in ("PutObject", "CompleteMultipartUpload"):
            boto.meta.events.register(f"before-call.s3.{call}", self._send)

    def _send(self, params: dict[str, Any], **_: object) -> None:
        if self._date:
            params["headers"]["X-Minio-Source-Mtime"] = self._date

    def put(self, one: Stored, data: bytes) -> None:
        """Write the object in its original parts, and assert that it gets its original ETag."""
        self._date = one.when.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
        where = {"Bucket": one.bucket, "Key": one.key}
        try:
            if one.parts:
                reply = self._in_parts(where, one.words, one.parts, data)
            else:
                reply = self._boto.put_object(**where, **one.words, Body=data)
        finally:
            self._date = ""
        assert one.etag in ("", reply["ETag"].strip('"')), one.key

    def _in_parts(
        self, where: dict[str, str], words: dict[str, Any], sizes: tuple[int, ...], data: bytes
    ) -> Any:
        upload = where | {"UploadId": self._boto.create_multipart_upload(**where, **words)["UploadId"]}
        parts, start = [], 0
        for number, size in enumerate(sizes, 1):
            body = data[start : start + size]
            sent = self._boto.upload_part(**upload, PartNumber=number, Body=body)
            parts.append({"PartNumber": number, "ETag": sent["ETag"]})
            start += size
        return self._boto.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts})
