"""Proof: only restoring and comparing distinguishes a valid dump of other contents from the original."""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pyrage
import pytest

from devstack.postgres import Postgres
from storage.backup import manifest as manifests
from storage.backup.context import BackupContext
from storage.backup.database import backup_database
from storage.backup.encryption import seal, unseal
from storage.backup.errors import BackupDamaged, NoKey, NotProven
from storage.backup.model import Backup
from storage.backup.postgres import dump as pg_dump
from storage.backup.postgres import fingerprint
from storage.backup.prove import prove
from tests.conftest import Place
from tests.support.backup_databases import Bucket, database, execute, opened, role, sealed_to, verified

pytestmark = pytest.mark.parametrize("place", ["ministack"], indirect=True)


@pytest.fixture
def bucket(place: Place) -> Bucket:
    return Bucket(place)


def sealed_dump(url: str) -> bytes:
    """Return a dump of the database's current state, in the form that a part holds."""
    out = io.BytesIO()
    with fingerprint.snapshot(url) as (name, first, _), pg_dump.dump(url, first.major, name) as stream:
        seal(stream, out)
    return out.getvalue()


def forge(context: BackupContext, bucket: Bucket, taken: Backup, dump: bytes) -> None:
    """Replace a backup's dump and recompute every hash, including the catalogue's."""
    manifest, _ = manifests.read(taken.id, context.stores.backup_bucket)
    part = replace(manifest.part("dump"), size=len(dump), sha256=hashlib.sha256(dump).hexdigest())
    forged = manifests.encode(replace(manifest, parts=(part, manifest.part("globals"))))
    bucket.put(part.key, dump)
    bucket.put(manifest.key, forged)
    context.stores.catalogue.save(replace(taken, manifest_sha256=hashlib.sha256(forged).hexdigest()))
    verified(context, taken.id)


SUBJECT = (
    "CREATE TABLE jobs AS SELECT format('job-%s', n) AS id FROM generate_series(100, 199) AS n",
    "CREATE TABLE other AS SELECT 1 AS id",
    "CREATE SEQUENCE tickets",
    "SELECT nextval('tickets') FROM generate_series(1, 9)",
    "SELECT lo_from_bytea(4711, 'abc')",
)
OTHERWISE = {
    "UPDATE jobs SET id = 'job-l99' WHERE id = 'job-199'": "public.jobs has 100 rows, but different content",
    "DELETE FROM jobs WHERE id = 'job-199'": "public.jobs has 99 rows, not 100",
    "INSERT INTO jobs VALUES (NULL)": "public.jobs has 101 rows, not 100",
    "INSERT INTO jobs SELECT * FROM jobs; TRUNCATE other": "2 differences .* public.jobs has 200 rows",
    "ALTER TABLE jobs ADD COLUMN more int": "public.jobs has 100 rows, but different content",
    "ALTER TABLE jobs RENAME TO works": "public.jobs is missing",
    "CREATE TABLE extra ()": "public.extra is unexpected",
    "SELECT lo_put(4711, 0, 'b')": "large objects has 1 rows, but different content",
    "SELECT setval('tickets', 8)": "sequence public.tickets is behind",
    "DROP TABLE jobs, other; DROP SEQUENCE tickets; SELECT lo_unlink(4711)": "4 differences",
}


@pytest.fixture
def subject(place: Place, postgres_server: Postgres) -> Iterator[BackupContext]:
    """Yield a context for a database without the catalogue, proven on the same server, which is fast."""
    with (
        role(postgres_server, "builder", "CREATEDB"),
        database(postgres_server, "subject", owner="builder") as url,
        opened(place.settings) as context,
    ):
        execute(url, *SUBJECT)
        yield replace(context, settings=replace(context.settings, database_url=url, proof_server="same"))


def test_a_valid_dump_of_something_else_is_not_proven(
    subject: BackupContext, bucket: Bucket, postgres_server: Postgres
) -> None:
    """Every hash is right: only restoring and comparing finds the difference; the error names the table."""
    taken = backup_database(subject)
    for statement, why in OTHERWISE.items():
        with database(postgres_server, "altered", owner="builder", template="subject") as altered:
            execute(altered, statement)
            forge(subject, bucket, taken, sealed_dump(altered))
        with pytest.raises(NotProven, match=why):
            prove(subject, taken.id)
        kept = subject.stores.catalogue.get(taken.id)
        assert kept and kept.state == "failed" and re.search(why, kept.message)
    forge(subject, bucket, taken, sealed_dump(subject.settings.database_url))
    assert prove(subject, taken.id).state == "proven"


def test_a_dump_that_does_not_restore_is_damaged(subject: BackupContext, bucket: Bucket) -> None:
    taken = backup_database(subject)
    sealed, plain = sealed_dump(subject.settings.database_url), io.BytesIO()
    unseal(io.BytesIO(sealed), plain)
    broken = [plain.getvalue()[: len(plain.getvalue()) // 2], b"", b"no dump", b"PGDMP" + bytes(100)]
    for stored in (*map(sealed_bytes, broken), sealed[: len(sealed) // 2], sealed[:-1], b"", b"no zstd"):
        forge(subject, bucket, taken, stored)
        with pytest.raises(BackupDamaged, match="does not restore|does not decompress"):
            prove(subject, taken.id)


def sealed_bytes(plain: bytes) -> bytes:
    out = io.BytesIO()
    seal(io.BytesIO(plain), out)
    return out.getvalue()


def test_only_the_keys_of_a_recipient_open_a_backup(subject: BackupContext, tmp_path: Path) -> None:
    """The key of any one recipient opens it; without such a key the backup keeps its state."""
    first, second, strange = (pyrage.x25519.Identity.generate() for _ in range(3))
    for name, key in (("second", second), ("strange", strange)):
        (tmp_path / name).write_text(f"# public key: {key.to_public()}\n{key}\n")
    taken = backup_database(sealed_to(subject, first, second)).id
    for file in ("", str(tmp_path / "strange")):
        with pytest.raises(NoKey, match="encrypted and cannot be opened") as answer:
            prove(sealed_to(subject, first, opened_by=file), taken)
        assert answer.value.exit_code == 2
        assert subject.stores.catalogue.get(taken).state == "complete"  # type: ignore[union-attr]
    assert prove(sealed_to(subject, opened_by=str(tmp_path / "second")), taken).state == "proven"
