"""Settings from Airflow's connections: every extra is used or refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from storage.core.errors import ConfigError, StorageError
from storage.core.settings import Settings
from storage.stores.postgres.connection import connect

S3 = {"conn_type": "aws", "login": "key", "password": "canary-secret"}
DB = {"conn_type": "postgres", "host": "db", "schema": "pipeline", "login": "me", "password": "canary-word"}


def read(monkeypatch: pytest.MonkeyPatch, s3: dict[str, Any], db: dict[str, Any] | None = None) -> Settings:
    from storage_airflow.connections import settings

    for name in ("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "AWS_WEB_IDENTITY_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AIRFLOW_CONN_STORAGE_S3", json.dumps(s3))
    monkeypatch.setenv("AIRFLOW_CONN_STORAGE_DB", json.dumps(db or DB))
    return settings()


@pytest.mark.parametrize(
    ("extra", "found"),
    [
        ({}, {"endpoint_url": "https://s3.amazonaws.com", "region": "us-east-1", "tls_verify": "true"}),
        (
            {"endpoint_url": "http://s:9", "region_name": "eu-1"},
            {"endpoint_url": "http://s:9", "region": "eu-1"},
        ),
        ({"aws_session_token": "t"}, {"access_key": "key", "session_token": "t"}),
        (
            {"role_arn": "arn", "assume_role_kwargs": {"ExternalId": "x"}},
            {"role_arn": "arn", "role_options": '{"ExternalId": "x"}', "role_token_file": ""},
        ),
        (
            {
                "role_arn": "arn",
                "assume_role_method": "assume_role_with_web_identity",
                "assume_role_with_web_identity_token_file": "/token",
            },
            {"role_token_file": "/token"},
        ),
        ({"verify": False}, {"tls_verify": "false"}),
        ({"verify": "False"}, {"tls_verify": "false"}),
        ({"verify": "/ca.pem"}, {"ca_file": "/ca.pem", "tls_verify": "true"}),
        ({"bucket": "media", "tiers": ""}, {"bucket": "media", "tiers": ""}),
    ],
)
def test_extras_of_the_object_store(
    monkeypatch: pytest.MonkeyPatch, extra: dict[str, Any], found: dict[str, str]
) -> None:
    made = read(monkeypatch, S3 | {"extra": extra})
    assert {name: getattr(made, name) for name in found} == found


def test_without_keys_in_the_connection_others_are_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    made = read(monkeypatch, {"conn_type": "aws", "extra": {"profile_name": "storage"}})
    assert (made.access_key, made.profile) == ("", "storage")
    made = read(
        monkeypatch, {"conn_type": "aws", "extra": {"aws_access_key_id": "a", "aws_secret_access_key": "b"}}
    )
    assert (made.access_key, made.secret_key) == ("a", "b")


@pytest.mark.parametrize(
    ("s3", "says"),
    [
        ({"extra": '{"bucket": "media"'}, "The extra of the connection storage_s3 is not valid JSON"),
        ({"extra": '["media"]'}, "is not a JSON object"),
        (
            {"extra": {"bukket": "media"}},
            "unknown extra 'bukket'. Did you mean bucket? Known are endpoint_url",
        ),
        ({"extra": {"config_kwargs": {"retries": 1}}}, "unknown extra 'config_kwargs'"),
        ({"extra": {"bucket": ["media"]}}, "'bucket' of the connection storage_s3 must be text"),
        ({"extra": {"assume_role_method": "assume_role_with_saml"}}, "it may be assume_role"),
        ({"extra": {"assume_role_with_web_identity_federation": "google"}}, "it may be file"),
        ({"host": "store:9000"}, "use the extra endpoint_url"),
        ({"password": None}, "Set both"),
        ({"extra": {"profile_name": "p"}}, "not both"),
    ],
)
def test_nothing_is_ignored(monkeypatch: pytest.MonkeyPatch, s3: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError) as error:
        read(monkeypatch, S3 | s3)
    assert says in str(error.value)
    assert "canary" not in str(error.value)


def test_extras_of_the_database_are_libpq_s(monkeypatch: pytest.MonkeyPatch) -> None:
    extra = {"sslmode": "verify-full", "keepalives": 1, "sqlalchemy_query": {"sslrootcert": "/ca.pem"}}
    url = read(monkeypatch, S3, DB | {"extra": extra}).database_url
    query = dict(connect(url).url.query)
    assert query == {"sslmode": "verify-full", "sslrootcert": "/ca.pem", "keepalives": "1"}


@pytest.mark.parametrize(
    ("extra", "says"),
    [
        ({"sslmod": "require"}, 'invalid connection option "sslmod"'),
        ({"cursor": "dictcursor"}, 'invalid connection option "cursor"'),
        ({"sslmode": {"a": 1}}, "'sslmode' of the connection storage_db must be text"),
        ("{", "The extra of the connection storage_db is not valid JSON"),
    ],
)
def test_an_extra_that_libpq_does_not_know(monkeypatch: pytest.MonkeyPatch, extra: Any, says: str) -> None:
    with pytest.raises(StorageError) as error:
        connect(read(monkeypatch, S3, DB | {"extra": extra}).database_url)
    assert says in str(error.value)
    assert "canary" not in str(error.value)
