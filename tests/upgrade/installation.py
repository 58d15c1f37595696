"""Installation for the maker of fixtures: PostgreSQL, MinIO, and a second MinIO as its remote tier."""

from __future__ import annotations

import gzip
import io
import json
import os
import secrets
import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from devstack import objectstore, postgres
from devstack.objectstore import ObjectStore
from devstack.stack import server_folder
from tests.support import remote_tier
from tests.support.command_line import environment
from tests.upgrade import database, product
from tests.upgrade.stored import Dates, Stored

COLD_RULES = "all cold=never; audio cold=90 smallest=1KiB; other codec=lz4"
TIERS = f"cold={remote_tier.TIER}"
NAME = {"LOGNAME": "maintainer"}  # the requester of runs, on any machine that makes a fixture


@dataclass
class Installation:
    """Servers, and an operator who maintains them by the command line."""

    settings: product.Settings
    server: postgres.Postgres
    cold: ObjectStore
    facts: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.boto = product.client(self.settings)
        self._dates = Dates(product.client(self.settings))
        self.now = datetime.now(UTC).replace(microsecond=0)

    def storage(self, *argv: str, code: int = 0, **other: str) -> Any:
        """Run a command; return its JSON document. ``other`` overrides settings by name."""
        screen = io.StringIO()
        os.environ.update(environment(self.settings, **other) | NAME)
        with redirect_stdout(screen):
            ended = product.main([*argv, "--json"])
        if ended != code:
            raise RuntimeError(f"storage {' '.join(argv)} ended with {ended}:\n{screen.getvalue()}")
        return json.loads(screen.getvalue()) if screen.getvalue() else None

    def sql(self, statement: str, values: Any = None) -> list[tuple[Any, ...]]:
        """Run a statement on the live database."""
        return database.execute(self.settings.database_url, statement, values)

    def job(self, id: str, status: str, days: float, **columns: Any) -> None:
        """Insert a row into the pipeline's jobs, last updated ``days`` ago."""
        when = self.now - timedelta(days=days)
        values = {"id": id, "status": status, "updated_at": when, "created_at": when, "api_key": "key-1"}
        if status == "completed":
            values |= {"completed_at": when}
        values |= columns
        names, marks = ", ".join(values), ", ".join(["%s"] * len(values))
        self.sql(f"INSERT INTO jobs ({names}) VALUES ({marks})", list(values.values()))

    def put(self, key: str, data: bytes, days: float, *, parts: tuple[int, ...] = ()) -> None:
        """Store an object dated back by ``days``, with headers, metadata and tags."""
        one = Stored(
            bucket=self.settings.bucket,
            key=key,
            etag="",
            modified=(self.now - timedelta(days=days)).isoformat(),
            carried={"ContentType": "a/b", "CacheControl": "max-age=5"},
            metadata={"made-by": "transcoder"},
            tags={"team": "video"},
            parts=parts,
        )
        self._dates.put(one, data)

    def file(self, path: str, data: bytes) -> None:
        """Write a temp file whose modification time is a whole second, which any archive can store."""
        whole = Path(self.settings.temp_dir) / path
        whole.parent.mkdir(parents=True, exist_ok=True)
        whole.write_bytes(data)
        when = (self.now - timedelta(days=2)).timestamp()
        os.utime(whole, (when, when))

    def run(self, *argv: str) -> str:
        """Run a maintenance job to its end; return the run's id."""
        reply = self.storage("run", *argv)["run"]
        assert reply["state"] == "verified", reply
        return str(reply["id"])

    def plan(self, *argv: str, code: int = 0) -> dict[str, Any]:
        """Plan a maintenance job; return the run for the facts."""
        return self._facts_of(self.storage("plan", *argv, code=code)["run"])

    def seen(self, run_id: str) -> dict[str, Any]:
        """Return a run by its id as :meth:`plan` does."""
        return self._facts_of(self.storage("runs", run_id)["run"])

    def _facts_of(self, run: dict[str, Any]) -> dict[str, Any]:
        """Return id, job, state, hash and the number of actions by verb, these as the plan file has them."""
        key = run["plan_uri"].removeprefix(f"s3://{self.settings.maintenance_bucket}/")
        body = self.boto.get_object(Bucket=self.settings.maintenance_bucket, Key=key)["Body"].read()
        verbs = Counter(json.loads(line)["verb"] for line in gzip.decompress(body).splitlines())
        reply = {name: run[name] for name in ("id", "job", "state", "plan_sha256")}
        return reply | {"verbs": dict(sorted(verbs.items()))}

    def let_time_pass(self) -> None:
        """Make all that is condemned due now, instead of waiting a day."""
        self.sql(
            "UPDATE maintenance.tombstones SET delete_after = now() - interval '1 hour'"
            " WHERE state = 'condemned'"
        )


@contextmanager
def installation(folder: Path, version: str) -> Iterator[Installation]:
    """Start the servers, with empty buckets and a database whose names no other test uses."""
    data = server_folder(folder)  # as root it is outside the folder, where the server's account can enter
    server = postgres.start(data, fsync=False)
    store = objectstore.start(
        "minio", folder / "minio", access_key="testaccesskey", secret_key=secrets.token_hex(16)
    )
    try:
        with remote_tier.second_minio(folder / "cold", store) as cold:
            yield Installation(_settings(server, store, folder, version), server, cold)
    finally:
        store.stop()
        server.stop()
        shutil.rmtree(data if data.is_relative_to(folder) else data.parent)


def _settings(server: postgres.Postgres, store: ObjectStore, folder: Path, version: str) -> product.Settings:
    password, name = secrets.token_hex(8), f"upgrade-{version.replace('.', '-')}"
    server.create_database("pipeline", "maintainer", password)
    temp = folder / "temp"
    temp.mkdir()
    (temp / ".transcode-flow-temp").touch()
    settings = product.Settings(
        endpoint_url=store.endpoint_url,
        access_key=store.access_key,
        secret_key=store.secret_key,
        region=store.region,
        database_url=server.dsn("pipeline", "maintainer", password),
        bucket=f"{name}-videos",
        maintenance_bucket=f"{name}-maintenance",
        backup_bucket=f"{name}-backups",
        temp_dir=str(temp),
        proof_server="same",
        cold_rules=COLD_RULES,
        tiers=TIERS,
    )
    for bucket in (settings.bucket, settings.maintenance_bucket, settings.backup_bucket):
        product.client(settings).create_bucket(Bucket=bucket)
    return settings
