"""Bucket configuration and object attributes, read with boto3."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from botocore.exceptions import ClientError

from storage.core.attributes import Attributes, Document
from storage.core.errors import AccessDenied, BucketMissing, ObjectMissing, StoreRefused
from storage.core.model import ObjectKey
from storage.stores.s3.client import translated

#: By name: boto3's method, the response key (None: the whole response), the error code for "not set".
_QUESTIONS = {
    "cors": ("get_bucket_cors", "CORSRules", "NoSuchCORSConfiguration"),
    "encryption": (
        "get_bucket_encryption",
        "ServerSideEncryptionConfiguration",
        "ServerSideEncryptionConfigurationNotFoundError",
    ),
    "lifecycle": ("get_bucket_lifecycle_configuration", "Rules", "NoSuchLifecycleConfiguration"),
    "notifications": ("get_bucket_notification_configuration", None, ""),
    "policy": ("get_bucket_policy", "Policy", "NoSuchBucketPolicy"),
    "tags": ("get_bucket_tagging", "TagSet", "NoSuchTagSet"),
    "versioning": ("get_bucket_versioning", "Status", ""),
}
NAMES = tuple(_QUESTIONS)


def configuration(boto: Any, bucket: str) -> dict[str, Any]:
    """Read each of NAMES as the store returns it; None if not set, {"unsupported": code} if refused."""
    return {name: _answer(boto, bucket, *question) for name, question in _QUESTIONS.items()}


def _answer(boto: Any, bucket: str, method: str, field: str | None, none: str) -> Any:
    try:
        with translated(bucket):
            answer = getattr(boto, method)(Bucket=bucket)
    except BucketMissing:
        raise
    except (AccessDenied, ObjectMissing, StoreRefused) as error:
        code = _code(error.__cause__)
        return None if code == none else {"unsupported": code}
    answer.pop("ResponseMetadata", None)
    return (answer.get(field) if field else answer) or None


def _code(error: BaseException | None) -> str:
    return str(error.response.get("Error", {}).get("Code", "")) if isinstance(error, ClientError) else ""


def document(boto: Any, bucket: str, key: ObjectKey, most: int) -> Document | None:
    """Read the object in one request; None if it is larger than ``most`` bytes. Raises ObjectMissing."""
    with translated(bucket, key):
        answer = boto.get_object(Bucket=bucket, Key=key)
        with answer["Body"] as stream:
            if answer["ContentLength"] > most:
                return None
            body = stream.read()
    etag = answer["ETag"].strip('"')
    return Document(key, etag, _is_md5(etag, answer), _attributes(answer), body)


def _is_md5(etag: str, answer: Mapping[str, Any]) -> bool:
    """Return True if the etag is an MD5: not of a multipart upload, nor with a key other than the store's."""
    own_key = (
        answer.get("ServerSideEncryption", "AES256") == "AES256" and "SSECustomerAlgorithm" not in answer
    )
    return own_key and re.fullmatch(r"[0-9a-f]{32}", etag) is not None


def attributes(boto: Any, bucket: str, key: ObjectKey) -> tuple[Attributes, dict[str, str]]:
    """Read the object's attributes and its tags: two requests. Raises ObjectMissing."""
    with translated(bucket, key):
        answer = boto.head_object(Bucket=bucket, Key=key)
        tags = boto.get_object_tagging(Bucket=bucket, Key=key)["TagSet"]
    return _attributes(answer), {tag["Key"]: tag["Value"] for tag in tags}


def _attributes(answer: Mapping[str, Any]) -> Attributes:
    return Attributes(
        answer.get("ContentType", ""), answer.get("ContentEncoding", ""), dict(answer.get("Metadata", {}))
    )


def put_words(key: ObjectKey, attributes: Attributes) -> dict[str, Any]:
    """Convert attributes to arguments of boto3's ``put_object``. Raises StoreRefused if not ASCII."""
    if not all(f"{name}{value}".isascii() for name, value in attributes.metadata.items()):
        raise StoreRefused(key, "its user metadata is not ASCII, so it cannot be sent in a header")
    words = {
        "ContentType": attributes.content_type,
        "ContentEncoding": attributes.content_encoding,
        "Metadata": dict(attributes.metadata),
    }
    return {name: value for name, value in words.items() if value}
