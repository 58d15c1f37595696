"""Settings of an installation, read once from the environment (or from Airflow's connections)."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from urllib.parse import urlsplit

from storage.core import cold_settings as cold_rules
from storage.core.errors import ConfigError
from storage.core.login import Login
from storage.core.model import BucketName
from storage.core.retention import Retention, retention
from storage.core.tiers import ColdSettings

#: Equivalent names from the sibling systems' documents. Values that differ are an error.
ALIASES = {
    "endpoint_url": ("MINIO_ENDPOINT",),
    "access_key": ("MINIO_ACCESS_KEY",),
    "secret_key": ("MINIO_SECRET_KEY",),
    "region": ("MINIO_REGION",),
    "bucket": ("MINIO_BUCKET", "MINIO_DEFAULT_BUCKET"),
}
#: Names that any AWS program reads: used if nothing else is set; a different value is no error.
FALLBACKS = {
    "endpoint_url": ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"),
    "region": ("AWS_REGION", "AWS_DEFAULT_REGION"),
    "bucket": ("AWS_S3_BUCKET_NAME",),
    "ca_file": ("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"),
}
REQUIRED = ("endpoint_url", "database_url")
YES, NO = ("true", "1"), ("false", "0")
BACKENDS = ("minio", "s3", "aws")
PROOF_SERVERS = ("auto", "same", "throwaway")
_OTHERS = {
    "STORAGE_BACKEND",
    "STORAGE_CLEANUP_SCHEDULE",
    "STORAGE_REAP_SCHEDULE",
    "STORAGE_TEMP_SCHEDULE",
    "STORAGE_PROBE_SCHEDULE",
    "STORAGE_BACKUP_SCHEDULE",
    "STORAGE_DRILL_SCHEDULE",
    "STORAGE_COLD_SCHEDULE",
    "STORAGE_DRIFT_SCHEDULE",
    "STORAGE_RECORDS_SCHEDULE",
}


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Addresses, credentials and names of an installation. A repr never shows secrets."""

    endpoint_url: str
    access_key: str = ""
    secret_key: str = field(default="", repr=False)
    session_token: str = field(default="", repr=False)
    profile: str = ""
    role_arn: str = ""
    role_options: str = ""
    role_token_file: str = ""
    ca_file: str = ""
    tls_verify: str = "true"
    database_url: str = field(repr=False)
    public_endpoint_url: str = ""
    region: str = "us-east-1"
    bucket: str = "videos"
    backup_bucket: str = "backups"
    maintenance_bucket: str = "maintenance"
    temp_dir: str = "/data/temp"
    backup_endpoint_url: str = ""
    backup_access_key: str = ""
    backup_secret_key: str = field(default="", repr=False)
    backup_recipients: str = ""
    backup_identity_file: str = ""
    backup_auth_key_file: str = ""
    proof_server: str = "auto"
    cold_rules: str = ""
    tiers: str = ""
    prices: str = ""
    keep_records_days: str = "90"
    keep_audit_days: str = "400"

    def __post_init__(self) -> None:
        buckets = (self.bucket, self.backup_bucket, self.maintenance_bucket)
        for name in buckets:
            BucketName(name)
        if len(set(buckets)) < 3:
            raise ConfigError(
                "STORAGE_BUCKET, STORAGE_BACKUP_BUCKET and STORAGE_MAINTENANCE_BUCKET must differ, not "
                f"{', '.join(buckets)}: maintenance must not delete plans and backups."
            )

        _ = self.login
        if self.tls_verify.lower() not in (*YES, *NO):
            raise ConfigError(f"STORAGE_TLS_VERIFY is {self.tls_verify!r}; it may be true or false.")
        if bool(self.backup_access_key) != bool(self.backup_secret_key):
            raise ConfigError("Set both STORAGE_BACKUP_ACCESS_KEY and STORAGE_BACKUP_SECRET_KEY, or neither.")
        if self.backup_endpoint_url and not self.backup_access_key:
            raise ConfigError("STORAGE_BACKUP_ENDPOINT_URL needs STORAGE_BACKUP_ACCESS_KEY and _SECRET_KEY.")
        if self.proof_server not in PROOF_SERVERS:
            raise ConfigError(
                f"STORAGE_PROOF_SERVER is {self.proof_server!r}; it may be {', '.join(PROOF_SERVERS)}."
            )

        _ = self.cold_settings, self.retention

    @property
    def retention(self) -> Retention:
        """Parse how long records are kept."""
        return retention(self.keep_records_days, self.keep_audit_days)

    @property
    def login(self) -> Login:
        """Return how requests to the object store are signed."""
        return Login(**{one.name: getattr(self, one.name) for one in fields(Login)})

    @property
    def verifies(self) -> bool:
        """Return True if the certificates of object stores are checked."""
        return self.tls_verify.lower() in YES

    @property
    def cold_settings(self) -> ColdSettings:
        """Parse the cold-data settings."""
        return cold_rules.parse(self.cold_rules, self.tiers, self.prices)

    @classmethod
    def from_env(cls, env: Mapping[str, str], without: Sequence[str] = ()) -> Settings:
        """Read the environment. Raises ConfigError if a setting is unknown, contradictory or missing.

        The settings in ``without`` may be missing.
        """
        _refuse_unknown(env)
        env = {**env, "MINIO_ENDPOINT": _minio_endpoint(env)}
        values = {setting.name: _value(setting.name, env) for setting in fields(cls)}
        needed = [name for name in REQUIRED if name not in without]
        missing = [f"STORAGE_{name.upper()}" for name in needed if not values[name]]
        if missing:
            raise ConfigError(f"Not set: {', '.join(missing)}. See README, Configuration.")
        return cls(**dict.fromkeys(without, "") | {name: value for name, value in values.items() if value})


