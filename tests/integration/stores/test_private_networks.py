"""A store behind a private CA or a proxy: both clients trust the same file and go the same way."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import urllib3
from minio import Minio

from devstack.objectstore import ObjectStore
from storage import connect
from storage.core.errors import ConfigError, NotTrusted, Unreachable
from storage.core.model import BucketName, Prefix
from storage.core.settings import Settings
from storage.stores.s3 import transport
from storage.stores.s3.bucket import S3Bucket
from storage.stores.s3.client import Endpoint, endpoint_of
from tests.conftest import needed
from tests.support.network import ELSEWHERE, Certificates, certificates, forward_proxy, tls_in_front_of

BUCKET = BucketName("private-network")
CLOSED_PORT = "http://127.0.0.1:9"  # no server listens there


@dataclass(frozen=True)
class Network:
    """A store, the same with TLS, its CA, and a proxy that leads to each."""

    plain: int
    tls: int
    made: Certificates
    keys: dict[str, str]
    proxies: dict[str, str]


@pytest.fixture(scope="module")
def network(
    store_server: Callable[[str], ObjectStore], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Network]:
    server = needed("minio", store_server)
    keys = {"STORAGE_ACCESS_KEY": server.access_key, "STORAGE_SECRET_KEY": server.secret_key}
    made = certificates(tmp_path_factory.mktemp("certificates"))
    host = server.endpoint_url.removeprefix("http://")
    client = Minio(host, server.access_key, server.secret_key, secure=False, region=server.region)
    client.make_bucket(BUCKET)
    with (
        tls_in_front_of(server.port, made) as tls,
        forward_proxy(server.port) as http,
        forward_proxy(tls) as both,
    ):
        yield Network(server.port, tls, made, keys, {"HTTP_PROXY": http, "HTTPS_PROXY": both})
    client.remove_bucket(BUCKET)


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("AWS_", "STORAGE_", "MINIO_", "SSL_", "REQUESTS_")) or name.lower().endswith(
            "_proxy"
        ):
            monkeypatch.delenv(name)


def opened(monkeypatch: pytest.MonkeyPatch, network: Network, url: str, **env: object) -> S3Bucket:
    for name, value in env.items():
        monkeypatch.setenv(name, str(value))
    own = {"STORAGE_ENDPOINT_URL": url, "STORAGE_DATABASE_URL": "postgresql://h/d"} | network.keys
    return S3Bucket(connect.endpoint(Settings.from_env(os.environ | own)), BUCKET)


def requests(bucket: S3Bucket) -> tuple[Callable[[], Any], ...]:
    """Return a request of each client."""
    return (lambda: bucket.page(Prefix("temp/")), lambda: list(bucket.uploads()))


CA = ("STORAGE_CA_FILE", "AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE")


@pytest.mark.parametrize("name", CA)
def test_a_private_ca_is_trusted(monkeypatch: pytest.MonkeyPatch, network: Network, name: str) -> None:
    bucket = opened(monkeypatch, network, f"https://127.0.0.1:{network.tls}", **{name: network.made.ca})
    for request in requests(bucket):
        request()


def test_our_setting_goes_before_those_of_others(monkeypatch: pytest.MonkeyPatch, network: Network) -> None:
    files = {"STORAGE_CA_FILE": network.made.ca, "AWS_CA_BUNDLE": "/absent", "SSL_CERT_FILE": "/absent"}
    for request in requests(opened(monkeypatch, network, f"https://localhost:{network.tls}", **files)):
        request()


def test_an_unknown_ca_is_said_with_the_way_out(monkeypatch: pytest.MonkeyPatch, network: Network) -> None:
    for request in requests(opened(monkeypatch, network, f"https://127.0.0.1:{network.tls}")):
        with pytest.raises(NotTrusted, match="unable to get local issuer.*Set STORAGE_CA_FILE") as error:
            request()
        assert not error.value.transient


def test_a_ca_file_that_is_absent(monkeypatch: pytest.MonkeyPatch, network: Network) -> None:
    with pytest.raises(ConfigError, match="'/absent' does not exist.*AWS_CA_BUNDLE"):
        opened(monkeypatch, network, f"https://127.0.0.1:{network.tls}", AWS_CA_BUNDLE="/absent")
    for request in requests(opened(monkeypatch, network, f"http://127.0.0.1:{network.plain}")):
        request()  # without TLS nobody asks for the file


def test_certificates_are_left_unchecked_only_when_asked(
    monkeypatch: pytest.MonkeyPatch, network: Network, caplog: pytest.LogCaptureFixture
) -> None:
    transport.warn_unverified.cache_clear()
    url = f"https://127.0.0.1:{network.tls}"
    with pytest.warns(urllib3.exceptions.InsecureRequestWarning):
        for request in requests(opened(monkeypatch, network, url, STORAGE_TLS_VERIFY="false")):
            request()
    assert [record.levelname for record in caplog.records if "STORAGE_TLS_VERIFY" in record.message] == [
        "WARNING"
    ]


def test_an_application_s_certificates_are_trusted(network: Network) -> None:
    app = Minio(
        f"127.0.0.1:{network.tls}", *network.keys.values(), region="us-east-1",
        http_client=urllib3.PoolManager(ca_certs=str(network.made.ca), cert_reqs="CERT_REQUIRED"),
    )  # fmt: skip
    for request in requests(S3Bucket(endpoint_of(app), BUCKET)):
        request()


@pytest.mark.parametrize(("scheme", "proxy"), [("http", "HTTP_PROXY"), ("https", "HTTPS_PROXY")])
@pytest.mark.parametrize("spelled", [str.upper, str.lower])
def test_both_clients_use_the_proxy(
    monkeypatch: pytest.MonkeyPatch, network: Network, scheme: str, proxy: str, spelled: Callable[[str], str]
) -> None:
    env = {spelled(proxy): network.proxies[proxy], "STORAGE_CA_FILE": network.made.ca}
    bucket = opened(monkeypatch, network, f"{scheme}://{ELSEWHERE}:9000", **env)
    for request in requests(bucket):
        request()


def test_no_proxy_leads_straight_to_the_store(monkeypatch: pytest.MonkeyPatch, network: Network) -> None:
    env = {"HTTP_PROXY": CLOSED_PORT, "NO_PROXY": "elsewhere,127.0.0.1"}
    for request in requests(opened(monkeypatch, network, f"http://127.0.0.1:{network.plain}", **env)):
        request()


def test_a_dead_proxy_is_named(monkeypatch: pytest.MonkeyPatch, network: Network) -> None:
    for request in requests(opened(monkeypatch, network, f"http://{ELSEWHERE}:9000", HTTP_PROXY=CLOSED_PORT)):
        with pytest.raises(Unreachable, match="the proxy of HTTP_PROXY"):
            request()


def test_a_link_is_signed_without_a_file_of_certificates(tmp_path: Path) -> None:
    """A path that is a folder is no file of certificates either."""
    with pytest.raises(ConfigError, match="does not exist"):
        Endpoint(url="https://s", region="r", ca_file=str(tmp_path)).minio()
