"""Tombstones: one open per kind, place and key; owners compared as read; states that only advance."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from storage.core.model import JobId, Tombstone, Totals

T = datetime(2026, 3, 1, 12, tzinfo=UTC)
LATER = T + timedelta(hours=1)
CONTAINERS = ("bucket", "bucket-2", "jobs", "/tmp/t")
PLAIN = Tombstone(
    id=0,
    run_id="run-1",
    job="sweep",
    kind="object",
    place="bucket",
    key="uploads/it's é+%/a.mp4",
    size=5,
    seen="etag 2026-03-01T11:00:00+00:00",
    reason="came 14 days ago",
    delete_after=T,
)


def opened(database: Any, run_id: str = "run-1") -> list[Tombstone]:
    return [
        tombstone
        for tombstone in database.tombstones.of_run(run_id)
        if tombstone.state in ("condemned", "reaping")
    ]


def test_condemn_records_every_field(database: Any) -> None:
    database.add_job("j", "completed", T)
    tombstone = replace(
        PLAIN, kind="file", owner=JobId("j"), owner_updated_at=T, held_at=".condemned/run-1/abc"
    )
    assert database.tombstones.condemn([tombstone, PLAIN]) == {}
    found = sorted(database.tombstones.of_run("run-1"), key=lambda one: one.kind)
    assert [replace(one, id=0) for one in found] == [tombstone, PLAIN]
    assert len({one.id for one in found}) == 2


def test_condemn_twice_by_the_same_run_is_no_error(database: Any) -> None:
    for _ in range(2):
        assert database.tombstones.condemn([PLAIN]) == {}
    assert len(opened(database)) == 1
    assert database.tombstones.condemn([]) == {}


def test_condemn_by_another_run_is_refused(database: Any) -> None:
    database.tombstones.condemn([PLAIN])
    fresh = replace(PLAIN, run_id="run-2", key="uploads/other")
    refused = database.tombstones.condemn([replace(PLAIN, run_id="run-2"), fresh])
    assert refused.keys() == {PLAIN.key}
    assert refused[PLAIN.key].startswith("already condemned")
    assert [one.key for one in opened(database, "run-2")] == ["uploads/other"]


def test_one_open_tombstone_a_kind_place_and_key(database: Any) -> None:
    others = [replace(PLAIN, kind="file"), replace(PLAIN, place="bucket-2"), replace(PLAIN, key="uploads/b")]
    assert database.tombstones.condemn([PLAIN]) == {}
    assert database.tombstones.condemn([replace(one, run_id="run-2") for one in others]) == {}
    assert len(opened(database, "run-2")) == 3


@pytest.mark.parametrize("state", ["reaped", "undone", "kept"])
def test_a_closed_tombstone_bars_nothing(state: str, database: Any) -> None:
    database.tombstones.condemn([PLAIN])
    [tombstone] = opened(database)
    if state == "undone":
        database.tombstones.undo([tombstone.id])
    else:
        database.tombstones.finish([tombstone.id], state)
    assert database.tombstones.condemn([replace(PLAIN, run_id="run-2")]) == {}
    assert len(opened(database, "run-2")) == 1


OWNED = replace(PLAIN, owner=JobId("j"), owner_updated_at=T)
UNOWNED = replace(PLAIN, owner=JobId("j"))
WITH_JOB = replace(OWNED, goes_with_job=True)
OF_JOB = replace(OWNED, kind="job", place="jobs", key="j")


@pytest.mark.parametrize(
    ("tombstone", "status", "updated_at", "taken"),
    [
        (OWNED, "completed", T, True),
        (OWNED, "failed", T, True),
        (OWNED, "cleaned_up", T, True),
        (OWNED, "queued", T, False),
        (OWNED, "uploading", T, False),
        (OWNED, "completed", LATER, False),
        (OWNED, "", T, False),
        (UNOWNED, "", T, True),
        (UNOWNED, "failed", T, False),
        (UNOWNED, "queued", T, False),
        (WITH_JOB, "failed", T, True),
        (WITH_JOB, "failed", LATER, False),
        (WITH_JOB, "completed", T, False),
        (WITH_JOB, "cleaned_up", T, False),
        (WITH_JOB, "", T, False),
        (OF_JOB, "failed", T, True),
        (OF_JOB, "failed", LATER, False),
        (OF_JOB, "queued", T, False),
        (OF_JOB, "", T, False),
    ],
)
def test_condemn_compares_the_owner_as_seen(
    tombstone: Tombstone, status: str, updated_at: datetime, taken: bool, database: Any
) -> None:
    """An empty status means that the owner has no row."""
    if status:
        database.add_job("j", status, updated_at)
    bystander = replace(PLAIN, key="uploads/bystander")
    refused = database.tombstones.condemn([tombstone, bystander])
    assert refused.keys() == (set() if taken else {tombstone.key})
    assert all(refused.values())
    assert {one.key for one in opened(database)} == ({tombstone.key} if taken else set()) | {bystander.key}


def test_due_is_jobs_then_objects_by_key_then_files(database: Any) -> None:
    for id in ("j2", "j1"):
        database.add_job(id, "failed", T)
    tombstones = [
        replace(PLAIN, key=key) for key in ("uploads/b", "uploads/B", "uploads/é", "uploads/a-", "uploads/a/")
    ]
    tombstones += [replace(PLAIN, kind="file", place="/tmp/t", key="a/file")]
    tombstones += [replace(OF_JOB, key=id, owner=JobId(id)) for id in ("j2", "j1")]
    assert database.tombstones.condemn(tombstones) == {}
    objects = ["uploads/B", "uploads/a-", "uploads/a/", "uploads/b", "uploads/é"]
    assert [one.key for one in database.tombstones.due(T, CONTAINERS)] == ["j1", "j2", *objects, "a/file"]


def test_due_over_many_pages(database: Any) -> None:
    keys = [f"uploads/{n:05}" for n in range(2_100)]
    database.tombstones.condemn([replace(PLAIN, key=key) for key in keys])
    assert [one.key for one in database.tombstones.due(T, CONTAINERS)] == keys


def test_due_at_the_promised_instant_and_not_before(database: Any) -> None:
    database.tombstones.condemn([PLAIN])
    assert list(database.tombstones.due(T - timedelta(microseconds=1), CONTAINERS)) == []
    assert [one.key for one in database.tombstones.due(T, CONTAINERS)] == [PLAIN.key]


def test_begin_turns_to_reaping_and_takes_up_what_was_begun(database: Any) -> None:
    database.tombstones.condemn([PLAIN, replace(PLAIN, key="b"), replace(PLAIN, key="c")])
    first, second, third = opened(database)
    assert database.tombstones.begin([first.id]) == {first.id: replace(first, state="reaping")}
    database.tombstones.undo([third.id])
    begun = database.tombstones.begin([first.id, second.id, third.id, 10**9])
    assert begun.keys() == {first.id, second.id}
    assert {one.state for one in begun.values()} == {"reaping"}
    assert database.tombstones.begin([]) == {}


def test_finish_ends_open_ones_only(database: Any) -> None:
    database.tombstones.condemn([PLAIN, replace(PLAIN, key="b")])
    first, second = opened(database)
    database.tombstones.begin([first.id])
    database.tombstones.undo([second.id])
    database.tombstones.finish([first.id, second.id], "reaped")
    database.tombstones.finish([first.id], "kept", "too late")
    database.tombstones.finish([], "reaped")
    assert {one.id: one.state for one in database.tombstones.of_run("run-1")} == {
        first.id: "reaped",
        second.id: "undone",
    }
    assert list(database.tombstones.due(LATER, CONTAINERS)) == []


def test_undo_lifts_condemned_ones_only(database: Any) -> None:
    database.tombstones.condemn([PLAIN, replace(PLAIN, key="b"), replace(PLAIN, key="c")])
    first, second, third = opened(database)
    database.tombstones.begin([first.id])
    database.tombstones.finish([third.id], "reaped")
    assert database.tombstones.undo([first.id, second.id, third.id]) == {second.id}
    assert database.tombstones.undo([second.id]) == set()
    states = {one.id: one.state for one in database.tombstones.of_run("run-1")}
    assert states == {first.id: "reaping", second.id: "undone", third.id: "reaped"}


@pytest.mark.parametrize("begun", [False, True])
def test_a_dry_run_of_undo_foretells_it_and_changes_nothing(begun: bool, database: Any) -> None:
    """Also where reap has begun on a job: then none of what goes with it is undone."""
    database.add_job("j", "failed", T)
    database.tombstones.condemn([replace(OF_JOB, owner=JobId("j")), WITH_JOB, replace(PLAIN, key="b")])
    ids = {one.key: one.id for one in opened(database)}
    if begun:
        database.tombstones.begin([ids["j"]])
    foretold = database.tombstones.undo(list(ids.values()), dry_run=True)
    assert foretold == ({ids["b"]} if begun else set(ids.values()))
    assert len(opened(database)) == 3
    assert database.tombstones.undo(list(ids.values())) == foretold


def test_open_keys_and_totals(database: Any) -> None:
    keys = ["a", "b", "it's %_", "d"]
    database.tombstones.condemn([replace(PLAIN, key=key) for key in keys])
    database.tombstones.condemn([replace(PLAIN, kind="file", place="/tmp/t", key="f", size=7)])
    first, second, *_ = (one for one in opened(database) if one.kind == "object")
    database.tombstones.begin([first.id])
    database.tombstones.undo([second.id])
    assert database.tombstones.open_keys("bucket", [*keys, "f"]) == {first.key, "it's %_", "d"}
    assert database.tombstones.open_keys("bucket-2", keys) == set()
    assert database.tombstones.open_keys("bucket", []) == set()
    assert database.tombstones.open() == {"object": Totals(3, 15), "file": Totals(1, 7)}


def test_of_run_is_that_run_only(database: Any) -> None:
    database.tombstones.condemn([PLAIN])
    database.tombstones.condemn([replace(PLAIN, run_id="run-2", key="b")])
    assert [one.key for one in database.tombstones.of_run("run-2")] == ["b"]
    assert list(database.tombstones.of_run("run-3")) == []