def _value(name: str, env: Mapping[str, str]) -> str:
    own = f"STORAGE_{name.upper()}"
    given = {key: env[key] for key in (own, *ALIASES.get(name, ())) if env.get(key)}
    if len(set(given.values())) > 1:
        raise ConfigError(f"{' and '.join(given)} are set to different values. Keep one of them.")
    if given:
        return next(iter(given.values()))
    return fallback(name, env)


def fallback(name: str, env: Mapping[str, str]) -> str:
    """Return the value that another program's variable has for a setting; "" if none is set."""
    return next((env[key] for key in FALLBACKS.get(name, ()) if env.get(key)), "")


def _minio_endpoint(env: Mapping[str, str]) -> str:
    """Build a URL from MINIO_ENDPOINT (host:port) and MINIO_SECURE (TLS on or off)."""
    host, secure = env.get("MINIO_ENDPOINT", ""), (env.get("MINIO_SECURE") or "false").lower()
    if secure not in (*YES, *NO):
        raise ConfigError(f"MINIO_SECURE is {secure!r}; it may be true or false.")
    scheme = urlsplit(host).scheme
    if scheme in ("http", "https") and env.get("MINIO_SECURE") and (scheme == "https") != (secure in YES):
        raise ConfigError(f"MINIO_ENDPOINT uses {scheme}, but MINIO_SECURE is {secure}. Keep one of them.")
    if not host or scheme in ("http", "https"):
        return host
    return f"{'https' if secure in YES else 'http'}://{host}"


def _refuse_unknown(env: Mapping[str, str]) -> None:
    known = {f"STORAGE_{setting.name.upper()}" for setting in fields(Settings)} | _OTHERS
    for name in sorted(env):
        if name.startswith("STORAGE_") and name not in known:
            close = difflib.get_close_matches(name, known, 1)
            hint = f" Did you mean {close[0]}?" if close else ""
            raise ConfigError(f"{name} is not a setting of this platform.{hint}")
    if (env.get("STORAGE_BACKEND") or "minio") not in BACKENDS:
        raise ConfigError(f"STORAGE_BACKEND is {env['STORAGE_BACKEND']!r}; it may be {', '.join(BACKENDS)}.")
