"""In-memory installation with a bucket to back up, and shorthands for the tests of metadata backups."""

from __future__ import annotations

import io
import json
from typing import Any

from storage.backup import manifest as manifests
from storage.backup.context import BackupContext
from storage.backup.encryption import unseal
from storage.backup.model import Backup, Manifest, MetadataFacts, Part
from storage.core.deletion import DeleteTarget
from storage.core.settings import Settings
from tests.support.in_memory import DAY, World

SETTINGS = Settings(endpoint_url="http://s3.example", access_key="key", secret_key="secret", database_url="")
Lines = list[dict[str, Any]]


def context_of(world: World) -> BackupContext:
    return BackupContext(stores=world.stores, settings=SETTINGS)


def fill(world: World, jobs: int, segments: int = 3) -> None:
    for number in range(jobs):
        folder = f"processed/job-{number:04}/"
        world.put(f"{folder}metadata.json", DAY, json.dumps({"job": number}).encode())
        for segment in range(segments):
            world.put(f"{folder}720p/segments/{segment:05}.ts", DAY)


def lose(world: World, *keys: str) -> None:
    """Delete the objects, as another client would."""
    infos = [info for info in map(world.objects._info, keys) if info]
    assert world.objects.delete([DeleteTarget(info.key, info.etag) for info in infos]) == []


def read(context: BackupContext, backup: Backup) -> Manifest:
    return manifests.read(backup.id, context.stores.backup_bucket)[0]


def facts(context: BackupContext, backup: Backup) -> MetadataFacts:
    return read(context, backup).metadata


def part_lines(context: BackupContext, part: Part) -> Lines:
    plain = io.BytesIO()
    with context.stores.backup_bucket.open(part.key) as stream:
        unseal(io.BytesIO(stream.read()), plain)
    return [json.loads(line) for line in plain.getvalue().splitlines()]
