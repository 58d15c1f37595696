"""Settings to what lifecycle rules are managed with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from storage import connect
from storage.lifecycle.apply import Lifecycle
from storage.model import BucketName
from storage.settings import Settings
from storage.stores.pg_lifecycle import PostgresVersions
from storage.stores.postgres import connect as connect_engine
from storage.stores.s3_lifecycle import S3Lifecycle


@contextmanager
def lifecycle(settings: Settings) -> Iterator[Lifecycle]:
    """The rules of the bucket that maintenance works on."""
    bucket, engine = BucketName(settings.bucket), connect_engine(settings.database_url)
    try:
        with connect.stores(settings, engine=engine) as stores:
            yield Lifecycle(
                stores=stores,
                rules=S3Lifecycle(connect.endpoint(settings), bucket),
                versions=PostgresVersions(engine, bucket),
            )
    finally:
        engine.dispose()
