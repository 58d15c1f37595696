"""Tiers on real servers: storage classes by copy in place, a remote tier by tag and rule."""

from __future__ import annotations

import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from devstack.objectstore import ObjectStore
from storage.cold import tiering
from storage.cold.journal import Move
from storage.cold.model import TierTarget
from storage.core.clock import utcnow
from storage.core.model import ObjectKey
from storage.installation import open_installation
from tests.conftest import Place
from tests.support.command_line import Person
from tests.support.remote_tier import TIER, names_in
from tests.support.tiered_job import (
    CLASSES,
    CONTENT,
    FILM,
    JOB,
    PRICES,
    REMOTE,
    classes,
    eventually,
    head,
    intact,
    read,
    sit,
    tags,
)


@CLASSES
def test_a_jobs_objects_go_to_a_storage_class_and_come_back(person: Person, filled: Place) -> None:
    storage = sit(person, filled, prices=PRICES)
    assert "storage class GLACIER_IR" in storage("tier", "status").out
    shown = storage("tier", "set", JOB, "cold")
    assert (shown.code, "3 objects. Nothing was changed" in shown.out) == (0, True)
    assert set(classes(filled).values()) == {"STANDARD"}

    done = storage("tier", "set", JOB, "cold", "--apply")
    assert (done.code, "3 of 3 objects." in done.out) == (0, True), done
    assert set(classes(filled).values()) == {"GLACIER_IR"}
    intact(filled)
    cold = storage("tier", "status", "--json").document["tiers"][1]
    assert cold["held"] == {"count": 3, "bytes": sum(map(len, CONTENT.values()))}

    shown = storage("tier", "restore", JOB)
    assert "EUR" in shown.out
    assert "90 days" in shown.out
    assert set(classes(filled).values()) == {"GLACIER_IR"}
    back = storage("tier", "restore", JOB, "--apply")
    assert (back.code, "3 of 3 objects." in back.out) == (0, True), back
    assert set(classes(filled).values()) == {"STANDARD"}
    intact(filled)
    assert "All objects are hot" in storage("tier", "restore", JOB).out


@CLASSES
def test_a_transition_is_one_copy_request(filled: Place) -> None:
    asked: Counter[str] = Counter()
    with open_installation(filled.settings) as stores:
        stores.objects.boto.meta.events.register(  # type: ignore[attr-defined]
            "before-call.s3", lambda model, **_: asked.update([model.name])
        )
        place = TierTarget("cold", "class", "GLACIER_IR")
        moves = [Move(ObjectKey(key), head(filled, key)["ETag"].strip('"'), place) for key in CONTENT]
        assert [one.status for one in tiering.move(moves, stores, "run")] == ["done"] * 3
    assert asked == {"CopyObject": 3, "HeadObject": 6}


@CLASSES
def test_an_archived_object_comes_back_in_two_steps(person: Person, filled: Place) -> None:
    storage = sit(person, filled, tiers="cold=GLACIER")
    assert storage("tier", "set", FILM, "cold", "--apply").code == 0
    assert classes(filled)[FILM] == "GLACIER"
    first = storage("tier", "restore", FILM, "--apply")
    assert (first.code, "try again" in first.out) == (0, True), first
    assert classes(filled)[FILM] == "GLACIER"
    assert storage("tier", "restore", FILM, "--apply").code == 0
    eventually(
        lambda: bool(storage("tier", "restore", FILM, "--apply")) and classes(filled)[FILM] == "STANDARD"
    )
    intact(filled)


# --- a remote tier ---------------------------------------------------------------------------------
@REMOTE
def test_a_jobs_objects_go_to_the_second_store_and_come_back(
    person: Person, remote: Place, cold_store: ObjectStore
) -> None:
    storage, before = sit(person, remote), names_in(cold_store)
    etags = {key: head(remote, key)["ETag"] for key in CONTENT}
    assert f"remote tier {TIER}" in storage("tier", "status").out
    done = storage("tier", "set", JOB, "cold", "--apply")
    assert (done.code, "3 of 3 objects." in done.out) == (0, True), done
    assert set(classes(remote).values()) == {TIER}
    assert len(names_in(cold_store) - before) == 3
    intact(remote)
    assert {key: head(remote, key)["ETag"] for key in CONTENT} == etags
    assert read(remote, FILM, Range="bytes=300-309") == CONTENT[FILM][300:310]

    answer = storage("tier", "restore", FILM, "--json").document
    assert (answer["bytes"], answer["currency"], answer["applied"]) == (len(CONTENT[FILM]), "EUR", False)
    assert storage("tier", "restore", FILM, "--apply").code == 0
    assert classes(remote)[FILM] == "STANDARD"
    assert tags(remote, FILM) == {"team": "video"}
    intact(remote)
    time.sleep(2)  # long enough for the rule to act on a tag that was left
    assert classes(remote)[FILM] == "STANDARD"
    eventually(lambda: len(names_in(cold_store) - before) == 2)


@REMOTE
def test_deleting_a_cold_object_frees_its_copy(
    person: Person, remote: Place, cold_store: ObjectStore
) -> None:
    storage, before = sit(person, remote), names_in(cold_store)
    assert storage("tier", "set", JOB, "cold", "--apply").code == 0
    assert len(names_in(cold_store) - before) == 3
    remote.boto.delete_object(Bucket=remote.settings.bucket, Key=FILM)
    eventually(lambda: len(names_in(cold_store) - before) == 2)


@REMOTE
def test_deleted_or_overwritten_while_they_move_nothing_is_lost(
    remote: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two concurrent movers and a writer: the last write is read, and carries none of our tags."""
    monkeypatch.setattr(tiering, "TIMEOUT", 5.0)
    place, bucket = TierTarget("cold", "tag", TIER), remote.settings.bucket
    keys = [ObjectKey(f"processed/{JOB}/race/{number:03}.ts") for number in range(60)]
    for key in keys:
        remote.boto.put_object(Bucket=bucket, Key=key, Body=b"old " * 5000)
    moves = [Move(key, head(remote, key)["ETag"].strip('"'), place) for key in keys]

    def write(number: int) -> None:
        time.sleep(number % 7 / 100)
        if number % 3 == 0:
            remote.boto.put_object(Bucket=bucket, Key=keys[number], Body=b"new")
        elif number % 3 == 1:
            remote.boto.delete_object(Bucket=bucket, Key=keys[number])

    with open_installation(remote.settings) as stores, ThreadPoolExecutor(8) as pool:
        movers = [pool.submit(tiering.move, moves, stores, f"run-{twin}") for twin in range(2)]
        list(pool.map(write, range(len(keys))))
        for tier_store in movers:
            assert "failed" not in {one.status for one in tier_store.result()}
        tiering.follow_up(stores, utcnow())
    listed = classes(remote)
    for number, key in enumerate(keys):
        if number % 3 == 1:
            assert key not in listed
        else:
            assert read(remote, key) == (b"new" if number % 3 == 0 else b"old " * 5000)
            assert ("tier" in tags(remote, key)) == (number % 3 == 2)
