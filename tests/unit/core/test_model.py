"""Core types: valid names, and the round trip of every action through a plan line."""

from __future__ import annotations

from dataclasses import fields
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.backup.actions import PruneBackup
from storage.cold.actions.compress import CompressObject
from storage.cold.actions.follow import FollowObject
from storage.cold.actions.transition import TransitionObject
from storage.core.errors import InvalidName
from storage.core.model import (
    BucketName,
    JobId,
    ObjectKey,
    Prefix,
    Totals,
    owner_of,
    path_bytes,
    path_text,
    printable,
)
from storage.engine.actions import (
    AbortUpload,
    Action,
    CondemnFile,
    CondemnJob,
    CondemnObject,
    DeleteObject,
    FailJob,
    ReapFile,
    ReapJob,
    ReapObject,
    RemoveFolder,
    decode,
    encode,
)
from storage.records.actions import PruneLog, PruneRows, PruneRun
from tests.support.runs import VERBS

T = datetime(2026, 3, 1, 12, 30, 15, 123456, tzinfo=UTC)
KEY = 'temp/it\'s "é" 😀\n%2F+&<>/e\u0301 \x7f'
NO_NUL = st.lists(st.integers(1, 255)).map(bytes)


@pytest.mark.parametrize("value", ["temp/", "a/b/", "temp/job 1/", "jobs/é/", "a/.../", "*/"])
def test_prefix_is_a_folder(value: str) -> None:
    assert Prefix(value) == value


@pytest.mark.parametrize("value", ["", "/", "temp", "/temp/", "a//", "a//b/", "./", "../", "a/../b/", "a/./"])
def test_prefix_is_nothing_else(value: str) -> None:
    with pytest.raises(InvalidName, match="prefix"):
        Prefix(value)


def test_object_key_is_never_normalised() -> None:
    for value in ("a//b", "../up", "dir/", " ", "/", "e\u0301"):
        assert ObjectKey(value) == value
    with pytest.raises(InvalidName):
        ObjectKey("")


@pytest.mark.parametrize("value", ["a", "42", "job 1", "é" * 127, ".hidden", "..."])
def test_job_id_is_one_path_segment(value: str) -> None:
    assert JobId(value) == value


@pytest.mark.parametrize("value", ["", ".", "..", "a/b", "/", "é" * 128])
def test_job_id_is_nothing_else(value: str) -> None:
    with pytest.raises(InvalidName, match="job id"):
        JobId(value)


def test_bucket_name() -> None:
    assert BucketName("abc") == "abc"
    for value in ("ab", "a" * 64, "a/bc"):
        with pytest.raises(InvalidName):
            BucketName(value)


@pytest.mark.parametrize(
    ("key", "owner"),
    [
        ("temp/job-1/a.ts", "job-1"),
        ("temp/job-1/deep/a.ts", "job-1"),
        ("temp/job-1/", "job-1"),
        ("temp/loose.tmp", None),
        ("temp/", None),
        ("temp//a.ts", None),
        ("temp/../a.ts", None),
        ("tempo/job-1/a.ts", None),
        ("uploads/temp/job-1/a.ts", None),
    ],
)
def test_owner_of(key: str, owner: str | None) -> None:
    assert owner_of(key, Prefix("temp/")) == owner


@given(NO_NUL)
def test_path_text_round_trip(path: bytes) -> None:
    text = path_text(path)
    assert path_bytes(text) == path
    assert text.isprintable()
    text.encode()


@given(NO_NUL, NO_NUL)
def test_path_text_keeps_paths_apart(one: bytes, other: bytes) -> None:
    assert (path_text(one) == path_text(other)) == (one == other)


def test_path_text_leaves_readable_names_alone() -> None:
    assert path_text("a b/é😀.ts".encode()) == "a b/é😀.ts"
    assert path_text(b"100%\n\xff") == "100%25%0A%FF"


def test_printable_cannot_forge_a_line() -> None:
    assert printable("a\nOK\x1b[31m é") == "a\\nOK\\x1b[31m é"


def test_totals_add_and_subtract() -> None:
    assert Totals(3, 30) + Totals(1, 5) - Totals(2, 20) == Totals(2, 15)
    assert sum([Totals(1, 2)] * 3, Totals()) == Totals(3, 6)


