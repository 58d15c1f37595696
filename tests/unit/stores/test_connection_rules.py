"""Pure rules of connections: rights by request, proxies, libpq parameters, what a child program gets."""

from __future__ import annotations

import os

import psycopg2
import pytest
from botocore.exceptions import (
    CredentialRetrievalError,
    EndpointConnectionError,
    UnauthorizedSSOTokenError,
)
from psycopg2.extensions import parse_dsn

from storage.backup.postgres.child_process import login
from storage.core.errors import (
    AccessDenied,
    ConfigError,
    GrantMissing,
    NoCredentials,
    NotTrusted,
    PoolerInBetween,
    StorageError,
    TransientFault,
    Unreachable,
)
from storage.stores.postgres import conninfo, pooler
from storage.stores.postgres.connection import as_json, connect, translated
from storage.stores.s3 import rights
from storage.stores.s3.credentials import Keys
from storage.stores.s3.transport import proxy_for

URL = "postgresql://me:canary@db/pipeline"


@pytest.mark.parametrize(
    ("method", "url", "of_object", "action", "right"),
    [
        ("GET", "/videos?list-type=2&prefix=temp%2F", False, "ListObjectsV2", "s3:ListBucket"),
        ("GET", "/videos?versions=&prefix=", False, "ListObjectVersions", "s3:ListBucketVersions"),
        ("GET", "/videos?versioning=", False, "GetBucketVersioning", "s3:GetBucketVersioning"),
        (
            "PUT",
            "/videos?lifecycle=",
            False,
            "PutBucketLifecycleConfiguration",
            "s3:PutLifecycleConfiguration",
        ),
        ("HEAD", "/videos", False, "HeadBucket", "s3:ListBucket"),
        ("HEAD", "/videos/a%20b", True, "HeadObject", "s3:GetObject"),
        ("PUT", "/videos/a", True, "PutObject", "s3:PutObject"),
        ("PUT", "/videos/a?partNumber=1&uploadId=x", True, "UploadPart", "s3:PutObject"),
        ("PATCH", "/videos/a?odd", True, "PATCH /videos/a", "s3:PATCH /videos/a"),
    ],
)
def test_a_request_is_called_as_policies_call_it(
    method: str, url: str, of_object: bool, action: str, right: str
) -> None:
    assert rights.action(method, url, of_object=of_object) == action
    assert rights.right(action) == right


def test_a_resource_is_a_key_a_prefix_or_a_bucket() -> None:
    assert rights.resource("videos", "temp/1/a", "/videos/temp/1/a") == "videos/temp/1/a"
    assert rights.resource("videos", "", "/videos?list-type=2&prefix=temp%2F") == "videos/temp/*"
    assert rights.resource("videos", "", "/videos") == "bucket videos"


