"""Failing backups: a clear message with the next step, the right exit code, nothing left behind."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import pyrage
import pytest
from sqlalchemy.engine import make_url

from devstack.postgres import Postgres
from storage.backup.context import BackupContext
from storage.backup.database import backup_database
from storage.backup.errors import DumpFailed, EmptyDatabase, NoPostgresProgram, NoSuchBackup, NothingDumped
from storage.backup.model import BackupId
from storage.backup.postgres import dump as pg_dump
from storage.backup.postgres import programs
from storage.backup.prove import prove
from storage.core.errors import (
    AccessDenied,
    BucketMissing,
    ConfigError,
    StorageError,
    TransientFault,
    Unreachable,
)
from storage.stores.s3 import bucket as s3
from tests.conftest import Place
from tests.support.backup_databases import Bucket, database, execute, fill, opened, session

pytestmark = pytest.mark.parametrize("place", ["ministack"], indirect=True)
PART = 5 << 20  # bytes; the smallest part size that S3 accepts


@pytest.fixture
def context(place: Place) -> Iterator[BackupContext]:
    with opened(place.settings) as context:
        yield context


def with_encoding(context: BackupContext, **settings: str) -> BackupContext:
    return replace(context, settings=replace(context.settings, **settings))


def fails(
    context: BackupContext,
    place: Place,
    error: type[StorageError] | tuple[type[StorageError], ...],
    *words: str,
) -> StorageError:
    """Check that a backup fails with this error: no manifest, no open upload, and the row says why."""
    with pytest.raises(error) as answer:
        backup_database(context)
    for word in words:
        assert word in str(answer.value)
    nothing_left(context, place, str(answer.value))
    return answer.value


def nothing_left(context: BackupContext, place: Place, why: str) -> None:
    (row,) = context.stores.catalogue.all()
    assert (row.state, row.message) == ("failed", why)
    bucket = Bucket(place)
    assert not [key for key in bucket.keys if key.endswith("manifest.json")]
    assert bucket.uploads() == []
    assert list(context.stores.backup_uploads.open()) == []


def test_no_programs_at_all(context: BackupContext, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "PROGRAM_FOLDERS", ())
    monkeypatch.setattr(programs, "_wheel", list)
    monkeypatch.setenv("PATH", os.devnull)
    monkeypatch.delenv("PG_BINDIR", raising=False)
    error = fails(
        context, place, NoPostgresProgram, "pg_dump", "found: none", "postgresql-client-N", "PG_BINDIR"
    )
    assert error.exit_code == 2


@pytest.mark.parametrize(
    ("made", "words"),
    [
        ("CREATE TABLE secret (id int)", "permission denied for table secret"),
        ("CREATE SCHEMA s; CREATE TABLE s.t (i int)", "permission denied for schema s"),
        ("CREATE SEQUENCE numbers", "permission denied for sequence numbers"),
        (
            "CREATE TABLE parts_of (id int); GRANT SELECT ON parts_of TO maintainer; "
            "ALTER TABLE parts_of ENABLE ROW LEVEL SECURITY",
            'table "parts_of"',
        ),
    ],
    ids=["table", "schema", "sequence", "rows"],
)
def test_what_the_role_may_not_read(
    context: BackupContext, place: Place, postgres_server: Postgres, made: str, words: str
) -> None:
    """A silent omission would be noticed only at the restore. The dump or the reader may fail first."""
    name = make_url(context.settings.database_url).database
    with postgres_server.connect(name or "") as one, one.cursor() as cursor:
        cursor.execute(made)
    fails(context, place, (AccessDenied, DumpFailed), words)


def test_no_bucket(context: BackupContext, place: Place) -> None:
    lost = replace(place.settings, backup_bucket="no-such-bucket")
    with opened(lost) as there, pytest.raises(BucketMissing, match="no-such-bucket") as answer:
        backup_database(there)
    assert answer.value.exit_code == 6
    nothing_left(context, place, str(answer.value))


def test_no_database(context: BackupContext, place: Place) -> None:
    gone = make_url(context.settings.database_url).set(port=1).render_as_string(hide_password=False)
    assert fails(with_encoding(context, database_url=gone), place, Unreachable).exit_code == 6


def test_the_wrong_password(context: BackupContext, place: Place) -> None:
    url = make_url(context.settings.database_url).set(password="wr:o\\ng")
    wrong = url.render_as_string(hide_password=False)
    assert "wr:o" not in str(
        fails(with_encoding(context, database_url=wrong), place, AccessDenied, "password")
    )


def test_a_password_of_strange_characters(context: BackupContext, postgres_server: Postgres) -> None:
    strange = r"p:a\s s@'\"%é"
    with postgres_server.connect() as one, one.cursor() as cursor:
        cursor.execute("CREATE ROLE stranger LOGIN SUPERUSER PASSWORD %s", [strange])
    try:
        url = make_url(context.settings.database_url).set(username="stranger", password=strange)
        taken = backup_database(
            with_encoding(context, database_url=url.render_as_string(hide_password=False))
        )
        assert taken.state == "complete"
    finally:
        with postgres_server.connect() as one, one.cursor() as cursor:
            cursor.execute("DROP ROLE stranger")


def test_a_database_without_a_table(context: BackupContext, place: Place, postgres_server: Postgres) -> None:
    with database(postgres_server, "bare") as url:
        fails(
            with_encoding(context, database_url=url), place, EmptyDatabase, "'bare'", "STORAGE_DATABASE_URL"
        )


def test_wrong_recipients(context: BackupContext) -> None:
    key = str(pyrage.x25519.Identity.generate())
    for words in ("age1nonsense", "ssh-rsa AAAA", key):
        with pytest.raises(ConfigError, match="no age recipient") as answer:
            backup_database(with_encoding(context, backup_recipients=words))
        assert answer.value.exit_code == 2
        assert key not in str(answer.value)
    assert context.stores.catalogue.all() == []


def test_a_wrong_identity_file(context: BackupContext, tmp_path: Path) -> None:
    key = pyrage.x25519.Identity.generate()
    taken = backup_database(with_encoding(context, backup_recipients=str(key.to_public())))
    for name, data in (
        ("public", str(key.to_public()).encode()),
        ("cut", str(key)[:-3].encode()),
        ("no", b"\xff"),
    ):
        (tmp_path / name).write_bytes(data)
    for name in ("missing", "public", "cut", "no", "."):
        with pytest.raises(ConfigError, match="STORAGE_BACKUP_IDENTITY_FILE") as answer:
            prove(with_encoding(context, backup_identity_file=str(tmp_path / name)), taken.id)
        assert answer.value.exit_code == 2
        assert str(key)[:-3] not in str(answer.value)
    assert context.stores.catalogue.get(taken.id).state == "complete"  # type: ignore[union-attr]


def test_an_unknown_backup(context: BackupContext) -> None:
    with pytest.raises(NoSuchBackup, match="20260131T030000Z-0a1b2c3d.*storage backup list") as answer:
        prove(context, BackupId("20260131T030000Z-0a1b2c3d"))
    assert answer.value.exit_code == 2


@contextmanager
def stuck(context: BackupContext) -> Iterator[Future[object]]:
    """Start a backup that blocks because another session holds a table."""
    url = context.settings.database_url
    with session(url) as holder, holder.cursor() as cursor, ThreadPoolExecutor(1) as pool:
        holder.autocommit = False
        cursor.execute("LOCK TABLE jobs")
        backup: Future[object] = pool.submit(backup_database, context)
        try:
            until(lambda: bool(execute(url, LOCKING)))
            yield backup
        finally:
            holder.rollback()


LOCKING = """SELECT pid FROM pg_stat_activity
    WHERE query LIKE 'LOCK TABLE%ACCESS SHARE%' AND wait_event_type = 'Lock'
    AND datname = current_database()"""


def until(holds: Callable[[], bool], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.02)


def dumping() -> list[int]:
    """Return the ids of this process's children that are pg_dump."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
            parent = (entry / "stat").read_text().rpartition(")")[2].split()[1]
        except OSError:
            continue
        if words[0].endswith(b"/pg_dump") and parent == str(os.getpid()):
            found.append(int(entry.name))
    return found


