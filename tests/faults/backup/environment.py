"""Environment of the backup fault campaign: a database, its buckets and backups, reset before each trial."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg2
from psycopg2 import sql
from sqlalchemy.engine import make_url

from devstack.objectstore import ObjectStore
from storage import connect
from storage.backup import download
from storage.backup import manifest as manifests
from storage.backup.connect import open_backup_bucket, open_context
from storage.backup.context import BackupContext
from storage.backup.database import backup_database
from storage.backup.model import Backup, BackupId
from storage.backup.prove import prove
from storage.core.errors import StorageError
from storage.core.settings import Settings
from storage.installation import open_installation
from tests.faults.backup.machine import Machine, machine
from tests.faults.servers import make_place

ROWS = 40
JOBS = [f"job-{number:03}" for number in range(ROWS)]


@dataclass
class BackupEnvironment:
    """Before each trial, ``base`` is proven, ``whole`` is taken, and those in ``old`` are due for pruning."""

    settings: Settings
    machine: Machine
    boto: Any
    base: BackupId = BackupId("20260101T000000Z-00000000")
    whole: BackupId = BackupId("20260101T000000Z-00000000")
    old: tuple[BackupId, ...] = ()
    objects: dict[str, bytes] = field(default_factory=dict)

    @property
    def live(self) -> str:
        return str(make_url(self.settings.database_url).database)

    @property
    def made(self) -> set[str]:
        """The ids of the backups that existed before the trial."""
        return {key.split("/")[1] for key in self.objects}

    @property
    def template(self) -> str:
        return f"{self.live}_template"

    @property
    def names(self) -> dict[str, str]:
        one = self.settings
        pairs = {one.bucket: "BUCKET", one.maintenance_bucket: "MAINTENANCE", one.backup_bucket: "VAULT"}
        return {**pairs, self.live: "LIVE"}

    # --- setup ---------------------------------------------------------------------------------
    def found(self) -> None:
        """Create the initial state of every trial: rows, documents, and backups."""
        with open_context(self.settings) as context:
            self._rows(context)
            self.old = tuple(_aged(context, prove(context, backup_database(context).id)) for _ in range(4))[
                :2
            ]
            for _ in range(2):
                self.base = prove(context, backup_database(context).id).id
            self.whole = backup_database(context).id
        self.objects = {key: self._get(key) for key in self.stored()}
        self._freeze()

    def _rows(self, context: BackupContext) -> None:
        with self.session(self.live) as cursor:
            for id in JOBS:
                cursor.execute("INSERT INTO jobs (id, status) VALUES (%s, 'completed')", (id,))
        for id in JOBS[:3]:
            body = json.dumps({"job": id}).encode()
            self.boto.put_object(Bucket=self.settings.bucket, Key=f"processed/{id}/metadata.json", Body=body)

    def _freeze(self) -> None:
        with self.session("postgres") as cursor:
            words = sql.Identifier(self.template), sql.Identifier(self.live)
            cursor.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(*words))

    def lay(self) -> None:
        """Reset the database and the backup bucket to exactly their initial state."""
        with self.session("postgres") as cursor:
            for name in self.databases():
                cursor.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
            owner = str(make_url(self.settings.database_url).username)
            words = (sql.Identifier(one) for one in (self.live, self.template, owner))
            cursor.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {} OWNER {}").format(*words))
            cursor.execute("CHECKPOINT")  # without it, measured on 15, a crash resets the copied sequences
        with open_installation(self.settings) as stores:
            stores.control.write("identity", stores.identity())  # the copied database has another identity
        bucket = self.settings.backup_bucket
        there = set(self.stored())
        for key in there - self.objects.keys():
            self.boto.delete_object(Bucket=bucket, Key=key)
        for key in self.objects.keys() - there:
            self.boto.put_object(Bucket=bucket, Key=key, Body=self.objects[key])

    def databases(self) -> list[str]:
        return list(self.marks())

    def marks(self) -> dict[str, str]:
        """Return all databases of this environment but the template, with their comments: the live one,
        scratch, restored and kept ones."""
        with self.session("postgres") as cursor:
            cursor.execute(
                "SELECT datname, coalesce(shobj_description(oid, 'pg_database'), '') FROM pg_database"
                " WHERE datname <> %s AND NOT datistemplate AND datdba ="
                " (SELECT oid FROM pg_roles WHERE rolname = %s)",
                (self.template, make_url(self.settings.database_url).username),
            )
            return dict(cursor.fetchall())

    # --- checks --------------------------------------------------------------------------------
    @contextmanager
    def session(self, database: str) -> Iterator[Any]:
        with self.machine.server.connect(database) as opened, opened.cursor() as cursor:
            yield cursor

    def stored(self) -> list[str]:
        answer = self.boto.list_objects_v2(Bucket=self.settings.backup_bucket)
        return [one["Key"] for one in answer.get("Contents", ())]

    def _get(self, key: str) -> bytes:
        return bytes(self.boto.get_object(Bucket=self.settings.backup_bucket, Key=key)["Body"].read())

    def catalogue(self) -> dict[str, tuple[str, str, str]]:
        """Return kind, state and manifest hash of each backup by id; empty when the live database is down."""
        with suppress(psycopg2.OperationalError), self.session(self.live) as cursor:
            cursor.execute("SELECT id, kind, state, manifest_sha256 FROM maintenance.backups")
            return {row[0]: row[1:] for row in cursor.fetchall()}
        return {}

    def always(self) -> Iterator[str]:
        """Yield violations of the invariants that hold at every instant, however a run is interrupted."""
        backup_bucket = open_backup_bucket(self.settings)
        rows = self.catalogue()
        for key in [key for key in self.stored() if key.endswith("/manifest.json")]:
            id = BackupId(key.split("/")[1])
            try:
                manifest, sha256 = manifests.read(id, backup_bucket)
                download.verify(manifest, backup_bucket)
            except StorageError as error:
                yield f"a manifest without its data: {key}: {error}"
                continue
            if id in rows and rows[id][2] not in ("", sha256):
                yield f"backup {id}: the catalogue has another manifest"
        for id, (kind, state, sha256) in rows.items():
            if state in ("complete", "proven") and self._digest(f"{kind}/{id}/manifest.json") != sha256:
                yield f"backup {id} is {state}, and its manifest is missing or another"
        if rows and rows.get(self.base, ("", "", ""))[1] != "proven":
            yield "the backup that was proven before is not proven any more"
        if not any(key.startswith(f"database/{self.base}/certificate-") for key in self.stored()):
            yield "the certificate of the proven backup is gone"

    def _digest(self, key: str) -> str:
        return hashlib.sha256(self._get(key)).hexdigest() if key in self.stored() else ""

    def jobs(self, database: str) -> list[str] | None:
        """Return the ids of the pipeline's jobs; None when the database refuses the session."""
        try:
            with self.session(database) as cursor:
                cursor.execute("SELECT id FROM jobs ORDER BY id")
                return [row[0] for row in cursor.fetchall()]
        except psycopg2.Error:
            return None


def _aged(context: BackupContext, backup: Backup) -> BackupId:
    """Date the backup back by half a year in the catalogue."""
    context.stores.catalogue.save(replace(backup, taken_at=backup.taken_at - timedelta(days=180)))
    return backup.id


@contextmanager
def open_backup_environment(store: ObjectStore, home: Path) -> Iterator[BackupEnvironment]:
    """Create an environment in a new folder of ``home``, with its own database server."""
    with tempfile.TemporaryDirectory(dir=home) as own, machine(Path(own)) as here:
        settings = replace(make_place(store, here.server, Path(own))[0], proof_server="same")
        made = BackupEnvironment(settings, here, connect.endpoint(settings).boto())
        made.found()
        yield made
