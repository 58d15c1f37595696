"""Every way in which botocore finds credentials works for both clients, and keys that expire are renewed."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from minio import Minio, MinioAdmin
from minio.credentials import Credentials, Provider, StaticProvider

from devstack.objectstore import ObjectStore
from storage import connect
from storage.core.errors import NoCredentials, StorageError
from storage.core.model import BucketName, Prefix
from storage.core.settings import Settings
from storage.stores.s3 import credentials
from storage.stores.s3.bucket import S3Bucket
from storage.stores.s3.client import Endpoint, endpoint_of
from tests.conftest import needed
from tests.support.issuer import Issuer, issuer

ROLE = "arn:aws:iam::123456789012:role/storage"
Keys = tuple[str, str]


@dataclass(frozen=True)
class Store:
    """A bucket on MinIO, and two users who may use it."""

    server: ObjectStore
    bucket: BucketName
    admin: Any
    users: tuple[Keys, Keys]


@pytest.fixture(scope="module")
def store(store_server: Callable[[str], ObjectStore]) -> Iterator[Store]:
    server = needed("minio", store_server)
    root = StaticProvider(server.access_key, server.secret_key)
    host = server.endpoint_url.removeprefix("http://")
    admin = MinioAdmin(endpoint=host, credentials=root, secure=False, region=server.region)
    client = Minio(host, credentials=root, secure=False, region=server.region)
    bucket = BucketName(f"credentials-{secrets.token_hex(4)}")
    client.make_bucket(bucket)
    users = [(secrets.token_hex(8), secrets.token_hex(16)) for _ in range(2)]
    for user in users:
        admin.user_add(*user)
        admin.policy_set("readwrite", user=user[0])
    yield Store(server, bucket, admin, (users[0], users[1]))
    for name, _ in users:
        admin.user_remove(name)
    client.remove_bucket(bucket)


@pytest.fixture(autouse=True)
def no_credentials_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in [one for one in os.environ if one.startswith(("AWS_", "STORAGE_", "MINIO_"))]:
        monkeypatch.delenv(name)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, os.devnull)
    credentials.keys.cache_clear()
    yield
    credentials.keys.cache_clear()


@pytest.fixture
def issued(store: Store) -> Iterator[Issuer]:
    with issuer(store.users[0]) as made:
        yield made


def opened(store: Store, monkeypatch: pytest.MonkeyPatch, env: dict[str, str]) -> S3Bucket:
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    own = {"STORAGE_ENDPOINT_URL": store.server.endpoint_url, "STORAGE_DATABASE_URL": "postgresql://h/d"}
    chosen = Settings.from_env(os.environ | own)
    return S3Bucket(connect.endpoint(chosen), store.bucket)


def works(bucket: S3Bucket) -> None:
    """Send a request by each client."""
    assert bucket.page(Prefix("temp/")).objects == ()
    assert list(bucket.uploads()) == []


def environment(store: Store, issued: Issuer, folder: Path, way: str) -> dict[str, str]:
    key, secret = store.users[0]
    file = folder / "file"
    file.write_text("a token")
    config = folder / "config"
    config.write_text(f"[profile storage]\naws_access_key_id={key}\naws_secret_access_key={secret}\n")
    aws = {"AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": secret}
    sts, token = {"AWS_ENDPOINT_URL_STS": issued.url}, str(file)
    return {
        "settings": {"STORAGE_ACCESS_KEY": key, "STORAGE_SECRET_KEY": secret, "AWS_PROFILE": "absent"},
        "environment": aws,
        "profile": {"AWS_CONFIG_FILE": str(config), "AWS_PROFILE": "storage"},
        "profile by setting": {"AWS_CONFIG_FILE": str(config), "STORAGE_PROFILE": "storage"},
        "role": aws | {"STORAGE_ROLE_ARN": ROLE, "AWS_ENDPOINT_URL_STS": store.server.endpoint_url},
        "web identity": sts | {"AWS_ROLE_ARN": ROLE, "AWS_WEB_IDENTITY_TOKEN_FILE": token},
        "web identity by setting": sts | {"STORAGE_ROLE_ARN": ROLE, "STORAGE_ROLE_TOKEN_FILE": token},
        "container": {"AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{issued.url}/keys"},
        "instance": {"AWS_EC2_METADATA_SERVICE_ENDPOINT": issued.url},
    }[way]


WAYS = (
    *("settings", "environment", "profile", "profile by setting", "role"),
    *("web identity", "web identity by setting", "container", "instance"),
)


@pytest.mark.parametrize("way", WAYS)
def test_both_clients_find_the_keys(
    store: Store, issued: Issuer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, way: str
) -> None:
    bucket = opened(store, monkeypatch, environment(store, issued, tmp_path, way))
    works(bucket)
    if "identity" in way:
        assert "WebIdentityToken=a+token" in issued.asked[0]


def test_keys_of_the_environment_with_a_session_token(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Temporary keys of the store's own token service are refused without their token."""
    key, secret = store.users[0]
    role = Settings(
        endpoint_url=store.server.endpoint_url, database_url="", access_key=key, secret_key=secret,
        role_arn=ROLE, role_options='{"RoleSessionName": "test", "DurationSeconds": 900}',
    )  # fmt: skip
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", store.server.endpoint_url)
    now = connect.endpoint(role).minio()._provider.retrieve()  # type: ignore[union-attr]
    assert now.session_token
    names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
    aws = dict(zip(names, (now.access_key, now.secret_key, now.session_token), strict=True))
    works(opened(store, monkeypatch, aws))
    own = {f"STORAGE_{name}": value for name, value in zip(
        ("ACCESS_KEY", "SECRET_KEY", "SESSION_TOKEN"), aws.values(), strict=True)}  # fmt: skip
    works(opened(store, monkeypatch, own))


