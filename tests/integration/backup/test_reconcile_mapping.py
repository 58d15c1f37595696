"""Row copies from whichever table the view of the jobs shows, or a refusal."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine
from sqlalchemy.engine import make_url

from devstack.postgres import Postgres
from storage.backup.context import BackupContext
from storage.backup.restore.reconcile import decide, pending
from storage.core.errors import PipelineTableWrong
from storage.installation import open_installation
from storage.stores.postgres import connection
from storage.stores.postgres.migrate import migrate
from storage.stores.postgres.sqlfiles import folder
from tests.conftest import Place
from tests.support.restored_database import Keep, begin, copies

pytestmark = pytest.mark.parametrize("place", ["ministack"], indirect=True)
_OTHER = """
CREATE TYPE mood AS ENUM ('good', 'bad');
CREATE TABLE "Video %s:jobs" ("Job No" bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, serial uuid UNIQUE,
    state text, changed timestamptz, done timestamptz, error text, a text, b text, c text, d text, e text,
    f text, g text, how mood, raw bytea, tags text[], doc json, size numeric(12, 3),
    twice numeric GENERATED ALWAYS AS (size * 2) STORED, gone int, short varchar(3), span interval,
    "100%" int, counted int GENERATED ALWAYS AS IDENTITY);
ALTER TABLE "Video %s:jobs" DROP COLUMN gone;
INSERT INTO "Video %s:jobs" (state, changed, how, raw, tags, doc, size, short, span, "100%", serial)
SELECT 'completed', now() - interval '1 s', 'bad', '\\x00ff', ARRAY['a"b', NULL, '{'],
    '{"b":1,  "a":[1e400]}', 1.125, 'äöü', '1 mon -3 days', n, gen_random_uuid()
FROM generate_series(1, 3) AS n;
"""
_MAPPING = """
CREATE VIEW maintenance.jobs AS
SELECT "Job No"::text AS id, state AS status, changed AS updated_at, done AS completed_at,
    error AS error_message, a AS output_360p_path, b AS output_720p_path, c AS output_audio_path,
    d AS transcription_txt_path, e AS transcription_srt_path, f AS transcription_vtt_path,
    g AS transcription_json_path
FROM "Video %s:jobs";
"""


@pytest.fixture
def keep(engine: Engine, postgres_server: Postgres) -> Iterator[Keep]:
    with copies(engine, postgres_server) as copy:
        yield copy


@pytest.fixture
def context(place: Place) -> Iterator[BackupContext]:
    with open_installation(place.settings) as stores:
        yield BackupContext(stores=stores, settings=place.settings)


def raw(engine: Engine, script: str) -> None:
    with engine.begin() as session:
        session.connection.cursor().execute(script)


def remap(engine: Engine, files: Path, mapping: str) -> None:
    shutil.copytree(folder(), files, dirs_exist_ok=True)
    (files / "mapping.sql").write_text(mapping)
    migrate(engine, files)


@pytest.fixture
def other(context: BackupContext, engine: Engine, keep: Keep, tmp_path: Path) -> BackupContext:
    """Add a table with other names, types and columns; of three rows two are lost and one is older."""
    raw(engine, _OTHER)
    remap(engine, tmp_path / "sql", _MAPPING)
    name = keep()
    raw(engine, 'DELETE FROM "Video %s:jobs" WHERE "Job No" > 1')
    raw(
        engine,
        """UPDATE "Video %s:jobs" SET state = 'queued', size = 0, changed = now() - interval '3 days'""",
    )
    begin(context, context.stores.jobs.now(), name)
    return context


def test_a_table_under_other_names(other: BackupContext, engine: Engine, place: Place) -> None:
    """The table is found through the view; values of every type return unchanged, added columns stay."""
    raw(engine, """ALTER TABLE "Video %s:jobs" ADD COLUMN later text DEFAULT 'live'""")
    kept = json.loads(other.stores.control.read("restore_epoch") or "")["kept"]
    found = [(one.owner, one.row) for one in pending(other)]
    assert found == [("1", "older"), ("2", "missing"), ("3", "missing")]
    assert decide(other, ["1", "2", "3"], "adopt", "eva") == 3
    url = make_url(place.settings.database_url).set(database=kept)
    theirs = connection.connect(url.render_as_string(False))
    with theirs.connect() as session, engine.connect() as live:
        wanted = session.exec_driver_sql('SELECT * FROM "Video %%s:jobs" ORDER BY 1').all()
        there = live.exec_driver_sql('SELECT * FROM "Video %%s:jobs" ORDER BY 1').all()
        written = live.exec_driver_sql('SELECT doc::text FROM "Video %%s:jobs"').scalars().all()
    theirs.dispose()
    assert [tuple(row)[:-1] for row in there] == [tuple(row) for row in wanted]
    assert [row.later for row in there] == ["live"] * 3
    assert written == ['{"b":1,  "a":[1e400]}'] * 3


@pytest.mark.parametrize(
    ("mapping", "why"),
    [
        (_MAPPING.replace('"Job No"::text', "state"), "not a single unique column"),
        (_MAPPING.replace('"Job No"::text', "'v' || \"Job No\""), 'has another id in .*"Job No"'),
        (_MAPPING.replace(";", ' WHERE "Job No" IN (SELECT n FROM others);'), "exactly one table"),
    ],
)
def test_a_view_that_names_no_key_is_refused(
    context: BackupContext, engine: Engine, keep: Keep, tmp_path: Path, mapping: str, why: str
) -> None:
    raw(engine, _OTHER + "CREATE TABLE others AS SELECT n FROM generate_series(1, 3) AS n;")
    remap(engine, tmp_path / "sql", mapping)
    name = keep()
    begin(context, context.stores.jobs.now(), name)
    with pytest.raises(PipelineTableWrong, match=why):
        decide(context, [one.owner for one in pending(context)], "adopt", "eva")
    assert not [one for one in pending(context) if one.verdict]
