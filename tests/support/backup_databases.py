"""Databases for the tests of backups, and direct access to the backup bucket."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import psycopg2
import pyrage
from botocore.exceptions import ClientError
from sqlalchemy.engine import make_url

from devstack.postgres import Postgres
from storage import connect
from storage.backup import download
from storage.backup import manifest as manifests
from storage.backup.context import BackupContext, as_recorded
from storage.backup.model import BackupId
from storage.core.settings import Settings
from storage.installation import open_installation
from tests.conftest import PASSWORD, Place

NOON = datetime(2026, 3, 8, 12, tzinfo=UTC)


@contextmanager
def opened(settings: Settings) -> Iterator[BackupContext]:
    with open_installation(settings) as stores:
        yield BackupContext(stores=stores, settings=settings)


@contextmanager
def database(
    server: Postgres,
    name: str,
    *,
    encoding: str = "UTF8",
    owner: str = "maintainer",
    template: str = "template0",
) -> Iterator[str]:
    """Create a database, empty or a copy of the template; yield its owner's URL; drop it in the end."""
    with server.connect() as session, session.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {name} TEMPLATE {template} ENCODING '{encoding}' OWNER {owner}")
    try:
        yield server.dsn(name, owner, PASSWORD)
    finally:
        with server.connect() as session, session.cursor() as cursor:
            cursor.execute(f"DROP DATABASE {name} WITH (FORCE)")


@contextmanager
def role(server: Postgres, name: str, rights: str = "") -> Iterator[str]:
    """Create a role that may log in; drop it in the end."""
    with server.connect() as session, session.cursor() as cursor:
        cursor.execute(f"CREATE ROLE {name} LOGIN {rights} PASSWORD '{PASSWORD}'")
    try:
        yield name
    finally:
        with server.connect() as session, session.cursor() as cursor:
            cursor.execute(f"DROP ROLE {name}")


@contextmanager
def context_on(place: Place, url: str) -> Iterator[BackupContext]:
    """Open a context on the database at ``url``, migrated and bound to the place's buckets."""
    settings = replace(place.settings, database_url=url)
    connect.set_up(settings, adopt=True)
    with opened(settings) as context:
        yield context


def session(url: str) -> closing[psycopg2.extensions.connection]:
    """Open an autocommit session; its strings are sent as bytes in the database's encoding."""
    parts = make_url(url)
    one = psycopg2.connect(**parts.translate_connect_args(username="user", database="dbname"))
    one.autocommit = True
    return closing(one)


def execute(url: str, *statements: str | bytes) -> list[tuple[object, ...]]:
    """Run the statements one by one; return the rows of the last."""
    with session(url) as one, one.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
        return cursor.fetchall() if cursor.description else []


def fill(url: str, table: str, blocks: int, width: int = 4 << 20) -> None:
    """Create a table of ``blocks`` rows of ``width`` letters, which hardly compress.

    All rows repeat one block, longer than zstd's window at level 1.
    """
    block = base64.b64encode(os.urandom(width * 3 // 4)).decode()
    with session(url) as one, one.cursor() as cursor:
        cursor.execute(f"DROP TABLE IF EXISTS {table}")
        cursor.execute(f"CREATE TABLE {table} (n int, w text)")
        cursor.execute(f"ALTER TABLE {table} ALTER w SET STORAGE EXTERNAL")
        cursor.execute(f"INSERT INTO {table} SELECT n, %s FROM generate_series(1, %s) AS n", [block, blocks])


@dataclass(frozen=True)
class Bucket:
    """The backup bucket as seen by another client with write access."""

    place: Place

    @property
    def name(self) -> str:
        return self.place.settings.backup_bucket

    @property
    def keys(self) -> list[str]:
        answer = self.place.boto.list_objects_v2(Bucket=self.name)
        return [one["Key"] for one in answer.get("Contents", ())]

    def get(self, key: str) -> bytes:
        return bytes(self.place.boto.get_object(Bucket=self.name, Key=key)["Body"].read())

    def put(self, key: str, data: bytes | None) -> None:
        """Write the object, or delete it when ``data`` is None."""
        if data is None:
            self.place.boto.delete_object(Bucket=self.name, Key=key)
        else:
            self.place.boto.put_object(Bucket=self.name, Key=key, Body=data)

    def uploads(self) -> list[str]:
        """Return the keys of the open multipart uploads."""
        answer = self.place.boto.list_multipart_uploads(Bucket=self.name)
        return [one["Key"] for one in answer.get("Uploads", ())]

    @contextmanager
    def changed(self, changes: dict[str, bytes | None]) -> Iterator[None]:
        """Alter or delete these objects inside the block; restore them in the end."""
        before = {key: self._found(key) for key in changes}
        try:
            for key, data in changes.items():
                self.put(key, data)
            yield
        finally:
            for key, data in before.items():
                self.put(key, data)

    def _found(self, key: str) -> bytes | None:
        try:
            return self.get(key)
        except ClientError:
            return None


def sealed_to(context: BackupContext, *keys: pyrage.x25519.Identity, opened_by: str = "") -> BackupContext:
    """Return the context with backups encrypted to these keys."""
    words = " ".join(str(key.to_public()) for key in keys)
    return replace(
        context, settings=replace(context.settings, backup_recipients=words, backup_identity_file=opened_by)
    )


def verified(context: BackupContext, id: BackupId) -> None:
    """Verify the backup as ``storage backup verify`` does."""
    manifest, sha256 = manifests.read(id, context.stores.backup_bucket)
    as_recorded(context, id, sha256)
    download.verify(manifest, context.stores.backup_bucket)
