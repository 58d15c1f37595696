"""An independent witness: records objects, files and rows, and compares two such snapshots.

    python -m devstack.witness snapshot FILE
    python -m devstack.witness compare BEFORE AFTER [--json]

It shares no code with the platform it watches (nothing from `storage`, and another S3 client), and reads
every object and every file in full, so it does not repeat an error of the platform. `compare` exits with 0
if the snapshots are equal and with 3 if they differ.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import stat
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from sqlalchemy import create_engine

THREADS = 16
TABLES = {"jobs": "id", "api_keys": "key_hash"}
DIFFERENT = 3


@dataclass(frozen=True)
class ObjectState:
    """An object: the sha256 of its bytes, and the metadata that the store reports."""

    size: int
    sha256: str
    etag: str
    last_modified: str


@dataclass(frozen=True)
class FileState:
    """An entry of the temp folder; links are not followed."""

    kind: str
    size: int
    sha256: str
    target: str


@dataclass(frozen=True)
class Snapshot:
    """All objects, files and rows at one moment. Paths that are not UTF-8 contain surrogate escapes.

    `outside` holds the folder beside the temp folder to which the sample's links point.
    """

    objects: Mapping[str, ObjectState]
    files: Mapping[str, FileState]
    outside: Mapping[str, FileState]
    rows: Mapping[str, Mapping[str, tuple[str | None, ...]]]
    columns: Mapping[str, tuple[str, ...]]

    def save(self, path: Path) -> None:
        """Write the snapshot as JSON (ASCII, so that surrogate escapes survive)."""
        path.write_text(json.dumps(asdict(self), indent=0, sort_keys=True))


@dataclass(frozen=True)
class Changes:
    """Differences of two snapshots; names are sorted, rows are `table:key`. `rows_changed` adds columns."""

    objects_removed: tuple[str, ...] = ()
    objects_added: tuple[str, ...] = ()
    objects_changed: tuple[str, ...] = ()
    files_removed: tuple[str, ...] = ()
    files_added: tuple[str, ...] = ()
    files_changed: tuple[str, ...] = ()
    outside_changed: tuple[str, ...] = ()
    rows_removed: tuple[str, ...] = ()
    rows_added: tuple[str, ...] = ()
    rows_changed: tuple[tuple[str, tuple[str, ...]], ...] = ()

    def __bool__(self) -> bool:
        return any(getattr(self, field.name) for field in fields(self))


def read_snapshot(path: Path) -> Snapshot:
    """Read a snapshot written by Snapshot.save."""
    value = json.loads(path.read_text())
    return Snapshot(
        objects={key: ObjectState(**state) for key, state in value["objects"].items()},
        files={name: FileState(**state) for name, state in value["files"].items()},
        outside={name: FileState(**state) for name, state in value["outside"].items()},
        rows={table: {key: tuple(row) for key, row in rows.items()} for table, rows in value["rows"].items()},
        columns={table: tuple(names) for table, names in value["columns"].items()},
    )


def snapshot(env: Mapping[str, str]) -> Snapshot:
    """Read the bucket, the temp folder and the tables that `env` names (STORAGE_*)."""
    temp = Path(env["STORAGE_TEMP_DIR"])
    rows, columns = read_rows(env["STORAGE_DATABASE_URL"])
    return Snapshot(
        objects=read_objects(env),
        files=read_files(temp),
        outside=read_files(temp.with_name(temp.name + ".outside")),
        rows=rows,
        columns=columns,
    )


def read_objects(env: Mapping[str, str]) -> dict[str, ObjectState]:
    """Read and hash every object of the bucket."""
    client = boto3.client(
        "s3",
        endpoint_url=env["STORAGE_ENDPOINT_URL"],
        region_name=env.get("STORAGE_REGION") or "us-east-1",
        aws_access_key_id=env["STORAGE_ACCESS_KEY"],
        aws_secret_access_key=env["STORAGE_SECRET_KEY"],
        config=Config(s3={"addressing_style": "path"}, max_pool_connections=THREADS),
    )
    bucket = env["STORAGE_BUCKET"]

    def read(listed: Any) -> tuple[str, ObjectState]:
        digest = hashlib.sha256()
        for chunk in client.get_object(Bucket=bucket, Key=listed["Key"])["Body"].iter_chunks(1 << 20):
            digest.update(chunk)
        moment = listed["LastModified"].isoformat()
        return listed["Key"], ObjectState(listed["Size"], digest.hexdigest(), listed["ETag"], moment)

    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket)
    listing = [item for page in pages for item in page.get("Contents", [])]
    with ThreadPoolExecutor(THREADS) as pool:
        return dict(pool.map(read, listing))


def read_files(folder: Path) -> dict[str, FileState]:
    """Read every entry below the folder by relative path, `.condemned/` included; links are not followed."""
    if not folder.is_dir():
        return {}
    return {str(path.relative_to(folder)): _file(path) for path in _walk(folder)}


def _walk(folder: Path) -> Iterator[Path]:
    with os.scandir(folder) as entries:
        found = sorted(entries, key=lambda entry: os.fsencode(entry.name))
    for entry in found:
        yield Path(entry.path)
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(Path(entry.path))


def _file(path: Path) -> FileState:
    state = path.lstat()
    if stat.S_ISREG(state.st_mode):
        return FileState("file", state.st_size, _digest(path), "")
    if stat.S_ISLNK(state.st_mode):
        return FileState("symlink", 0, "", os.fspath(path.readlink()))
    # A folder's size depends on the file system, and a pipe must not be opened: reading it would block.
    kind = "dir" if stat.S_ISDIR(state.st_mode) else "fifo" if stat.S_ISFIFO(state.st_mode) else "other"
    return FileState(kind, 0, "", "")


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_rows(
    url: str,
) -> tuple[dict[str, dict[str, tuple[str | None, ...]]], dict[str, tuple[str, ...]]]:
    """Read every row of jobs and api_keys as text by its key, and the names of the columns."""
    rows: dict[str, dict[str, tuple[str | None, ...]]] = {}
    columns: dict[str, tuple[str, ...]] = {}
    engine = create_engine(url)
    try:
        with engine.connect() as connection:
            connection.exec_driver_sql("SET TIME ZONE 'UTC'")
            for table, key in TABLES.items():
                result = connection.exec_driver_sql(f"SELECT {key} AS witness_key, * FROM {table}")
                columns[table] = tuple(result.keys())[1:]
                rows[table] = {
                    row[0]: tuple(None if cell is None else str(cell) for cell in row[1:]) for row in result
                }
    finally:
        engine.dispose()
    return rows, columns


def compare(before: Snapshot, after: Snapshot) -> Changes:
    """Compare two snapshots; a new modification time of an object counts as a change."""
    objects = _diff(before.objects, after.objects)
    files = _diff(before.files, after.files)
    outside = _diff(before.outside, after.outside)
    old, new = _flat(before), _flat(after)
    rows = _diff(old, new)
    return Changes(
        objects_removed=objects[0],
        objects_added=objects[1],
        objects_changed=objects[2],
        files_removed=files[0],
        files_added=files[1],
        files_changed=files[2],
        outside_changed=tuple(sorted({*outside[0], *outside[1], *outside[2]})),
        rows_removed=rows[0],
        rows_added=rows[1],
        rows_changed=tuple((key, _differing(old[key], new[key])) for key in rows[2]),
    )


def _diff(
    before: Mapping[str, object], after: Mapping[str, object]
) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    both = before.keys() & after.keys()
    return (
        tuple(sorted(before.keys() - after.keys())),
        tuple(sorted(after.keys() - before.keys())),
        tuple(sorted(key for key in both if before[key] != after[key])),
    )


def _flat(record: Snapshot) -> dict[str, dict[str, str | None]]:
    """Return rows by `table:key` with cells by column name, so that a new column is recognised."""
    return {
        f"{table}:{key}": dict(zip(record.columns[table], row, strict=True))
        for table, rows in record.rows.items()
        for key, row in rows.items()
    }


def _differing(before: Mapping[str, str | None], after: Mapping[str, str | None]) -> tuple[str, ...]:
    names = [*before, *(name for name in after if name not in before)]
    absent = object()  # a missing column differs from one that holds NULL
    return tuple(name for name in names if before.get(name, absent) != after.get(name, absent))


def _print(changes: Changes) -> None:
    for field in fields(changes):
        values = getattr(changes, field.name)
        print(f"{field.name:16} {len(values)}")
        for value in values[:20]:
            print(f"  {ascii(value)}")  # names may contain newlines and undecodable bytes
        if len(values) > 20:
            print(f"  ... and {len(values) - 20} more; --json prints all")


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m devstack.witness", description="Record and compare.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("snapshot").add_argument("file", type=Path)
    comparing = commands.add_parser("compare")
    comparing.add_argument("before", type=Path)
    comparing.add_argument("after", type=Path)
    comparing.add_argument("--json", action="store_true")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    options = _arguments(arguments)
    if options.command == "snapshot":
        record = snapshot(os.environ)
        record.save(options.file)
        counts = {table: len(rows) for table, rows in record.rows.items()}
        print(f"{len(record.objects)} objects, {len(record.files)} temp entries, rows {counts}")
        return 0
    changes = compare(read_snapshot(options.before), read_snapshot(options.after))
    if options.json:
        print(json.dumps(asdict(changes), indent=2))
    else:
        _print(changes)
    return DIFFERENT if changes else 0


if __name__ == "__main__":
    sys.exit(main())
