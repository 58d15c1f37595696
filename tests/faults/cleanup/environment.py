"""Environment of the clean-up campaign: real servers, reset to a scenario's state in a tenth of a second."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg2
from botocore.exceptions import ClientError
from sqlalchemy.engine import make_url

from storage import connect
from storage.core.clock import utcnow
from storage.core.settings import Settings
from storage.installation import Installation, open_installation

AHEAD = timedelta(seconds=50)  # as-of lies this far ahead, so an object made now has this age
OLD = timedelta(seconds=30)  # that age exceeds this limit, so it goes; an object dated an hour ahead is young
YOUNG = timedelta(hours=1)
MARKER, CONDEMNED = ".transcode-flow-temp", ".condemned"
_STEADY = ("jobs", "maintenance.tombstones", "maintenance.claims", "maintenance.uploads",
           "maintenance.control", "maintenance.capabilities")  # fmt: skip
_CLEAR = """
DELETE FROM maintenance.batches; DELETE FROM maintenance.runs; DELETE FROM maintenance.tombstones;
DELETE FROM maintenance.claims; DELETE FROM maintenance.uploads; DELETE FROM jobs;
DELETE FROM maintenance.control WHERE name NOT IN ('identity', 'history_from', 'fresh_backup_guard');
"""


@dataclass(frozen=True, kw_only=True)
class Row:
    """A row of the pipeline's table of jobs, and how long ago it changed."""

    id: str
    status: str
    age: timedelta = timedelta(hours=1)
    output: str | None = None


@dataclass(frozen=True, kw_only=True)
class World:
    """Initial content of an environment: rows, objects, uploads, files. Those in ``young`` are new."""

    rows: tuple[Row, ...] = ()
    objects: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    links: tuple[str, ...] = ()
    uploads: tuple[str, ...] = ()
    young: frozenset[str] = frozenset()

    @property
    def size(self) -> int:
        return len(self.objects) + len(self.files) + len(self.links) + len(self.uploads)

    def on(self, kind: str) -> World:
        """Return the part that a store of that kind can hold: only MinIO accepts an object's date."""
        if kind == "minio":
            return self
        return replace(self, objects=tuple(key for key in self.objects if key not in self.young))


def body(name: str) -> bytes:
    """Return the content of every object, file or upload part of that name."""
    return f"content of {name}\n".encode() * 3


def as_of() -> datetime:
    return utcnow() + AHEAD


