"""Construction of the shared stores from settings.

This module and each capability's ``connect`` are the only places that choose adapters.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from minio import Minio
from sqlalchemy import Engine
from sqlalchemy.engine import make_url
from sqlalchemy.orm import Session

from storage.core.clock import utcnow
from storage.core.model import BucketName
from storage.core.ports import Stores
from storage.core.settings import Settings
from storage.stores.files import TempFolder
from storage.stores.postgres import connection
from storage.stores.postgres.audit import PostgresAudit
from storage.stores.postgres.jobs import PostgresJobs
from storage.stores.postgres.migrate import migrate
from storage.stores.postgres.proven import PostgresProvenBackups
from storage.stores.postgres.references import PostgresReferences
from storage.stores.postgres.runs import PostgresControl, PostgresRuns
from storage.stores.postgres.tombstones import PostgresTombstones, PostgresUploads
from storage.stores.postgres.verdicts import PostgresVerdicts
from storage.stores.s3.bucket import S3Bucket
from storage.stores.s3.client import Endpoint, endpoint_of


def endpoint(settings: Settings) -> Endpoint:
    return Endpoint(
        url=settings.endpoint_url,
        region=settings.region,
        login=settings.login,
        ca_file=settings.ca_file,
        verify=settings.verifies,
    )


def database_name(settings: Settings) -> str:
    return str(make_url(settings.database_url).database)


@contextmanager
def database(settings: Settings, engine: Engine | None = None) -> Iterator[Engine]:
    """Open a connection pool and close it at the end; a pool passed as ``engine`` stays open."""
    if engine is not None:
        yield engine
        return
    own = connection.connect(settings.database_url)
    try:
        yield own
    finally:
        own.dispose()


@contextmanager
def stores(
    settings: Settings,
    clock: Callable[[], datetime] = utcnow,
    *,
    engine: Engine | None = None,
    http: Any = None,
    server: Endpoint | None = None,
) -> Iterator[Stores]:
    """Open the shared stores. ``engine``, ``http`` and ``server`` replace the connections of the settings."""
    with database(settings, engine) as connected:
        yield shared(settings, clock, connected, http, server)


def shared(
    settings: Settings,
    clock: Callable[[], datetime],
    engine: Engine,
    http: Any = None,
    server: Endpoint | None = None,
) -> Stores:
    """Build the shared stores on an open database."""
    bucket, server = BucketName(settings.bucket), server or endpoint(settings)
    control = PostgresControl(engine, settings.endpoint_url)
    uploads = PostgresUploads(engine, bucket)
    return Stores(
        objects=S3Bucket(
            server,
            bucket,
            conditional=lambda: control.capabilities().conditional_bulk_delete is True,
            creates=lambda: control.capabilities().conditional_put is True,
            uploads=uploads,
            http=http,
        ),
        plans=S3Bucket(server, BucketName(settings.maintenance_bucket), http=http),
        jobs=PostgresJobs(engine),
        runs=PostgresRuns(engine),
        audit=PostgresAudit(engine),
        control=control,
        references=PostgresReferences(engine),
        clock=clock,
        files=TempFolder(Path(settings.temp_dir)),
        tombstones=PostgresTombstones(engine),
        verdicts=PostgresVerdicts(engine),
        uploads=uploads,
        proven=PostgresProvenBackups(engine),
    )


@contextmanager
def of_clients(session: Session, client: Minio, names: Mapping[str, str]) -> Iterator[Stores]:
    """Open the stores on an application's existing connections; ``names`` are settings by name."""
    bind = session.get_bind()
    engine = connection.with_every_row(bind if isinstance(bind, Engine) else bind.engine)
    server = endpoint_of(client)
    settings = Settings(
        endpoint_url=server.url,
        database_url=engine.url.render_as_string(hide_password=False),
        region=server.region,
        **names,
    )
    with stores(settings, engine=engine, server=server) as opened:
        yield opened


def set_up(settings: Settings, *, adopt: bool = False) -> list[str]:
    """Migrate the schema and record the identity of bucket and database; return a list of the changes.

    ``adopt`` accepts another bucket or database than before, and resets the run history.
    """
    engine = connection.connect(settings.database_url)
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
            return []  # a bucket without its identity object is not the known one: the guard refuses it
        opened.objects.adopt(str(uuid.uuid4()))
        done.append(f"identity object of bucket {opened.objects.bucket}")
    if opened.control.read("identity") is None or adopt:
        opened.control.write("identity", opened.identity())
        opened.control.write("history_from", opened.clock().isoformat())
        done.append("identity of bucket and database")
    return done