ACTIONS: list[Action] = [
    DeleteObject(
        key=KEY, size=1 << 50, etag="ab-3", last_modified=T, reason="é\n", owner="j", owner_updated_at=T
    ),
    DeleteObject(key=KEY, size=0, etag="", last_modified=T, reason=""),
    CondemnObject(
        key=KEY,
        size=2,
        etag="ab",
        last_modified=T,
        delete_after=T + timedelta(days=1),
        notice_seconds=86400.0,
        reason="r",
        owner="j",
        owner_updated_at=T,
        goes_with_job=True,
    ),
    ReapObject(
        tombstone=7, key=KEY, size=2, etag="ab", last_modified=T, reason="r", owner="j", owner_updated_at=T
    ),
    CondemnFile(
        key=KEY,
        size=2,
        mtime_ns=1_772_366_400_123_456_789,
        ctime_ns=1_772_366_400_123_456_790,
        inode=1 << 63,
        delete_after=T,
        notice_seconds=86400.0,
        reason="r",
    ),
    RemoveFolder(key=KEY, reason="r", owner="j", owner_updated_at=T),
    ReapFile(tombstone=7, key=KEY, held_at=".condemned/r/a", size=2, mtime_ns=1 << 62, inode=3, reason="r"),
    AbortUpload(key=KEY, upload_id="id~1", size=5 << 40, quiet_since=T, reason="r"),
    FailJob(key="j", status="queued", updated_at=T, reason="2026-03-01T12:00:00+00:00"),
    CondemnJob(key="j", updated_at=T, delete_after=T, notice_seconds=86400.0, reason="r"),
    ReapJob(tombstone=7, key="j", updated_at=T, reason="r"),
    PruneBackup(
        id="20260101T030000Z-0a1b2c3d", kind="database", state="proven", size=9, minimum=3, reason="r"
    ),
    CompressObject(
        key=KEY,
        size=2,
        etag="ab",
        last_modified=T,
        codec="zstd",
        level=None,
        object_class="transcripts",
        owner="j",
        owner_updated_at=T,
        reason="r",
    ),
    PruneRows(
        key="maintenance.audit",
        table="audit",
        before=T,
        since=T - timedelta(days=1),
        until=T,
        last_id="9",
        count=3,
        reason="r",
    ),
    PruneRun(key="run-1", plan="plans/j/run-1.jsonl.gz", state="failed", sha256="ab", before=T, reason="r"),
    PruneLog(key="deletions/2026-01/run-1.jsonl.gz", size=2, etag="ab", before=T, reason="r"),
    FollowObject(key=KEY, size=2, tier="cold", reason="r"),
    TransitionObject(
        key=KEY,
        size=2,
        etag="ab",
        last_modified=T,
        object_class="audio",
        tier="cold",
        how="tag",
        target="COLD",
        owner=None,
        owner_updated_at=None,
        reason="r",
    ),
]


@pytest.mark.parametrize("action", ACTIONS, ids=lambda action: action.verb)
def test_every_verb_survives_a_plan_line(action: Action) -> None:
    line = encode(action)
    assert line.isascii() and "\n" not in line
    found = decode(line, VERBS)
    assert found == action
    assert type(found) is type(action)
    for field in fields(action):  # type: ignore[arg-type]
        assert type(getattr(found, field.name)) is type(getattr(action, field.name))


def test_every_verb_was_tried() -> None:
    assert {type(action) for action in ACTIONS} == set(VERBS.values())
    assert all(VERBS[action.verb] is type(action) for action in ACTIONS)


def test_a_time_of_another_zone_is_the_same_instant() -> None:
    there = T.astimezone(timezone(timedelta(hours=5, minutes=30)))
    action = FailJob(key="j", status="queued", updated_at=there, reason="r")
    assert decode(encode(action), VERBS) == action


def test_a_text_that_looks_like_a_time_stays_text() -> None:
    action = DeleteObject(key="2026-03-01", size=1, etag="2026-03-01", last_modified=T, reason="2026-03-01")
    assert decode(encode(action), VERBS) == action


@given(st.text(min_size=1), st.text())
def test_any_text_survives_a_plan_line(key: str, reason: str) -> None:
    action = AbortUpload(key=key, upload_id=reason, size=1, quiet_since=T, reason=reason)
    assert decode(encode(action).encode(), VERBS) == action
