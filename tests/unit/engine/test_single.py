"""A single deletion by an application, under the same checks as those of a plan."""

from __future__ import annotations

import pytest

from storage.core.errors import Paused, Refused
from storage.core.model import ObjectKey
from storage.engine.actions import DeleteObject
from storage.engine.single import apply_one
from tests.support.in_memory import DAY, NOW, World

KEY = "temp/job-1/x.tmp"


@pytest.fixture
def action(world: World) -> DeleteObject:
    world.put(KEY, DAY)
    info = world.objects.head(ObjectKey(KEY))
    assert info
    return DeleteObject(
        key=info.key, size=info.size, etag=info.etag, last_modified=info.last_modified, reason="asked for"
    )


def test_the_object_goes_and_both_are_recorded(world: World, action: DeleteObject) -> None:
    assert apply_one(action, world.stores, by="ann").status == "done"
    assert world.keys() == []
    (first, run, asked), (last, same, acted) = world.database.audit[-2:]
    assert (first, last, run) == ("act", "acted", same)
    assert asked == {"verb": "delete", "key": KEY, "reason": "asked for", "by": "ann"}
    assert acted["status"] == "done"


def test_what_was_written_anew_stays(world: World, action: DeleteObject) -> None:
    world.put(KEY, DAY / 2, b"new")
    outcome = apply_one(action, world.stores, by="ann")
    assert (outcome.status, outcome.detail) == ("skipped", "written anew since it was seen")
    assert world.keys() == [KEY]


def test_what_a_job_refers_to_stays(world: World, action: DeleteObject) -> None:
    world.database.add_job("job-9", "completed", NOW, output_360p_path=KEY)
    outcome = apply_one(action, world.stores, by="ann")
    assert (outcome.status, outcome.detail) == ("skipped", "still referred to by job job-9")
    assert world.keys() == [KEY]


def test_a_paused_platform_does_nothing(world: World, action: DeleteObject) -> None:
    world.stores.control.write("paused", "by ann")
    with pytest.raises(Paused):
        apply_one(action, world.stores, by="ann")
    assert world.keys() == [KEY]


@pytest.mark.parametrize("prefix", ["backups/", "models/", "audit/", "plans/"])
def test_a_protected_prefix_is_refused(world: World, prefix: str) -> None:
    world.put(f"{prefix}x", DAY)
    info = world.objects.head(ObjectKey(f"{prefix}x"))
    assert info
    action = DeleteObject(key=info.key, size=1, etag=info.etag, last_modified=info.last_modified, reason="r")
    with pytest.raises(Refused, match=f"{prefix}x is protected"):
        apply_one(action, world.stores, by="ann")
    assert world.keys() == [f"{prefix}x"]


def test_another_bucket_than_before_is_refused(world: World, action: DeleteObject) -> None:
    world.stores.control.write("identity", "another")
    with pytest.raises(Refused, match="not the bucket and database of before"):
        apply_one(action, world.stores, by="ann")
    assert world.keys() == [KEY]
