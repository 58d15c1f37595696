"""Upload of the sample's objects into a bucket, with the ages they should have."""

from __future__ import annotations

import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from devstack.errors import DevstackError
from devstack.sample_content import Contents
from devstack.sample_values import BackDate, OpenUpload, StoredObject

THREADS = 16
SIDECAR = ".meta.json"
# Error codes with which MinIO refuses a key. Any other error is a failure.
_REFUSALS = ("XMinioInvalidObjectName", "XMinioInvalidResourceName", "KeyTooLongError")


def connect(env: Mapping[str, str]) -> Any:
    """Return a boto3 client for the store of STORAGE_ENDPOINT_URL; safe to share between threads."""
    return boto3.client(
        "s3",
        endpoint_url=env["STORAGE_ENDPOINT_URL"],
        region_name=env.get("STORAGE_REGION") or "us-east-1",
        aws_access_key_id=env["STORAGE_ACCESS_KEY"],
        aws_secret_access_key=env["STORAGE_SECRET_KEY"],
        config=Config(
            s3={"addressing_style": "path"}, max_pool_connections=THREADS, retries={"max_attempts": 4}
        ),
    )


def ensure_bucket(client: Any, bucket: str) -> None:
    """Create the bucket if it is missing."""
    try:
        client.head_bucket(Bucket=bucket)
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] != 404:
            raise
        client.create_bucket(Bucket=bucket)


def put_objects(
    env: Mapping[str, str], objects: tuple[StoredObject, ...], contents: Contents, back_date: BackDate
) -> tuple[int, tuple[str, ...]]:
    """Upload all objects; return the bytes stored and the keys that the store refused."""
    client, bucket = connect(env), env["STORAGE_BUCKET"]
    ensure_bucket(client, bucket)
    if back_date is BackDate.HEADER:
        _send_ages(client, {item.key: item.modified for item in objects})

    def put(item: StoredObject) -> int | None:
        body = contents.render(item.content)
        return len(body) if _put(client, bucket, item.key, body) else None

    with ThreadPoolExecutor(THREADS) as pool:
        sizes = list(pool.map(put, objects))
    refused = tuple(item.key for item, size in zip(objects, sizes, strict=True) if size is None)
    return sum(size or 0 for size in sizes), refused


def _put(client: Any, bucket: str, key: str, body: bytes) -> bool:
    try:
        client.put_object(Bucket=bucket, Key=key, Body=body)
    except ClientError as error:
        if error.response["Error"]["Code"] in _REFUSALS:
            return False
        raise
    return True


def _send_ages(client: Any, dates: Mapping[str, datetime]) -> None:
    """Add X-Minio-Source-Mtime before the request is signed; boto3 has no parameter for it."""

    def save_records(params: dict[str, Any], context: dict[str, Any], **_: object) -> None:
        context["sample_mtime"] = iso_millis(dates[params["Key"]])

    def add(params: dict[str, Any], context: dict[str, Any], **_: object) -> None:
        params["headers"]["X-Minio-Source-Mtime"] = context["sample_mtime"]

    client.meta.events.register("before-parameter-build.s3.PutObject", save_records)
    client.meta.events.register("before-call.s3.PutObject", add)


def iso_millis(moment: datetime) -> str:
    """Format as 2006-01-02T15:04:05.000Z, the format that MinIO parses and ministack writes."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def put_open_uploads(env: Mapping[str, str], uploads: tuple[OpenUpload, ...]) -> int:
    """Begin every upload and send its parts, without completing it; return how many."""
    client, bucket = connect(env), env["STORAGE_BUCKET"]
    for upload in uploads:
        begun = client.create_multipart_upload(Bucket=bucket, Key=upload.key)
        for number in range(1, upload.parts + 1):
            client.upload_part(
                Bucket=bucket,
                Key=upload.key,
                UploadId=begun["UploadId"],
                PartNumber=number,
                Body=bytes([number]) * 65536,
            )
    return len(uploads)


def back_date_ministack(folder: Path, dates: Mapping[str, datetime], bucket: str = "") -> int:
    """Rewrite `last_modified` in ministack's sidecars; return how many. ministack reads them at its start.

    Layout: `<S3_DATA_DIR>/<account>/<bucket>/<key>` with a sidecar `<key>.meta.json` beside each; keys that
    are no valid path (and all that end in `.tmp` or `.meta.json`) are stored under `.ministack-keys/` with an
    encoded name. Every sidecar contains the original key, so the names on disk need not be decoded.
    """
    changed = 0
    pattern = f"*/{bucket}/**/*{SIDECAR}" if bucket else f"**/*{SIDECAR}"
    for sidecar in folder.glob(pattern):
        meta = json.loads(sidecar.read_bytes())
        moment = dates.get(meta.get("key", ""))
        if moment is None or meta.get("is_delete_marker"):
            continue
        meta["last_modified"] = iso_millis(moment)
        _date_versions(meta)
        _replace(sidecar, json.dumps(meta))
        changed += 1
    if dates and not changed:
        raise DevstackError(f"no object of the sample below {folder}; give ministack's S3_DATA_DIR")
    return changed


def _date_versions(meta: dict[str, Any]) -> None:
    """Set the date of the current version too: a versioned bucket lists each version with its own date."""
    for version in meta.get("versions") or []:
        if version.get("version_id") == meta.get("version_id"):
            version["last_modified"] = meta["last_modified"]


def _replace(path: Path, text: str) -> None:
    # ministack skips names ending in .tmp, so a crash here leaves the old sidecar in force.
    fresh = path.with_name(path.name + ".tmp")
    fresh.write_text(text)
    fresh.chmod(0o600)
    fresh.replace(path)