@dataclass
class Environment:
    """One set of buckets, database and temp folder. ``stores`` are the product's own, without any fault."""

    settings: Settings
    kind: str
    boto: Any
    database: Any
    stores: Installation
    uploads: list[tuple[str, str]] = field(default_factory=list)

    def forget_last_run(self) -> None:
        """Delete the name of the last run that acted: without its row the database would have gone back."""
        bucket = self.settings.maintenance_bucket
        for one in self.boto.list_objects_v2(Bucket=bucket, Prefix=".maintenance/").get("Contents", ()):
            self.boto.delete_object(Bucket=bucket, Key=one["Key"])

    @property
    def temp(self) -> Path:
        return Path(self.settings.temp_dir)

    @property
    def victim(self) -> Path:
        """A folder beside the temp folder, to which a link in it points: nothing here may ever change."""
        return self.temp.parent / "victim"

    @property
    def names(self) -> dict[str, str]:
        """Names that differ between environments, and their placeholders in the name of an effect."""
        one = self.settings
        return {str(self.temp): "TEMP", one.bucket: "BUCKET", one.maintenance_bucket: "MAINTENANCE"}

    def lay(self, world: World) -> None:
        """Reset the environment to ``world``, whatever a trial left."""
        self.forget_last_run()
        self._tables(world)
        self._objects(world)
        self._uploads(world)
        self._tree(world)

    def sql(self, text: str, *values: Any) -> list[tuple[Any, ...]]:
        with self.database.cursor() as cursor:
            cursor.execute(text, values)
            return cursor.fetchall() if cursor.description else []

    def _tables(self, world: World) -> None:
        now = utcnow()
        rows = [(row.id, row.status, now - row.age, row.output) for row in world.rows]
        with self.database.cursor() as cursor:
            cursor.execute(_CLEAR)
            cursor.executemany(
                "INSERT INTO jobs (id, status, updated_at, output_360p_path) VALUES (%s, %s, %s, %s)", rows
            )

    def _objects(self, world: World) -> None:
        wanted = {
            key: f'"{hashlib.md5(body(key), usedforsecurity=False).hexdigest()}"' for key in world.objects
        }
        found = self.listing()
        for key in set(found) - set(wanted):
            self.boto.delete_object(Bucket=self.settings.bucket, Key=key)
        for key, etag in wanted.items():
            if found.get(key) != etag:
                self.put(key, key in world.young)

    def put(self, key: str, young: bool = False, data: bytes | None = None) -> None:
        _AGE.pop("date", None)
        if young:
            _AGE["date"] = f"{utcnow() + YOUNG:%Y-%m-%dT%H:%M:%S.000Z}"
        self.boto.put_object(Bucket=self.settings.bucket, Key=key, Body=body(key) if data is None else data)

    def listing(self) -> dict[str, str]:
        """Return key and etag of every object but the bucket's own marker."""
        answer = self.boto.list_objects_v2(Bucket=self.settings.bucket)
        return {one["Key"]: one["ETag"] for one in answer.get("Contents", ()) if one["Key"][0] != "."}

    def _uploads(self, world: World) -> None:
        bucket = self.settings.bucket
        for key, id in self.uploads:
            try:
                self.boto.abort_multipart_upload(Bucket=bucket, Key=key, UploadId=id)
            except ClientError as error:
                if error.response["Error"]["Code"] != "NoSuchUpload":
                    raise
        self.uploads = []
        for key in world.uploads:
            id = self.boto.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"]
            self.boto.upload_part(Bucket=bucket, Key=key, UploadId=id, PartNumber=1, Body=body(key))
            beat = utcnow() + (YOUNG if key in world.young else -YOUNG)
            self.sql(
                "INSERT INTO maintenance.uploads (upload_id, bucket, key, initiated_at, heartbeat_at)"
                " VALUES (%s, %s, %s, %s, %s)",
                id, bucket, key, utcnow() - YOUNG, beat,
            )  # fmt: skip
            self.uploads.append((key, id))

    def alive(self, key: str, id: str) -> bool:
        """Return true while the upload exists with its part."""
        try:
            answer = self.boto.list_parts(Bucket=self.settings.bucket, Key=key, UploadId=id)
        except ClientError:
            return False
        return [part["PartNumber"] for part in answer.get("Parts", ())] == [1]

    def _tree(self, world: World) -> None:
        for entry in os.scandir(self.temp):
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path)
            elif entry.name != MARKER:
                Path(entry.path).unlink()
        self.victim.mkdir(exist_ok=True)
        (self.victim / "keep.txt").write_bytes(body("keep.txt"))
        for name in world.files:
            path = self.temp / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(body(name))
            if name in world.young:
                later = (utcnow() + YOUNG).timestamp()
                os.utime(path, (later, later))
        for name in world.links:
            (self.temp / name).symlink_to(self.victim / "keep.txt")

    def content(self, path: str) -> bytes | None:
        """Return the content at a path of the temp folder: a file's bytes or a link's target; else None."""
        place = self.temp / path
        try:
            return str(place.readlink()).encode() if place.is_symlink() else place.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None

    def rows(self) -> dict[str, str]:
        return {str(id): str(status) for id, status in self.sql("SELECT id, status FROM jobs")}

    def print(self) -> tuple[Any, ...]:
        """Return all state that a run with nothing to do leaves unchanged, with each row's ctid and xmin."""
        tables = " UNION ALL ".join(
            f"SELECT '{name}', count(*), string_agg(ctid || ' ' || xmin, ',' ORDER BY ctid) FROM {name}"
            for name in _STEADY
        )
        tree = sorted((str(path), path.lstat().st_ctime_ns) for path in self.temp.rglob("*"))
        return self.sql(tables), self.listing(), tree


_AGE: dict[str, str] = {}


def _send_age(params: dict[str, Any], **_: object) -> None:
    if "date" in _AGE:
        params["headers"]["X-Minio-Source-Mtime"] = _AGE["date"]


@contextmanager
def environment(settings: Settings, kind: str) -> Iterator[Environment]:
    """Open an environment on a place that is set up already."""
    boto = connect.endpoint(settings).boto()
    boto.meta.events.register("before-call.s3.PutObject", _send_age)
    url = make_url(settings.database_url).translate_connect_args(username="user", database="dbname")
    with ExitStack() as stack:
        database = psycopg2.connect(**url)
        database.autocommit = True
        stack.callback(database.close)
        stores = stack.enter_context(open_installation(settings))
        yield Environment(settings, kind, boto, database, stores)
