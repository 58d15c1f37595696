"""Clients of an S3 endpoint, and translation of their errors."""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from xml.etree.ElementTree import ParseError

import urllib3
from botocore.exceptions import BotoCoreError, ClientError
from botocore.exceptions import SSLError as BotoSSLError
from minio import Minio
from minio.credentials.providers import Provider, StaticProvider
from minio.error import InvalidResponseError, S3Error, ServerError
from urllib3.util.ssl_ import resolve_cert_reqs

from storage.core.errors import (
    AccessDenied,
    ActionDenied,
    BucketMissing,
    ConfigError,
    NotTrusted,
    ObjectMissing,
    PreconditionFailed,
    StorageError,
    StoreRefused,
    TransientFault,
    Unreachable,
)
from storage.core.login import Login
from storage.stores.s3 import rights
from storage.stores.s3.transport import (
    CONNECT_TIMEOUT,
    CONNECTIONS,
    READ_TIMEOUT,
    checked,
    pool,
    warn_unverified,
)

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

    from storage.stores.s3.credentials import Keys

STORE = "The object store"
_WRONG_KEYS = {
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "ExpiredToken",
    "ExpiredTokenException",
    "InvalidToken",
    "InvalidTokenId",
    "TokenRefreshRequired",
}
_DENIED = {"AccessDenied", "403", "Forbidden", "AllAccessDisabled"}
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
    """Address of an S3 server, and how to log in there; ``setting`` is the variable that sets the address.

    ``provider`` is that of an application's minio client, in the place of ``login``. Without ``ca_file`` the
    usual public CAs are trusted.
    """

    url: str
    region: str
    login: Login = Login()
    provider: Provider | None = field(default=None, repr=False)
    ca_file: str = ""
    verify: bool = True
    setting: str = "STORAGE_ENDPOINT_URL"

    def minio(self, http: Any = None) -> Minio:
        parts = urlsplit(self.url)
        if "@" in parts.netloc:
            raise ConfigError(
                f"{self.setting} contains credentials; set STORAGE_ACCESS_KEY and STORAGE_SECRET_KEY instead."
            )
        if parts.scheme not in ("http", "https") or not parts.netloc or parts.path.strip("/"):
            raise ConfigError(f"{self.setting} is {self.url!r}; it must look like http://host:9000.")
        if parts.scheme == "https" and not self.verify:
            warn_unverified(self.url)
        return Minio(
            parts.netloc,
            secure=parts.scheme == "https",
            region=self.region,
            credentials=self._provider,
            http_client=http or pool(self.url, self._ca_file, self.verify),
        )

    def boto(self, attempts: int = 3) -> S3Client:
        import boto3  # takes as long to import as all other modules together, and most runs do not need it
        from botocore.config import Config

        from storage.stores.s3.credentials import session_of

        return boto3.session.Session(botocore_session=session_of(self._keys, self.region)).client(
            "s3",
            endpoint_url=self.url,
            verify=(self._ca_file or None) if self.verify else False,
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

    @property
    def _ca_file(self) -> str:
        """Return the file of CA certificates; "" for an address without TLS, which needs none."""
        return checked(self.ca_file) if self.url.startswith("https:") else ""

    @property
    def _provider(self) -> Provider:
        login = self.login
        if self.provider or login.fixed:
            static = (login.access_key, login.secret_key, login.session_token or None)
            return self.provider or StaticProvider(*static)
        from storage.stores.s3.credentials import BotocoreProvider

        return BotocoreProvider(self._keys)

    @cached_property
    def _keys(self) -> Keys:
        from storage.stores.s3 import credentials

        if self.provider:
            return credentials.of_provider(self.provider)
        return credentials.keys(self.login, self.region, self.ca_file)


def endpoint_of(client: Minio) -> Endpoint:
    """Return the endpoint of a minio client, which logs in and trusts certificates as the client does."""
    if client._provider is None:
        raise ConfigError("The minio client has no credentials; maintenance needs a key that may delete.")
    base, words = client._base_url, client._http.connection_pool_kw
    return Endpoint(
        url=f"{'https' if base.is_https else 'http'}://{base.host}",
        region=base.region or "us-east-1",
        provider=client._provider,
        ca_file=words.get("ca_certs") or "",
        verify=resolve_cert_reqs(words.get("cert_reqs")) != ssl.CERT_NONE,
    )


@contextmanager
def translated(bucket: str, key: str = "", method: str = "GET") -> Iterator[None]:
    """Translate vendor errors into the platform's. ``method`` is that of a request sent by minio-py."""
    try:
        yield
    except S3Error as error:
        url = getattr(error.response, "url", "") or ""
        action = rights.action(method, url, of_object=bool(key))
        where = rights.resource(bucket, key, url)
        raise ours(error.code or "", error.message or "", bucket, key, action, where) from error
    except ClientError as error:
        answer, action = error.response.get("Error", {}), error.operation_name
        where = rights.resource(bucket, key, "")
        raise ours(answer.get("Code", ""), answer.get("Message", ""), bucket, key, action, where) from error
    except UnicodeEncodeError as error:
        raise StoreRefused(key or bucket, "its name is not valid UTF-8") from error
    except ParseError as error:
        raise TransientFault(STORE, "its answer was cut short or is no XML") from error
    except (ServerError, InvalidResponseError) as error:
        raise TransientFault(STORE, str(error)[:200]) from error
    except (urllib3.exceptions.HTTPError, BotoCoreError) as error:
        raise _unanswered(error) from error


def ours(code: str, message: str, bucket: str, key: str, action: str, where: str) -> StorageError:
    if code in _GONE:
        return ObjectMissing(key)
    if code in _WRONG_KEYS:
        return AccessDenied(STORE, f"{code} at {action} on {where}")
    if code in _DENIED and action.startswith(
        "Head"
    ):  # the answer has no body, which would tell the two apart
        either = f"the key is wrong, or lacks the right {rights.right(action)}"
        return AccessDenied(STORE, f"{code} at {action} on {where}; {either}")
    if code in _DENIED:
        return ActionDenied(code, action, where, rights.right(action))
    if code in ("PreconditionFailed", "412"):
        return PreconditionFailed(key)
    if code == "NoSuchBucket":
        return BucketMissing(bucket)
    if code in TRANSIENT:
        return TransientFault(STORE, f"{code}: {message}")
    return StoreRefused(key or bucket, f"{code}: {message}")


def _unanswered(error: Exception) -> StorageError:
    """Return the error for a request without an answer: a certificate or the network is at fault."""
    cause = getattr(error, "reason", None) or error
    if isinstance(cause, urllib3.exceptions.SSLError | BotoSSLError):
        step = "Set STORAGE_CA_FILE to a file with the certificate of the CA that signed it."
        return NotTrusted(STORE, _short(error), step)
    return Unreachable(STORE, _short(error))


def _short(error: Exception) -> str:
    """Return the root cause as text, without pool reprs and wrapped errors."""
    cause = getattr(error, "reason", None) or error
    proxy = "the proxy of HTTP_PROXY or HTTPS_PROXY: " if "Proxy" in type(cause).__name__ else ""
    text = re.sub(r" \(_ssl.c:\d+\)", "", str(cause)).split("0x")[0].rsplit(":", 1)[-1].strip(" ()'")
    return proxy + (text or type(cause).__name__)


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
