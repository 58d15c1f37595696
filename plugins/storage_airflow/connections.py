"""Settings and stores from Airflow's connections ``storage_s3`` and ``storage_db``."""

from __future__ import annotations

import difflib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

    from storage.backup.context import BackupContext
    from storage.core.settings import Settings
    from storage.installation import Installation

S3_CONNECTION, DB_CONNECTION = "storage_s3", "storage_db"
#: Extras of ``storage_s3`` by the Amazon provider's names, and the settings they are.
AMAZON = {
    "endpoint_url": "endpoint_url",
    "region_name": "region",
    "aws_access_key_id": "access_key",
    "aws_secret_access_key": "secret_key",
    "aws_session_token": "session_token",
    "profile_name": "profile",
    "role_arn": "role_arn",
    "assume_role_kwargs": "role_options",
    "assume_role_with_web_identity_token_file": "role_token_file",
}
METHOD, FEDERATION = "assume_role_method", "assume_role_with_web_identity_federation"
METHODS = ("assume_role", "assume_role_with_web_identity")
#: Extras of ``storage_s3`` that have the name of a setting.
OWN = (
    "bucket", "backup_bucket", "maintenance_bucket", "temp_dir", "public_endpoint_url",
    "backup_endpoint_url", "backup_access_key", "backup_secret_key",
    "backup_recipients", "backup_identity_file", "backup_auth_key_file", "proof_server",
    "cold_rules", "tiers", "prices", "keep_records_days", "keep_audit_days",
)  # fmt: skip
KNOWN = (*AMAZON, METHOD, FEDERATION, "verify", *OWN)
#: Extras of ``storage_db`` that the Postgres provider uses itself; libpq is asked about every other.
OF_HOOK = ("iam", "aws_conn_id", "azure_conn_id", "sqlalchemy_query", "sqlalchemy_scheme")


def settings() -> Settings:
    """Read the settings from the connections ``storage_s3`` (type aws) and ``storage_db`` (type postgres).

    Raises ConfigError for an extra that is unknown or broken: nothing is ignored.
    """
    from airflow.providers.postgres.hooks.postgres import PostgresHook
    from airflow.sdk import BaseHook

    from storage.core.settings import Settings

    hook = PostgresHook(postgres_conn_id=DB_CONNECTION)
    words = extras(DB_CONNECTION, hook.connection.extra)
    url = with_words(hook.sqlalchemy_url, words).render_as_string(hide_password=False)
    return Settings(database_url=url, **s3_settings(BaseHook.get_connection(S3_CONNECTION), os.environ))


def s3_settings(connection: Any, env: Mapping[str, str]) -> dict[str, str]:
    """Return the settings of the connection to the object store; ``env`` names CA certificates, if any."""
    from storage.core.errors import ConfigError
    from storage.core.settings import fallback

    for field in ("host", "port", "schema"):
        if getattr(connection, field, None):
            raise ConfigError(
                f"{S3_CONNECTION} has a {field}, which means nothing: use the extra endpoint_url."
            )
    extra = extras(S3_CONNECTION, connection.extra)
    _refuse_unknown(extra)
    given = {"access_key": connection.login or "", "secret_key": connection.password or ""}
    named = {AMAZON[name]: _text(name, value) for name, value in extra.items() if name in AMAZON}
    own = {name: _text(name, extra[name]) for name in OWN if name in extra}
    found = {"endpoint_url": "https://s3.amazonaws.com", "ca_file": fallback("ca_file", env)}
    found |= named | own | {name: value for name, value in given.items() if value}
    found |= _certificates(extra.get("verify")) | _web_identity(extra, found, env)
    return {name: value for name, value in found.items() if value}


def with_words(url: URL, extra: Mapping[str, Any]) -> URL:
    """Return the database URL with the extras as parameters, which libpq checks when the engine is made."""
    words = {name: _text(name, value, DB_CONNECTION) for name, value in extra.items() if name not in OF_HOOK}
    return url.update_query_dict(words)


def extras(connection: str, text: str | None) -> dict[str, Any]:
    """Parse the extra field of a connection. Raises ConfigError if it is no JSON object."""
    from storage.core.errors import ConfigError

    try:
        found = json.loads(text or "{}")
    except ValueError as error:
        raise ConfigError(f"The extra of the connection {connection} is not valid JSON: {error}.") from error
    if not isinstance(found, dict):
        raise ConfigError(f"The extra of the connection {connection} is not a JSON object.")
    return found


def _refuse_unknown(names: Iterable[str]) -> None:
    from storage.core.errors import ConfigError

    for name in names:
        if name not in KNOWN:
            close = difflib.get_close_matches(name, KNOWN, 1)
            hint = f"Did you mean {close[0]}? " if close else ""
            raise ConfigError(
                f"The connection {S3_CONNECTION} has an unknown extra {name!r}. {hint}"
                f"Known are {', '.join(KNOWN)}."
            )


def _text(name: str, value: Any, connection: str = S3_CONNECTION) -> str:
    """Return an extra as the text of a setting; an object stays JSON, true and false become 1 and 0."""
    from storage.core.errors import ConfigError

    if name == "assume_role_kwargs" and isinstance(value, dict):
        return json.dumps(value) if value else ""
    if value is None or isinstance(value, str | int | float):
        return "" if value is None else str(int(value) if isinstance(value, bool) else value)
    raise ConfigError(f"The extra {name!r} of the connection {connection} must be text or a number.")


def _certificates(verify: Any) -> dict[str, str]:
    """Return the settings that ``verify`` means: true, false, or a file of CA certificates."""
    word = str("" if verify is None else verify)
    if word.lower() in ("", "true", "1"):
        return {}
    return {"tls_verify": "false"} if word.lower() in ("false", "0") else {"ca_file": word}


def _web_identity(
    extra: Mapping[str, Any], found: Mapping[str, str], env: Mapping[str, str]
) -> dict[str, str]:
    """Return the settings of a role assumed by a token file, if the connection names that method."""
    from storage.core.errors import ConfigError

    method, federation = extra.get(METHOD) or METHODS[0], extra.get(FEDERATION) or "file"
    if method not in METHODS:
        raise ConfigError(f"{METHOD} of {S3_CONNECTION} is {method!r}; it may be {', '.join(METHODS)}.")
    if federation != "file":
        raise ConfigError(f"{FEDERATION} of {S3_CONNECTION} is {federation!r}; it may be file.")
    if method == METHODS[0]:
        return {"role_token_file": ""}
    file = found.get("role_token_file") or env.get("AWS_WEB_IDENTITY_TOKEN_FILE", "")
    if not file:
        raise ConfigError(f"{METHOD} of {S3_CONNECTION} needs assume_role_with_web_identity_token_file.")
    return {"role_token_file": file}


@contextmanager
def opened() -> Iterator[Installation]:
    """Open the stores of the connections."""
    from storage.installation import open_installation

    with open_installation(settings()) as stores:
        yield stores


@contextmanager
def backup_context() -> Iterator[BackupContext]:
    """Open the backup context of the installation that the Airflow connections define."""
    from storage.backup.connect import open_context

    with open_context(settings()) as context:
        yield context
