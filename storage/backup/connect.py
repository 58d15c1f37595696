"""Construction of the backup stores from the settings."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from typing import Any, TypedDict

from sqlalchemy import Engine

from storage import connect
from storage.backup.context import BackupContext
from storage.backup.ports import BackupStores, Catalogue
from storage.backup.postgres.catalogue import PostgresCatalogue
from storage.core.clock import utcnow
from storage.core.login import Login
from storage.core.model import BucketName
from storage.core.ports import ObjectStore, Stores
from storage.core.records import UploadJournal
from storage.core.settings import Settings
from storage.stores.postgres.tombstones import PostgresUploads
from storage.stores.s3.bucket import S3Bucket
from storage.stores.s3.client import Endpoint


class Members(TypedDict):
    """Members that :class:`BackupStores` adds to the shared stores."""

    backup_bucket: ObjectStore
    catalogue: Catalogue
    backup_uploads: UploadJournal


def backup_endpoint(settings: Settings) -> Endpoint:
    """Return the endpoint and keys of backups: those set for backups, else the general ones."""
    own, key = connect.endpoint(settings), settings.backup_access_key
    login = Login(access_key=key, secret_key=settings.backup_secret_key) if key else own.login
    return replace(own, url=settings.backup_endpoint_url or own.url, login=login)


def open_backup_bucket(settings: Settings) -> ObjectStore:
    """Open the backup bucket by the store's credentials alone, as needed when the database is gone."""
    return S3Bucket(backup_endpoint(settings), BucketName(settings.backup_bucket))


def members(settings: Settings, shared: Stores, engine: Engine, http: Any = None) -> Members:
    """Return the stores that backups need beside the shared ones, on an open database.

    The probe has tested only the objects' endpoint; another endpoint is not trusted with conditional writes.
    """
    name, own = BucketName(settings.backup_bucket), not settings.backup_endpoint_url
    uploads = PostgresUploads(engine, name)
    bucket = S3Bucket(
        backup_endpoint(settings),
        name,
        creates=lambda: own and shared.control.capabilities().conditional_put is True,
        uploads=uploads,
        http=http,
    )
    return Members(backup_bucket=bucket, catalogue=PostgresCatalogue(engine), backup_uploads=uploads)


@contextmanager
def open_stores(
    settings: Settings, clock: Callable[[], datetime] = utcnow, *, engine: Engine | None = None
) -> Iterator[BackupStores]:
    """Open the stores that backups work on."""
    with connect.database(settings, engine) as connected:
        shared = connect.shared(settings, clock, connected)
        yield BackupStores(**vars(shared), **members(settings, shared, connected))


@contextmanager
def open_context(settings: Settings) -> Iterator[BackupContext]:
    """Open the installation as a :class:`BackupContext`."""
    with open_stores(settings) as stores:
        yield BackupContext(stores=stores, settings=settings)
