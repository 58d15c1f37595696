"""The rules for temp objects and the temp folder."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest

from storage.cleanup.temp import EndedTempFiles, EndedTempObjects, TempFiles, TempObjects
from storage.core.errors import TempFolderUnsafe
from storage.engine.actions import Action, CondemnFile, DeleteObject, Keep, RemoveFolder
from storage.engine.policy import Policy
from tests.support.in_memory import DAY, HOUR, MINUTE, NOW, SECOND, World

OBJECTS = TempObjects(older_than=DAY)
FILES = TempFiles(older_than=DAY)
ENDED_OBJECTS = EndedTempObjects(older_than=10 * MINUTE, window=DAY)
ENDED_FILES = EndedTempFiles(older_than=10 * MINUTE, window=DAY)


def decide(policy: Policy, world: World) -> Iterator[Action | Keep]:
    return policy.plan(policy.select(world.stores, NOW), NOW)


def verdicts(policy: Policy, world: World) -> dict[str, str]:
    return {one.key: getattr(one, "verb", "keep") for one in decide(policy, world)}


@pytest.mark.parametrize(
    ("age", "verdict"),
    [
        (DAY, "delete"),
        (DAY - SECOND, "keep"),
        (DAY + SECOND, "delete"),
        (-HOUR, "keep"),
        (timedelta(), "keep"),
    ],
)
def test_temp_object_at_the_cut(age: timedelta, verdict: str, world: World) -> None:
    world.put("temp/a.tmp", age)
    assert verdicts(OBJECTS, world) == {"temp/a.tmp": verdict}


@pytest.mark.parametrize("status", ["queued", "processing", "transcoding", "uploading", "unheard-of"])
def test_objects_of_a_job_that_has_not_ended_remain(status: str, world: World) -> None:
    world.job("j", status, 90 * DAY)
    world.put("temp/j/a.ts", 90 * DAY)
    world.put("temp/j2/a.ts", 90 * DAY)
    world.put("temp/j", 90 * DAY)
    assert verdicts(OBJECTS, world) == {
        "temp/j/a.ts": "keep",
        "temp/j2/a.ts": "delete",
        "temp/j": "delete",
    }


@pytest.mark.parametrize("status", ["completed", "failed", "cleaned_up"])
def test_objects_of_an_ended_job_go_by_their_own_age(status: str, world: World) -> None:
    world.job("j", status, HOUR)
    world.put("temp/j/old.ts", DAY)
    world.put("temp/j/new.ts", HOUR)
    found = {one.key: one for one in decide(OBJECTS, world)}
    gone = found["temp/j/old.ts"]
    assert isinstance(gone, DeleteObject)
    assert (gone.owner, gone.owner_updated_at) == ("j", NOW - HOUR)
    assert gone.reason == f"untouched for 24 h; job j is {status}"
    assert isinstance(found["temp/j/new.ts"], Keep)


def test_near_misses_of_the_prefix_are_not_considered(world: World) -> None:
    for key in ("tempo/a", "temp", "uploads/temp/a", "TEMP/a", "temp.bak/a"):
        world.put(key, 90 * DAY)
    assert verdicts(OBJECTS, world) == {}


def test_whose_it_was_is_said(world: World) -> None:
    for key in ("temp/j/a", "temp/loose"):
        world.put(key, 5 * DAY)
    assert [one.reason for one in decide(OBJECTS, world)] == [
        "untouched for 5 days; no job j",
        "untouched for 5 days; of no job",
    ]


def test_ended_objects_go_soon_after_the_end(world: World) -> None:
    for id, status, age in (
        ("done", "completed", HOUR),
        ("long", "completed", DAY + SECOND),
        ("at", "failed", DAY),
        ("busy", "processing", HOUR),
    ):
        world.job(id, status, age)
        world.put(f"temp/{id}/a.ts", 10 * MINUTE)
        world.put(f"temp/{id}/new.ts", 10 * MINUTE - SECOND)
    world.put("temp/done2/a.ts", 90 * DAY)
    assert verdicts(ENDED_OBJECTS, world) == {
        "temp/done/a.ts": "delete",
        "temp/done/new.ts": "keep",
        "temp/at/a.ts": "delete",
        "temp/at/new.ts": "keep",
    }


def test_folder_goes_after_all_it_holds(world: World) -> None:
    for path in ("j/a.ts", "j/deep/b.ts", "j/deep/er/c.ts"):
        world.files.add(path, changed=NOW - 2 * DAY)
    found = list(decide(FILES, world))
    assert [(type(one), one.key) for one in found] == [
        (CondemnFile, "j/a.ts"),
        (CondemnFile, "j/deep/b.ts"),
        (CondemnFile, "j/deep/er/c.ts"),
        (RemoveFolder, "j/deep/er"),
        (RemoveFolder, "j/deep"),
        (RemoveFolder, "j"),
    ]


def test_one_young_file_keeps_the_folders_above_it_alone(world: World) -> None:
    for path in ("j/a.ts", "j/deep/old.ts", "j/deep/er/new.ts", "j/gone/b.ts", "k/c.ts"):
        world.files.add(path, changed=NOW - 2 * DAY)
    world.files.add("j/deep/er/new.ts", changed=NOW - DAY + SECOND)
    assert verdicts(FILES, world) == {
        "j/a.ts": "condemn-file",
        "j/deep/old.ts": "condemn-file",
        "j/deep/er/new.ts": "keep",
        "j/deep/er": "keep",
        "j/deep": "keep",
        "j/gone/b.ts": "condemn-file",
        "j/gone": "remove-folder",
        "j": "keep",
        "k/c.ts": "condemn-file",
        "k": "remove-folder",
    }


def test_a_folders_own_time_decides_only_while_it_is_empty(world: World) -> None:
    """A folder just changed may hold an old file; an empty folder just created may be about to be filled."""
    world.files.add("new/old.ts", changed=NOW - DAY)
    world.files.add("new", changed=NOW, kind="folder")
    world.files.add("empty-new", changed=NOW - DAY + SECOND, kind="folder")
    world.files.add("empty-old", changed=NOW - DAY, kind="folder")
    assert verdicts(FILES, world) == {
        "new/old.ts": "condemn-file",
        "new": "remove-folder",
        "empty-new": "keep",
        "empty-old": "remove-folder",
    }


def test_young_empty_folder_keeps_its_parent(world: World) -> None:
    world.files.add("j/sub", changed=NOW, kind="folder")
    world.files.add("j/a.ts", changed=NOW - 2 * DAY)
    assert verdicts(FILES, world) == {"j/a.ts": "condemn-file", "j/sub": "keep", "j": "keep"}


def test_folder_of_a_job_that_has_not_ended_stays_whole(world: World) -> None:
    world.job("j", "processing", 90 * DAY)
    for path in ("j/a.ts", "j/deep/b.ts", "j2/a.ts"):
        world.files.add(path, changed=NOW - 90 * DAY)
    world.files.add("j/empty", changed=NOW - 90 * DAY, kind="folder")
    found = verdicts(FILES, world)
    assert {key for key, verdict in found.items() if verdict != "keep"} == {"j2/a.ts", "j2"}


def test_empty_folder_of_a_job_that_has_not_ended_stays(world: World) -> None:
    world.job("j", "queued", 90 * DAY)
    world.files.add("j", changed=NOW - 90 * DAY, kind="folder")
    assert verdicts(FILES, world) == {"j": "keep"}


def test_loose_file_named_like_a_job_belongs_to_none(world: World) -> None:
    world.job("j", "processing", HOUR)
    world.files.add("j", changed=NOW - 2 * DAY)
    [action] = decide(FILES, world)
    assert isinstance(action, CondemnFile)
    assert (action.owner, action.reason) == (None, "untouched for 48 h; of no job")


def test_links_go_and_devices_remain(world: World) -> None:
    world.files.add("d/link", changed=NOW - 2 * DAY, kind="link")
    world.files.add("d/socket", changed=NOW - 2 * DAY, kind="other")
    assert verdicts(FILES, world) == {"d/link": "condemn-file", "d/socket": "keep", "d": "keep"}


def test_hard_links_count_once_with_the_last_name(world: World) -> None:
    for path in ("a", "b", "c"):
        world.files.add(path, 100, NOW - 2 * DAY, inode=7, links=3)
    world.files.add("one-of-two", 50, NOW - 2 * DAY, inode=8, links=2)
    world.files.add("plain", 9, NOW - 2 * DAY)
    sizes = {one.key: one.size for one in decide(FILES, world)}
    assert sizes == {"a": 0, "b": 0, "c": 100, "one-of-two": 0, "plain": 9}


def test_condemned_file_carries_what_was_seen(world: World) -> None:
    world.job("j", "completed", 2 * DAY)
    seen = world.files.add("j/a.ts", 5, NOW - 2 * DAY)
    action = next(iter(decide(FILES, world)))
    assert isinstance(action, CondemnFile)
    assert (action.mtime_ns, action.ctime_ns, action.inode) == (seen.mtime_ns, seen.ctime_ns, seen.inode)
    assert (action.delete_after, action.owner_updated_at) == (NOW + HOUR, NOW - 2 * DAY)


def test_what_is_condemned_already_is_not_walked(world: World) -> None:
    world.files.add(".condemned/run/abc", changed=NOW - 2 * DAY)
    assert verdicts(FILES, world) == {}


def test_unsafe_folder_is_refused(world: World) -> None:
    world.files.unsafe = "it has no marker file"
    with pytest.raises(TempFolderUnsafe, match="marker"):
        verdicts(FILES, world)


def test_ended_files_are_those_of_jobs_ended_lately(world: World) -> None:
    for id, status, age in (
        ("at", "completed", DAY),
        ("long", "failed", DAY + SECOND),
        ("busy", "queued", HOUR),
    ):
        world.job(id, status, age)
        world.files.add(f"{id}/a.ts", changed=NOW - 10 * MINUTE)
    world.files.add("nobody/a.ts", changed=NOW - 10 * MINUTE)
    world.files.add("loose.ts", changed=NOW - 10 * MINUTE)
    assert verdicts(ENDED_FILES, world) == {"at/a.ts": "condemn-file", "at": "remove-folder"}


def test_folder_of_a_job_whose_id_is_shown_encoded_stays(world: World) -> None:
    """A temp path is shown percent-encoded; its job is looked up by the decoded name."""
    world.job("job%1", "processing", DAY)
    world.files.add("job%251/a.ts", changed=NOW - 9 * DAY)
    assert verdicts(FILES, world) == {"job%251/a.ts": "keep", "job%251": "keep"}