@pytest.mark.parametrize("way", ["container", "web identity by setting"])
def test_keys_that_expire_are_renewed(
    store: Store, issued: Issuer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, way: str
) -> None:
    """The same clients go on with the next keys, when the first ones are worth nothing any more."""
    bucket = opened(store, monkeypatch, environment(store, issued, tmp_path, way))
    works(bucket)
    issued.keys = store.users[1]
    store.admin.user_disable(store.users[0][0])
    try:
        works(bucket)
    finally:
        store.admin.user_enable(store.users[0][0])


def test_the_clients_of_an_application_are_renewed_too(store: Store) -> None:
    class Renewing(Provider):
        now = store.users[0]

        def retrieve(self) -> Credentials:
            return Credentials(*self.now)

    provider = Renewing()
    host = store.server.endpoint_url.removeprefix("http://")
    bucket = S3Bucket(endpoint_of(Minio(host, credentials=provider, secure=False)), store.bucket)
    works(bucket)
    provider.now = ("nobody", "nothing-at-all")
    for request in (lambda: bucket.page(Prefix("temp/")), lambda: list(bucket.uploads())):
        with pytest.raises(StorageError, match="InvalidAccessKeyId"):
            request()


@pytest.mark.parametrize(
    ("env", "says"),
    [
        ({"AWS_PROFILE": "absent"}, r"profile \(absent\) could not be found"),
        ({"STORAGE_PROFILE": "missing"}, r"profile \(missing\) could not be found"),
        ({"AWS_ACCESS_KEY_ID": "a"}, "Partial credentials found in env"),
        ({"AWS_EC2_METADATA_DISABLED": "true"}, "neither the settings nor botocore's usual places"),
        ({"STORAGE_ROLE_ARN": ROLE, "STORAGE_ROLE_TOKEN_FILE": "/absent"}, "No such file.*'/absent'"),
    ],
)
def test_what_is_missing_is_said_by_both_clients(
    store: Store, monkeypatch: pytest.MonkeyPatch, env: dict[str, str], says: str
) -> None:
    bucket = opened(store, monkeypatch, env)
    for request in (lambda: bucket.page(Prefix("temp/")), lambda: list(bucket.uploads())):
        with pytest.raises(NoCredentials, match=says) as error:
            request()
        assert error.value.exit_code == 2
        assert "STORAGE_ACCESS_KEY" in str(error.value)


def test_a_role_that_is_refused_names_the_request(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    env = {"STORAGE_ACCESS_KEY": "nobody", "STORAGE_SECRET_KEY": "nothing", "STORAGE_ROLE_ARN": ROLE}
    bucket = opened(store, monkeypatch, env | {"AWS_ENDPOINT_URL_STS": store.server.endpoint_url})
    with pytest.raises(NoCredentials, match=r"AssumeRole: \w+: "):
        bucket.page(Prefix("temp/"))


def test_keys_do_not_show(store: Store) -> None:
    endpoint: Endpoint = connect.endpoint(
        Settings(
            endpoint_url="http://s",
            database_url="",
            access_key="a",
            secret_key="canary",
            session_token="canary",
        )
    )
    assert "canary" not in repr(endpoint)
