"""Restoring a backup without this platform: by the commands of the README, with standard tools only."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import pyrage
import pytest
from sqlalchemy.engine import make_url

from devstack import tools
from devstack.errors import DevstackError
from devstack.go_build import AGE
from devstack.postgres import Postgres
from storage.backup import manifest as manifests
from storage.backup.context import BackupContext
from storage.backup.database import backup_database
from storage.backup.model import DatabaseFacts
from storage.backup.postgres import fingerprint
from storage.backup.postgres import programs as pg_programs
from storage.backup.prove import differences
from tests.conftest import Place, missing
from tests.support.backup_databases import Bucket, database, execute, opened

IN_ONE = (
    "set -o pipefail; age -d -i KEY dump.zst.age | zstd -dc | "
    "pg_restore --exit-on-error --single-transaction -d NEW"
)
CHECK = "sha256sum -c dump.sha256"
LARGE = (
    "age -d -i KEY -o dump.zst dump.zst.age",
    "zstd -d dump.zst -o dump",
    "pg_restore -j2 --exit-on-error -d NEW dump",
)
ROLES = "set -o pipefail; age -d -i KEY globals.zst.age | zstd -dc"

pytestmark = pytest.mark.parametrize("place", ["ministack"], indirect=True)


def lacking(name: str, why: str) -> NoReturn:
    """Skip the test and have the summary say why; in CI that fails the run."""
    missing[name] = f"no {name}: {why}"
    pytest.skip(missing[name])


@pytest.fixture(scope="module")
def search_path() -> str:
    """Return the PATH for the commands, with age and zstd."""
    if shutil.which("zstd") is None:
        lacking("zstd", "install it (Debian: zstd)")
    try:
        age = tools.bring(AGE).path
    except DevstackError as error:
        lacking("age", str(error))
    assert age
    return os.pathsep.join([str(age.parent), os.environ["PATH"]])


class AdminConnection:
    """A folder with the files that an operator fetched, and a shell configured to reach the server."""

    def __init__(self, folder: Path, env: Mapping[str, str]) -> None:
        self.folder, self._env = folder, env

    def run(self, command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", "-c", command], cwd=self.folder, env=self._env, capture_output=True, text=True,
            timeout=120, check=False,
        )  # fmt: skip

    def does(self, command: str) -> str:
        done = self.run(command)
        assert done.returncode == 0, f"{command}: {done.stderr}"
        return done.stdout


@pytest.fixture
def context(place: Place, tmp_path: Path) -> Iterator[BackupContext]:
    key = pyrage.x25519.Identity.generate()
    (tmp_path / "KEY").write_text(f"# created: today\n# public key: {key.to_public()}\n{key}\n")
    settings = replace(place.settings, backup_recipients=str(key.to_public()))
    execute(
        place.settings.database_url, "INSERT INTO jobs (id) SELECT 'job-' || g FROM generate_series(1, 500) g"
    )
    execute(place.settings.database_url, "SELECT lo_from_bytea(0, 'abc')")
    with opened(settings) as context:
        yield context


@pytest.fixture
def admin(context: BackupContext, place: Place, tmp_path: Path, search_path: str) -> AdminConnection:
    """Write the parts of a backup to files, with the dump's hash as its manifest states it."""
    taken = backup_database(context)
    manifest, _ = manifests.read(taken.id, context.stores.backup_bucket)
    for part in manifest.parts:
        (tmp_path / Path(part.key).name).write_bytes(Bucket(place).get(part.key))
    (tmp_path / "dump.sha256").write_text(f"{manifest.part('dump').sha256}  dump.zst.age\n")
    url, programs = (
        make_url(context.settings.database_url),
        pg_programs.client("pg_restore", manifest.database.major),
    )
    login = {"PGHOST": url.host, "PGPORT": str(url.port), "PGUSER": url.username, "PGPASSWORD": url.password}
    return AdminConnection(
        tmp_path, {"PATH": f"{programs.parent}{os.pathsep}{search_path}", "LANG": "C.UTF-8", **login}
    )  # type: ignore[dict-item]


def facts_of(context: BackupContext) -> DatabaseFacts:
    """Return the facts of the only backup, as its manifest states them."""
    (taken,) = context.stores.catalogue.all()
    return manifests.read(taken.id, context.stores.backup_bucket)[0].database


def test_restored_as_a_stream(
    context: BackupContext, admin: AdminConnection, postgres_server: Postgres
) -> None:
    assert admin.does(CHECK) == "dump.zst.age: OK\n"
    with database(postgres_server, "plain_stream") as url:
        admin.does(IN_ONE.replace("NEW", "plain_stream"))
        assert differences(facts_of(context), fingerprint.facts(url)) == []
    roles = admin.does(ROLES)
    assert "CREATE ROLE maintainer" in roles
    assert "PASSWORD" not in roles


def test_restored_by_two_workers_from_a_file(
    context: BackupContext, admin: AdminConnection, postgres_server: Postgres
) -> None:
    with database(postgres_server, "plain_file") as url:
        for command in LARGE:
            admin.does(command.replace("NEW", "plain_file"))
        assert differences(facts_of(context), fingerprint.facts(url)) == []


def test_the_tools_refuse_what_is_damaged(admin: AdminConnection, postgres_server: Postgres) -> None:
    """A damaged dump restores nothing: one transaction, and a pipe that fails when its first program does."""
    whole = (admin.folder / "dump.zst.age").read_bytes()
    with database(postgres_server, "plain_damaged") as url:
        for broken in (whole[: len(whole) // 2], whole[:-1], b""):
            (admin.folder / "dump.zst.age").write_bytes(broken)
            assert admin.run(CHECK).returncode
            assert admin.run(IN_ONE.replace("NEW", "plain_damaged")).returncode
        assert fingerprint.facts(url).tables == ()
