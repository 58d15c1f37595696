"""HTTP connections to an S3 endpoint for minio-py: time limits, retries, certificates and proxies.

boto3 has the same by its own arguments; it reads the proxy variables in the same way.
"""

from __future__ import annotations

import logging
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

import certifi
import urllib3

from storage.core.errors import ConfigError

CONNECT_TIMEOUT, READ_TIMEOUT, CONNECTIONS = 5, 60, 32  # seconds, seconds, sockets
log = logging.getLogger(__name__)


def pool(url: str = "", ca_file: str = "", verify: bool = True) -> urllib3.PoolManager:
    """Create a connection pool with timeouts, and up to three retries of idempotent requests.

    A bulk delete (POST) is not retried: resent minutes later it could delete an object written since the
    recheck. The batch is repeated instead, with a new recheck.
    """
    words: dict[str, Any] = {
        "timeout": urllib3.Timeout(connect=CONNECT_TIMEOUT, read=READ_TIMEOUT),
        "maxsize": CONNECTIONS,
        "retries": urllib3.Retry(
            total=3,
            backoff_factor=0.2,
            status_forcelist=(500, 502, 503, 504),
            allowed_methods=("GET", "HEAD", "PUT"),
        ),
        "cert_reqs": "CERT_REQUIRED" if verify else "CERT_NONE",
        "ca_certs": ca_file or certifi.where(),
    }
    proxy = proxy_for(url)
    if not proxy:
        return urllib3.PoolManager(**words)
    address, login = proxy
    return urllib3.ProxyManager(address, proxy_headers=urllib3.make_headers(proxy_basic_auth=login), **words)


def checked(ca_file: str) -> str:
    """Return the path of a file of CA certificates, or "". Raises ConfigError if it cannot be read."""
    if ca_file and not Path(ca_file).is_file():
        raise ConfigError(
            f"The file of CA certificates {ca_file!r} does not exist. Correct STORAGE_CA_FILE, or the "
            "variable that names it: AWS_CA_BUNDLE, REQUESTS_CA_BUNDLE, SSL_CERT_FILE."
        )
    return ca_file


def proxy_for(url: str) -> tuple[str, str | None] | None:
    """Return address and ``user:password`` of the proxy that the environment names for the URL, if any.

    HTTP_PROXY, HTTPS_PROXY and NO_PROXY, in capitals or not.
    """
    parts = urlsplit(url)
    named = getproxies().get(parts.scheme, "")
    if not named or not parts.hostname or proxy_bypass(parts.netloc):
        return None
    proxy = urlsplit(named if "://" in named else f"http://{named}")
    login = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}" if proxy.username else None
    return f"{proxy.scheme}://{proxy.netloc.rpartition('@')[2]}", login


@cache
def warn_unverified(url: str) -> None:
    """Say once that anybody on the way to the endpoint can read and change what is sent."""
    log.warning(
        "The certificate of %s is not checked (STORAGE_TLS_VERIFY=false): anybody on the way can pretend to "
        "be it. Set STORAGE_CA_FILE to the certificate of its CA instead.",
        url,
    )
