"""Settings and stores from Airflow's connections ``storage_s3`` and ``storage_db``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from storage.backup.context import BackupContext
    from storage.core.settings import Settings
    from storage.installation import Installation

S3_CONNECTION, DB_CONNECTION = "storage_s3", "storage_db"


def settings() -> Settings:
    """Read the settings from the connections ``storage_s3`` (type aws) and ``storage_db`` (type postgres)."""
    from airflow.providers.amazon.aws.hooks.base_aws import AwsBaseHook
    from airflow.providers.postgres.hooks.postgres import PostgresHook

    from storage.core.settings import Settings

    s3 = AwsBaseHook(aws_conn_id=S3_CONNECTION, client_type="s3").conn_config
    database = PostgresHook(postgres_conn_id=DB_CONNECTION).sqlalchemy_url
    extra = s3.extra_config
    names = (
        "bucket", "backup_bucket", "maintenance_bucket", "temp_dir", "public_endpoint_url",
        "backup_endpoint_url", "backup_access_key", "backup_secret_key",
        "backup_recipients", "backup_identity_file", "proof_server", "cold_rules", "tiers", "prices",
        "keep_records_days", "keep_audit_days",
    )  # fmt: skip
    return Settings(
        endpoint_url=s3.endpoint_url or "https://s3.amazonaws.com",
        access_key=s3.aws_access_key_id or "",
        secret_key=s3.aws_secret_access_key or "",
        region=s3.region_name or "us-east-1",
        database_url=database.render_as_string(hide_password=False),
        **{name: str(extra[name]) for name in names if extra.get(name)},
    )


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