@pytest.mark.parametrize(
    ("env", "found"),
    [
        ({}, None),
        ({"http_proxy": "http://p:3128"}, None),
        ({"HTTPS_PROXY": "http://p:3128"}, ("http://p:3128", None)),
        ({"https_proxy": "p:3128"}, ("http://p:3128", None)),
        ({"HTTPS_PROXY": "http://u%40x:w@p:3128"}, ("http://p:3128", "u@x:w")),
        ({"HTTPS_PROXY": "http://p:3128", "NO_PROXY": "other, store"}, None),
        ({"HTTPS_PROXY": "http://p:3128", "no_proxy": "store:9000"}, None),
        ({"HTTPS_PROXY": "http://p:3128", "no_proxy": "*"}, None),
    ],
)
def test_the_proxy_of_a_store(
    monkeypatch: pytest.MonkeyPatch, env: dict[str, str], found: tuple[str, str | None] | None
) -> None:
    for name in [one for one in os.environ if one.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    assert proxy_for("https://store:9000") == found


def test_the_url_s_parameters_reach_the_session_and_ours_win() -> None:
    url = conninfo.parsed(f"{URL}?sslmode=verify-full&application_name=eve&options=-c%20row_security%3Don")
    words = conninfo.words(url) | conninfo.for_session(url)
    assert (words["sslmode"], words["application_name"], words["connect_timeout"]) == (
        "verify-full",
        "eve",
        10,
    )
    assert words["options"].endswith("-c row_security=on -c timezone=UTC -c row_security=off")


@pytest.mark.parametrize("name", ["ssl_mode", "sslrootcrt", "plugin", "iam", "cursor"])
def test_a_parameter_that_libpq_does_not_know_is_named(name: str) -> None:
    with pytest.raises(ConfigError, match=f'"{name}"') as error:
        connect(f"{URL}?{name}=canary-value")
    assert "canary" not in str(error.value)


def test_a_child_program_gets_the_same_parameters(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also those of the environment; the password is in a file in memory, and wins over PGPASSWORD."""
    for name, value in {"PGSSLROOTCERT": "/ca.pem", "PGPASSWORD": "other", "PGAPPNAME": "eve"}.items():
        monkeypatch.setenv(name, value)
    with login(f"{URL}?sslmode=verify-full&target_session_attrs=read-write&passfile=/x") as (dsn, options):
        assert parse_dsn(dsn) == {
            "user": "me", "host": "db", "dbname": "pipeline", "sslmode": "verify-full",
            "target_session_attrs": "read-write",
        }  # fmt: skip
        env = options["env"]
        assert os.pread(options["pass_fds"][0], 100, 0) == b"*:*:*:*:canary\n"
    assert (env["PGSSLROOTCERT"], env["PGAPPNAME"]) == ("/ca.pem", "eve")
    assert "PGPASSWORD" not in env


def test_a_url_without_a_password_leaves_it_to_libpq(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPASSFILE", "/home/me/.pgpass")
    with login("postgresql://me@db/pipeline?passfile=/x") as (dsn, options):
        assert parse_dsn(dsn)["passfile"] == "/x"
        assert options["env"]["PGPASSFILE"] == "/home/me/.pgpass"
        assert "pass_fds" not in options


@pytest.mark.parametrize(
    ("one", "other", "answer"),
    [({1}, {2}, False), ({1}, {1}, True), ({1, 2}, {1}, True), ({1, 2}, {3}, True), ({1}, {2, 3}, True)],
)
def test_two_sessions_that_share_a_process(one: set[int], other: set[int], answer: bool) -> None:
    """The third pair is of a pooler with two sessions that it hands out in turn."""
    assert pooler.shared(one, other) is answer


@pytest.mark.parametrize(
    ("error", "found"),
    [
        (CredentialRetrievalError(provider="container", error_msg="500"), TransientFault),
        (EndpointConnectionError(endpoint_url="http://sts"), Unreachable),
        (UnauthorizedSSOTokenError(), NoCredentials),
        (RuntimeError("the refreshed credentials are still expired"), NoCredentials),
    ],
)
def test_a_failed_renewal_is_tried_again_where_that_helps(
    error: Exception, found: type[StorageError]
) -> None:
    def find() -> None:
        raise error

    with pytest.raises(found) as raised:
        Keys(find).get_frozen_credentials()
    assert type(raised.value) is found


@pytest.mark.parametrize(
    ("message", "found"),
    [
        ("SSL error: unexpected eof while reading", Unreachable),
        ("SSL SYSCALL error: EOF detected", Unreachable),
        ("connection to server failed: SSL error: certificate verify failed", NotTrusted),
        ('root certificate file "/absent" does not exist', NotTrusted),
        ("server does not support SSL, but SSL was required", NotTrusted),
        ('FATAL:  no pg_hba.conf entry for host "h", no encryption', AccessDenied),
        ('FATAL:  permission denied for database "d"', GrantMissing),
        ('invalid integer value "x" for connection option "keepalives"', ConfigError),
        ("FATAL:  unsupported startup parameter: options", PoolerInBetween),
    ],
)
def test_a_lost_connection_is_no_wrong_setting(message: str, found: type[StorageError]) -> None:
    with pytest.raises(found) as raised, translated():
        raise psycopg2.OperationalError(message)
    assert type(raised.value) is found


def test_json_parameters_escape_no_letters() -> None:
    """A database of SQL_ASCII takes them; text that is no Unicode is escaped, for the server to refuse."""
    assert as_json({"key": "é/☃"}) == '{"key": "é/☃"}'
    assert as_json(["\ud800"]) == '["\\ud800"]'
