"""Settings to stores: the only place that picks adapters."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from minio import Minio
from sqlalchemy import Engine
from sqlalchemy.engine import make_url
from sqlalchemy.orm import Session

from storage.backups.site import Site
from storage.capabilities import Capabilities
from storage.clock import utcnow
from storage.engine import guard
from storage.model import BucketName, ObjectKey
from storage.ports import ObjectStore, Stores
from storage.presigned import PresignedURLGenerator
from storage.records import Control, UploadJournal
from storage.settings import Settings
from storage.stores.files import TempFolder
from storage.stores.pg_backups import PostgresCatalogue
from storage.stores.pg_cold import PostgresCold
from storage.stores.pg_jobs import PostgresJobs
from storage.stores.pg_migrate import migrate
from storage.stores.pg_reconcile import PostgresVerdicts
from storage.stores.pg_runs import PostgresControl, PostgresRuns
from storage.stores.pg_tombstones import PostgresTombstones, PostgresUploads
from storage.stores.postgres import connect
from storage.stores.s3 import S3Bucket
from storage.stores.s3_client import Endpoint, endpoint_of
from storage.stores.s3_mover import S3Mover
from storage.stores.s3_rewriter import S3Rewriter


def endpoint(settings: Settings) -> Endpoint:
    return Endpoint(
        url=settings.endpoint_url,
        region=settings.region,
        access_key=settings.access_key,
        secret_key=settings.secret_key,
    )


def links(settings: Settings, noted: Callable[[ObjectKey], None] = lambda key: None) -> PresignedURLGenerator:
    """What signs links for the address people open, which need not be the one this machine uses."""
    own = endpoint(settings)
    public = replace(own, url=settings.public_endpoint_url, setting="STORAGE_PUBLIC_ENDPOINT_URL")
    signer = (public if settings.public_endpoint_url else own).minio()
    return PresignedURLGenerator(signer, settings.bucket, noted)


def backup_endpoint(settings: Settings) -> Endpoint:
    """Where backups lie, and who we are there: another store or other keys, where these are set."""
    own = endpoint(settings)
    return replace(
        own,
        url=settings.backup_endpoint_url or own.url,
        access_key=settings.backup_access_key or own.access_key,
        secret_key=settings.backup_secret_key or own.secret_key,
    )


def database_name(settings: Settings) -> str:
    return str(make_url(settings.database_url).database)


def vault(settings: Settings) -> ObjectStore:
    """The backup bucket by the store's credentials alone: what is left when the database is gone."""
    return S3Bucket(backup_endpoint(settings), BucketName(settings.backup_bucket))


@contextmanager
def site(settings: Settings) -> Iterator[Site]:
    """The installation as backups see it."""
    with stores(settings) as opened:
        yield Site(stores=opened, settings=settings)


@contextmanager
def stores(
    settings: Settings,
    clock: Callable[[], datetime] = utcnow,
    *,
    engine: Engine | None = None,
    http: Any = None,
) -> Iterator[Stores]:
    """Everything a job may touch. ``engine`` and ``http`` replace the connections (a test counts on them)."""
    own = engine is None
    engine = engine or connect(settings.database_url)
    try:
        yield _bundle(settings, clock, engine, http)
    finally:
        if own:
            engine.dispose()


def _bundle(settings: Settings, clock: Callable[[], datetime], engine: Engine, http: Any) -> Stores:
    bucket, vault_name = BucketName(settings.bucket), BucketName(settings.backup_bucket)
    control = PostgresControl(engine, settings.endpoint_url)
    uploads, vault_uploads = PostgresUploads(engine, bucket), PostgresUploads(engine, vault_name)
    objects = S3Bucket(
        endpoint(settings),
        bucket,
        conditional=lambda: control.capabilities().conditional_bulk_delete is True,
        creates=lambda: control.capabilities().conditional_put is True,
        uploads=uploads,
        http=http,
    )
    return Stores(
        objects=objects,
        plans=S3Bucket(endpoint(settings), BucketName(settings.maintenance_bucket), http=http),
        vault=_vault(settings, control, vault_uploads, http),
        catalogue=PostgresCatalogue(engine),
        vault_uploads=vault_uploads,
        jobs=PostgresJobs(engine),
        files=TempFolder(Path(settings.temp_dir)),
        runs=PostgresRuns(engine),
        control=control,
        tombstones=PostgresTombstones(engine),
        verdicts=PostgresVerdicts(engine),
        uploads=uploads,
        rewriter=S3Rewriter(
            objects,
            conditional=lambda: _honours_if_match(control.capabilities()),
            counts_tags=lambda: control.capabilities().counts_tags is True,
            uploads=uploads,
        ),
        mover=S3Mover(objects, control.capabilities, uploads),
        cold=PostgresCold(engine, bucket),
        site=settings.cold_site,
        clock=clock,
    )


def _honours_if_match(found: Capabilities) -> bool:
    return found.conditional_put is True and found.conditional_complete is True


def _vault(settings: Settings, control: Control, uploads: UploadJournal, http: Any) -> S3Bucket:
    """The probe saw the endpoint of objects; another one is not trusted with conditions."""
    own = not settings.backup_endpoint_url
    return S3Bucket(
        backup_endpoint(settings),
        BucketName(settings.backup_bucket),
        creates=lambda: own and control.capabilities().conditional_put is True,
        uploads=uploads,
        http=http,
    )


@contextmanager
def of_clients(session: Session, client: Minio, names: Mapping[str, str]) -> Iterator[Stores]:
    """Stores on the connections an application already has; ``names`` are settings by name."""
    bind = session.get_bind()
    engine = bind if isinstance(bind, Engine) else bind.engine
    server = endpoint_of(client)
    settings = Settings(
        endpoint_url=server.url,
        access_key=server.access_key,
        secret_key=server.secret_key,
        database_url=engine.url.render_as_string(hide_password=False),
        region=server.region,
        **names,
    )
    with stores(settings, engine=engine) as opened:
        yield opened


def set_up(settings: Settings, *, adopt: bool = False) -> list[str]:
    """Bring the schema up to date and make bucket and database known to each other; what was done.

    ``adopt`` accepts another bucket or database than before, and forgets what the last runs left.
    """
    engine = connect(settings.database_url)
    try:
        done = migrate(engine)
        with stores(settings, engine=engine) as opened:
            return done + _introduce(opened, adopt)
    finally:
        engine.dispose()


def _introduce(opened: Stores, adopt: bool) -> list[str]:
    done = []
    if not opened.objects.identity():
        if opened.control.read("identity") and not adopt:
            return []  # a bucket that lost its mark is not the known one: the guard will say so
        opened.objects.adopt(str(uuid.uuid4()))
        done.append(f"mark of bucket {opened.objects.bucket}")
    if opened.control.read("identity") is None or adopt:
        opened.control.write("identity", guard.identity(opened))
        opened.control.write("history_from", opened.clock().isoformat())
        done.append("identity of bucket and database")
    return done
