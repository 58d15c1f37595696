"""Clients of an S3 endpoint, and translation of their errors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from xml.etree.ElementTree import ParseError

import certifi
import urllib3
from botocore.exceptions import BotoCoreError, ClientError
from minio import Minio
from minio.error import InvalidResponseError, S3Error, ServerError

from storage.core.errors import (
    AccessDenied,
    BucketMissing,
    ConfigError,
    ObjectMissing,
    PreconditionFailed,
    StorageError,
    StoreRefused,
    TransientFault,
    Unreachable,
)

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

CONNECT_TIMEOUT, READ_TIMEOUT, CONNECTIONS = 5, 60, 32  # seconds, seconds, sockets
_DENIED = {"AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "403", "Forbidden"}
_GONE = {"NoSuchKey", "NoSuchUpload", "NoSuchVersion", "404", "NotFound"}
TRANSIENT = {
    *("SlowDown", "SlowDownRead", "SlowDownWrite", "Throttling", "TooManyRequests", "ServerBusy"),
    *(
        "ServiceUnavailable",
        "InternalError",
        "RequestTimeout",
        "OperationAborted",
        "XMinioServerNotInitialized",
    ),
    *("429", "500", "502", "503", "504"),
}


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """Address and credentials of an S3 server; ``setting`` is the variable that sets the address."""

    url: str
    region: str
    access_key: str
    secret_key: str = field(repr=False)
    setting: str = "STORAGE_ENDPOINT_URL"

    def minio(self, http: Any = None) -> Minio:
        parts = urlsplit(self.url)
        if "@" in parts.netloc:
            raise ConfigError(
                f"{self.setting} contains credentials; set STORAGE_ACCESS_KEY and STORAGE_SECRET_KEY instead."
            )
        if parts.scheme not in ("http", "https") or not parts.netloc or parts.path.strip("/"):
            raise ConfigError(f"{self.setting} is {self.url!r}; it must look like http://host:9000.")
        return Minio(
            parts.netloc,
            access_key=self.access_key,
            secret_key=self.secret_key,
            secure=parts.scheme == "https",
            region=self.region,
            http_client=http or pool(),
        )

    def boto(self, attempts: int = 3) -> S3Client:
        import boto3  # takes as long to import as all other modules together, and most runs do not need it
        from botocore.config import Config

        return boto3.session.Session().client(
            "s3",
            endpoint_url=self.url,
            region_name=self.region,
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            config=Config(
                signature_version="s3v4",
                connect_timeout=CONNECT_TIMEOUT,
                read_timeout=READ_TIMEOUT,
                max_pool_connections=CONNECTIONS,
                retries={"mode": "standard", "total_max_attempts": attempts},
                s3={"addressing_style": "path"},
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
            ),
        )


def endpoint_of(client: Minio) -> Endpoint:
    """Return the endpoint and credentials of a minio client."""
    if client._provider is None:
        raise ConfigError("The minio client has no credentials; maintenance needs a key that may delete.")
    keys, base = client._provider.retrieve(), client._base_url
    return Endpoint(
        url=f"{'https' if base.is_https else 'http'}://{base.host}",
        region=base.region or "us-east-1",
        access_key=keys.access_key,
        secret_key=keys.secret_key,
    )


def pool() -> urllib3.PoolManager:
    """Create a connection pool with timeouts, and up to three retries of idempotent requests.

    A bulk delete (POST) is not retried: resent minutes later it could delete an object written since the
    recheck. The batch is repeated instead, with a new recheck.
    """
    retry = urllib3.Retry(
        total=3,
        backoff_factor=0.2,
        status_forcelist=(500, 502, 503, 504),
        allowed_methods=("GET", "HEAD", "PUT"),
    )
    return urllib3.PoolManager(
        timeout=urllib3.Timeout(connect=CONNECT_TIMEOUT, read=READ_TIMEOUT),
        maxsize=CONNECTIONS,
        retries=retry,
        cert_reqs="CERT_REQUIRED",
        ca_certs=certifi.where(),
    )


@contextmanager
def translated(bucket: str, key: str = "") -> Iterator[None]:
    """Translate vendor errors into the platform's."""
    try:
        yield
    except S3Error as error:
        raise ours(error.code or "", error.message or "", bucket, key) from error
    except ClientError as error:
        answer = error.response.get("Error", {})
        raise ours(answer.get("Code", ""), answer.get("Message", ""), bucket, key) from error
    except UnicodeEncodeError as error:
        raise StoreRefused(key or bucket, "its name is not valid UTF-8") from error
    except ParseError as error:
        raise TransientFault("The object store", "its answer was cut short or is no XML") from error
    except (ServerError, InvalidResponseError) as error:
        raise TransientFault("The object store", str(error)[:200]) from error
    except (urllib3.exceptions.HTTPError, BotoCoreError) as error:
        raise Unreachable("The object store", _short(error)) from error


def ours(code: str, message: str, bucket: str, key: str) -> StorageError:
    if code in _GONE:
        return ObjectMissing(key)
    if code in _DENIED:
        return AccessDenied("The object store", f"{code} on bucket {bucket}")
    if code in ("PreconditionFailed", "412"):
        return PreconditionFailed(key)
    if code == "NoSuchBucket":
        return BucketMissing(bucket)
    if code in TRANSIENT:
        return TransientFault("The object store", f"{code}: {message}")
    return StoreRefused(key or bucket, f"{code}: {message}")


def _short(error: Exception) -> str:
    """Return the root cause as text, without pool reprs and wrapped errors."""
    cause = getattr(error, "reason", None) or error
    return str(cause).split("0x")[0].rsplit(":", 1)[-1].strip() or type(cause).__name__


class Raw:
    """A minio response as a file of the stored bytes.

    Content-Encoding is not decoded, because hashes are of the stored bytes.
    """

    def __init__(self, answer: Any) -> None:
        self._answer = answer

    def read(self, size: int = -1) -> bytes:
        return bytes(self._answer.read(None if size < 0 else size, decode_content=False))


def dotted(key: str) -> bool:
    """Return True if a general URL library would normalise the key's path and so address another object."""
    return any(part in (".", "..") for part in key.split("/"))