def test_its_session_is_ended(context: BackupContext, place: Place) -> None:
    """The failure is reported at once, and the next backup works."""
    with stuck(context) as backup:
        execute(context.settings.database_url, LOCKING.replace("pid", "pg_terminate_backend(pid)", 1))
        with pytest.raises((Unreachable, TransientFault)) as answer:
            backup.result(10)
    nothing_left(context, place, str(answer.value))
    assert answer.value.transient
    assert backup_database(context).state == "complete"


@pytest.mark.parametrize(("kills", "state"), [(2, "complete"), (3, "failed")])
def test_pg_dump_is_killed_before_it_begins(
    context: BackupContext, monkeypatch: pytest.MonkeyPatch, kills: int, state: str
) -> None:
    """Nothing was dumped yet, so it is tried again, three times in all. It waits behind a queued lock."""
    url, dump, killed = context.settings.database_url, pg_dump.dump, list[int]()

    @contextmanager
    def dumped(*args: Any) -> Iterator[BinaryIO]:
        if len(killed) == kills:
            with dump(*args) as stream:
                yield stream
            return
        pool.submit(execute, url, "BEGIN; LOCK TABLE jobs IN ACCESS EXCLUSIVE MODE; COMMIT")
        until(lambda: bool(execute(url, LOCKING.replace("LOCK TABLE%ACCESS SHARE", "BEGIN%EXCLUSIVE"))))
        with dump(*args) as stream:
            until(lambda: bool(execute(url, LOCKING)))
            killed.append(dumping()[0])
            os.kill(killed[-1], signal.SIGKILL)
            yield stream

    monkeypatch.setattr(pg_dump, "dump", dumped)
    with ThreadPoolExecutor(1) as pool:
        if state == "complete":
            backup_database(context)
        else:
            with pytest.raises(NothingDumped, match=r"pg_dump could not begin.*ended with -9"):
                backup_database(context)
    assert (len(killed), [one.state for one in context.stores.catalogue.all()]) == (kills, [state])


@pytest.mark.parametrize("ending", [signal.SIGKILL, KeyboardInterrupt])
def test_it_ends_in_the_middle_of_an_upload(
    context: BackupContext,
    place: Place,
    monkeypatch: pytest.MonkeyPatch,
    ending: signal.Signals | type[BaseException],
) -> None:
    monkeypatch.setattr(s3, "PART", PART)
    fill(context.settings.database_url, "noise", 6)
    seen: list[str] = []

    def ended(_: str, mib: int) -> None:
        if mib < 18 or seen:
            return
        seen.extend(Bucket(place).uploads())
        if isinstance(ending, signal.Signals):
            os.kill(dumping()[0], ending)
        else:
            raise ending

    error = DumpFailed if isinstance(ending, signal.Signals) else ending
    with pytest.raises(error) as answer:
        backup_database(context, ended)
    assert len(seen) == 1, "the upload had begun"
    nothing_left(context, place, str(answer.value) or "KeyboardInterrupt")
    assert Bucket(place).keys == []
