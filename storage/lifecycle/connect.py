"""Build the lifecycle manager from settings."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from storage import connect
from storage.core.model import BucketName
from storage.core.settings import Settings
from storage.lifecycle.apply import Lifecycle
from storage.lifecycle.postgres import PostgresVersions
from storage.lifecycle.s3 import S3Lifecycle
from storage.stores.postgres.connection import connect as connect_engine


@contextmanager
def lifecycle(settings: Settings) -> Iterator[Lifecycle]:
    """Open the lifecycle manager of the bucket that maintenance works on."""
    bucket, engine = BucketName(settings.bucket), connect_engine(settings.database_url)
    try:
        with connect.stores(settings, engine=engine) as stores:
            yield Lifecycle(
                stores=stores,
                tiers=settings.cold_settings,
                rules=S3Lifecycle(connect.endpoint(settings), bucket),
                versions=PostgresVersions(engine, bucket),
            )
    finally:
        engine.dispose()
