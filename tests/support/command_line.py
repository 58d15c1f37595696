"""Running the command line as an operator does, and snapshots of all that maintenance could harm."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from sqlalchemy import text

from storage import __main__, catalog
from storage.core.clock import utcnow
from storage.core.model import Run
from storage.core.ports import Stores
from storage.core.settings import Settings
from storage.engine import sweep
from storage.installation import open_installation
from storage.stores.postgres.connection import connect as connect_engine
from tests.conftest import Place

ROOT = Path(__file__).parents[2]
AHEAD = timedelta(seconds=50)  # within the allowed clock skew: an object made now has this age
HALF_A_MINUTE = {"hours_old": 1 / 120}  # the floor of the temp jobs
_OURS = ("STORAGE_", "MINIO_", "AWS_")
_REFUSALS = ("XMinioInvalidObjectName", "XMinioInvalidResourceName", "KeyTooLongError", "InvalidURI")


@dataclass(frozen=True)
class Answer:
    """Exit code and output of a command."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """The one JSON document on stdout; anything before or after it is an error."""
        return json.loads(self.out)


def environment(settings: Settings, **other: str) -> dict[str, str]:
    """Return STORAGE_ variables for the settings; ``other`` overrides settings by name."""
    values = {one.name: str(getattr(settings, one.name)) for one in fields(settings)} | other
    return {f"STORAGE_{name.upper()}": value for name, value in values.items()}


def bare() -> dict[str, str]:
    """Return this process's environment without any variable that configures a store."""
    return {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}


class Person:
    """Operator who runs commands in this process."""

    def __init__(self, patch: pytest.MonkeyPatch, screen: pytest.CaptureFixture[str]) -> None:
        self._patch, self._screen = patch, screen

    def sits_at(self, env: Mapping[str, str]) -> None:
        for name in set(os.environ) - set(bare()):
            self._patch.delenv(name)
        for name, value in env.items():
            self._patch.setenv(name, value)

    def __call__(self, *argv: str) -> Answer:
        self._screen.readouterr()
        try:
            code = __main__.main(argv)
        except SystemExit as left:  # raised by the parser on wrong usage
            code = int(left.code or 0)
        out, err = self._screen.readouterr()
        return Answer(code, out, err)


def shell(env: Mapping[str, str], *argv: str) -> Answer:
    """Run a command in a separate process."""
    done = subprocess.run(
        [sys.executable, "-m", "storage", *argv],
        env=bare() | env,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return Answer(done.returncode, done.stdout, done.stderr)


def everything(place: Place) -> dict[str, Any]:
    """Return all objects, temp files and rows; equal before and after means that nothing was harmed."""
    found: dict[str, Any] = {}
    for bucket in (place.settings.bucket, place.settings.backup_bucket):
        pages = place.boto.get_paginator("list_objects_v2").paginate(Bucket=bucket)
        found |= {f"s3 {bucket}/{o['Key']}": o["ETag"] for page in pages for o in page.get("Contents", ())}
    temp = Path(place.settings.temp_dir)
    found |= {f"file {path}": path.read_bytes() for path in temp.rglob("*") if path.is_file()}
    return found | {f"row {row[0]}": row for row in rows(place, "SELECT id, status, updated_at FROM jobs")}


def keys(place: Place, under: str = "") -> set[str]:
    pages = place.boto.get_paginator("list_objects_v2").paginate(Bucket=place.settings.bucket, Prefix=under)
    return {one["Key"] for page in pages for one in page.get("Contents", ())}


def rows(place: Place, statement: str) -> list[tuple[Any, ...]]:
    """Run and commit a statement on the place's database; return its rows."""
    engine = connect_engine(place.settings.database_url)
    with engine.begin() as session:
        result = session.execute(text(statement))
        found = [tuple(row) for row in result] if result.returns_rows else []
    engine.dispose()
    return found


def put_aged(place: Place, key: str, age: timedelta) -> None:
    """Store an object dated back by ``age``; only MinIO can do this."""
    moment = (utcnow() - age).strftime("%Y-%m-%dT%H:%M:%S.000Z")

    def date(params: dict[str, Any], **_: object) -> None:
        params["headers"]["X-Minio-Source-Mtime"] = moment

    events = place.boto.meta.events
    events.register("before-call.s3.PutObject", date)
    try:
        place.put(key)
    finally:
        events.unregister("before-call.s3.PutObject", date)


def put_if_taken(place: Place, key: str) -> bool:
    """Store an object with an unusual name; return whether the store accepts the name."""
    try:
        place.put(key)
    except ClientError as error:
        if error.response["Error"]["Code"] in _REFUSALS:
            return False
        raise
    return True


@contextmanager
def ahead(place: Place) -> Iterator[tuple[Stores, datetime]]:
    """Yield the stores, and an as-of at which objects made just now are old enough."""
    with open_installation(place.settings) as stores:
        yield stores, utcnow() + AHEAD


def run_ahead(place: Place, job: str, only_plan: bool = False, **params: float) -> Run:
    """Run a job, or only plan it, at an as-of at which objects made just now are old enough."""
    values = (HALF_A_MINUTE if "temp" in job else {}) | params
    with ahead(place) as (stores, as_of):
        return (sweep.plan if only_plan else sweep.run)(catalog.get(job), stores, as_of, values)
