"""Settings from an environment: a single meaning per name, and errors reported at start-up."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from storage.core.errors import ConfigError, StorageError
from storage.core.settings import Settings
from storage.stores.postgres.connection import connect

OWN = {
    "STORAGE_ENDPOINT_URL": "http://store:9000",
    "STORAGE_ACCESS_KEY": "access",
    "STORAGE_SECRET_KEY": "canary-secret",
    "STORAGE_DATABASE_URL": "postgresql://me:canary-word@db/pipeline",
}
DATABASE = {"STORAGE_DATABASE_URL": OWN["STORAGE_DATABASE_URL"]}
MINIO = DATABASE | {
    "MINIO_ENDPOINT": "store:9000",
    "MINIO_ACCESS_KEY": "access",
    "MINIO_SECRET_KEY": "canary-secret",
    "MINIO_REGION": "eu-1",
    "MINIO_BUCKET": "media",
}
AWS = DATABASE | {
    "AWS_ENDPOINT_URL": "http://store:9000",
    "AWS_ACCESS_KEY_ID": "access",
    "AWS_SECRET_ACCESS_KEY": "canary-secret",
    "AWS_REGION": "eu-1",
    "AWS_S3_BUCKET_NAME": "media",
}


def without(env: Mapping[str, str], name: str) -> dict[str, str]:
    return {key: value for key, value in env.items() if key != name}


def refused(env: Mapping[str, str]) -> str:
    with pytest.raises(StorageError) as error:
        Settings.from_env(env)
    assert error.value.exit_code == 2
    assert "canary" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(
    ("env", "keys"),
    [(MINIO, {}), (AWS, {"STORAGE_ACCESS_KEY": "", "STORAGE_SECRET_KEY": ""})],
    ids=["MINIO", "AWS"],
)
def test_aliases(env: Mapping[str, str], keys: Mapping[str, str]) -> None:
    """The environment of a sibling system, taken over unchanged, gives the same settings as our own names.

    AWS_ACCESS_KEY_ID and its kin are left to botocore, which knows what belongs together.
    """
    found = Settings.from_env(env)
    assert found == Settings.from_env(OWN | {"STORAGE_REGION": "eu-1", "STORAGE_BUCKET": "media"} | keys)


@pytest.mark.parametrize(
    ("env", "name", "value"),
    [
        ({"MINIO_DEFAULT_BUCKET": "media"}, "bucket", "media"),
        ({"AWS_DEFAULT_REGION": "eu-2"}, "region", "eu-2"),
        ({"STORAGE_BACKEND": "minio"}, "bucket", "videos"),
        ({"STORAGE_BACKEND": "s3"}, "bucket", "videos"),
        ({"STORAGE_BACKEND": ""}, "bucket", "videos"),
        ({"MINIO_ACCESS_KEY": "access"}, "access_key", "access"),
        ({"AWS_ACCESS_KEY_ID": "another"}, "access_key", "access"),
        ({"STORAGE_TEMP_DIR": ""}, "temp_dir", "/data/temp"),
    ],
)
def test_beside_our_own(env: Mapping[str, str], name: str, value: str) -> None:
    """Equal values agree, empty values are unset, and variables of any AWS program are only a fallback."""
    assert getattr(Settings.from_env(OWN | env), name) == value


@pytest.mark.parametrize(
    ("endpoint", "secure", "url"),
    [
        ("store:9000", None, "http://store:9000"),
        ("store:9000", "", "http://store:9000"),
        ("store:9000", "false", "http://store:9000"),
        ("store:9000", "True", "https://store:9000"),
        ("store:9000", "1", "https://store:9000"),
        ("https://store:9000", None, "https://store:9000"),
        ("http://store:9000", "false", "http://store:9000"),
    ],
)
def test_minio_endpoint(endpoint: str, secure: str | None, url: str) -> None:
    env = MINIO | {"MINIO_ENDPOINT": endpoint} | ({} if secure is None else {"MINIO_SECURE": secure})
    assert Settings.from_env(env).endpoint_url == url


def test_the_specific_aws_endpoint_wins() -> None:
    env = AWS | {"AWS_ENDPOINT_URL_S3": "http://objects:9000"}
    assert Settings.from_env(env).endpoint_url == "http://objects:9000"


@pytest.mark.parametrize(
    "other",
    [
        {"MINIO_ACCESS_KEY": "another"},
        {"MINIO_SECRET_KEY": "canary-other"},
        {"MINIO_BUCKET": "a-bucket", "STORAGE_BUCKET": "b-bucket"},
        {"MINIO_BUCKET": "a-bucket", "MINIO_DEFAULT_BUCKET": "b-bucket"},
        {"MINIO_REGION": "eu-1", "STORAGE_REGION": "eu-2"},
        {"MINIO_ENDPOINT": "another:9000"},
        {"MINIO_ENDPOINT": "store:9000", "MINIO_SECURE": "true"},
    ],
)
def test_contradictions(other: Mapping[str, str]) -> None:
    """Two names of a setting with different values: both are named, neither value is guessed or shown."""
    said = refused(OWN | other)
    names = {name for name in other if name != "MINIO_SECURE"}  # it is part of MINIO_ENDPOINT's value
    assert all(name in said for name in names), said
    assert "differ" in said
    assert not any(value in said for value in other.values() if "canary" in value)


def test_minio_goes_before_the_aws_fallback() -> None:
    env = without(OWN, "STORAGE_ENDPOINT_URL") | {
        "MINIO_ENDPOINT": "store:9000",
        "AWS_ENDPOINT_URL": "http://aws",
    }
    assert Settings.from_env(env).endpoint_url == "http://store:9000"


@pytest.mark.parametrize(
    ("env", "says"),
    [
        ({"STORAGE_BUKET": "media"}, "Did you mean STORAGE_BUCKET?"),
        ({"STORAGE_TMP_DIR": "/x"}, "Did you mean STORAGE_TEMP_DIR?"),
        ({"STORAGE_XYZZY": "1"}, "STORAGE_XYZZY is not a setting of this platform."),
        ({"STORAGE_BACKEND": "gcs"}, "it may be minio, s3, aws"),
        ({"STORAGE_BUCKET": "backups"}, "must differ"),
        ({"STORAGE_MAINTENANCE_BUCKET": "videos"}, "must differ"),
        ({"STORAGE_BUCKET": "ab"}, "3 to 63 characters"),
        ({"STORAGE_BUCKET": "videos/temp"}, "no '/'"),
        ({"STORAGE_PROOF_SERVER": "other"}, "it may be auto, same, throwaway"),
        ({"STORAGE_BACKUP_ACCESS_KEY": "k"}, "or neither"),
        ({"STORAGE_ACCESS_KEY": ""}, "Set both STORAGE_ACCESS_KEY and STORAGE_SECRET_KEY, or neither"),
        ({"STORAGE_PROFILE": "p"}, "not both"),
        ({"STORAGE_ROLE_OPTIONS": "{}"}, "need STORAGE_ROLE_ARN"),
        ({"STORAGE_ROLE_ARN": "arn", "STORAGE_ROLE_OPTIONS": "{"}, "not a JSON object"),
        ({"STORAGE_ROLE_ARN": "arn", "STORAGE_ROLE_OPTIONS": "[1]"}, "not a JSON object"),
        ({"STORAGE_TLS_VERIFY": "no"}, "it may be true or false"),
        ({"STORAGE_BACKUP_ENDPOINT_URL": "http://other"}, "needs STORAGE_BACKUP_ACCESS_KEY"),
    ],
)
def test_what_cannot_be_right(env: Mapping[str, str], says: str) -> None:
    assert says in refused(OWN | env)


def test_unknown_words_for_secure() -> None:
    assert "it may be true or false" in refused(MINIO | {"MINIO_SECURE": "perhaps"})


def test_a_session_token_without_keys() -> None:
    env = without(without(OWN, "STORAGE_ACCESS_KEY"), "STORAGE_SECRET_KEY")
    assert "needs STORAGE_ACCESS_KEY" in refused(env | {"STORAGE_SESSION_TOKEN": "canary"})


NEEDED = ("STORAGE_DATABASE_URL", "STORAGE_ENDPOINT_URL")


@pytest.mark.parametrize("name", NEEDED)
def test_what_is_missing_is_named(name: str) -> None:
    said = refused(without(OWN, name))
    assert said.startswith(f"Not set: {name}.")
    assert "Configuration" in said


def test_everything_missing_is_said_at_once() -> None:
    assert all(name in refused({}) for name in NEEDED)


def test_secrets_do_not_show() -> None:
    settings = Settings.from_env(OWN)
    assert "canary" not in f"{settings!r} {settings} {connect(settings.database_url)!r}"


@pytest.mark.parametrize(
    "url",
    [
        "canary",
        "mysql://me:canary@db/x",
        "host=db password=canary",
        "postgresql://me:canary@db:port/x",
        "postgresql://me:canary@db:5432:1/x",
    ],
)
def test_an_unfit_database_url_is_not_shown(url: str) -> None:
    with pytest.raises(ConfigError, match="STORAGE_DATABASE_URL") as error:
        connect(url)
    assert "canary" not in str(error.value)
