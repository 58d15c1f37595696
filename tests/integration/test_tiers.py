"""Tiers on real servers: classes by copy in place, a remote tier by tag and rule, stores that have none."""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from minio import MinioAdmin
from minio.credentials import StaticProvider

from devstack.objectstore import ObjectStore
from storage import commands, connect
from storage.clock import utcnow
from storage.cold import tiering
from storage.cold.tier_log import Move
from storage.cold_model import TierPlace
from storage.model import ObjectKey
from tests.conftest import Place, needed, new_place, replace, without_backups
from tests.integration.deaf import deaf
from tests.integration.person import Answer, Person, environment
from tests.tiering import TIER, install, names_in, rule

JOB = "job-1"
FILM = f"processed/{JOB}/360p/output.mp4"
NOTES = f"processed/{JOB}/transcription/notes.vtt"
CONTENT = {FILM: bytes(range(256)) * 3000, NOTES: b"WEBVTT\n" * 40, f"processed/{JOB}/audio/empty.mp3": b""}
PRICES = "EUR hot=0.02 cold=0.004/90"
CLASSES = pytest.mark.parametrize("place", ["ministack"], indirect=True)
REMOTE = pytest.mark.parametrize("place", ["minio"], indirect=True)


@pytest.fixture
def filled(place: Place, add_job: Callable[..., None]) -> Place:
    """A completed job's objects, with all that an object can carry; the endpoint was probed."""
    fill(place, add_job)
    commands.probe_now(place.settings)
    return place


def fill(place: Place, add_job: Callable[..., None]) -> None:
    long_ago = utcnow() - timedelta(days=200)
    add_job(JOB, "completed", long_ago, completed_at=long_ago)
    for key, data in CONTENT.items():
        place.boto.put_object(
            Bucket=place.settings.bucket, Key=key, Body=data, ContentType="a/b", CacheControl="max-age=5",
            Metadata={"made-by": "transcoder"}, Tagging="team=video",
        )  # fmt: skip


@pytest.fixture
def remote(filled: Place, cold_store: ObjectStore) -> Place:
    """The same, and what is tagged tier=cold moves to the second MinIO."""
    install(filled.boto, filled.settings.bucket)
    return replace(filled, settings=replace(filled.settings, tiers=f"cold={TIER}", prices=PRICES))


def sit(person: Person, place: Place, **other: str) -> Person:
    person.sits_at(environment(place.settings, **other))
    return person


def head(place: Place, key: str) -> dict[str, Any]:
    return dict(place.boto.head_object(Bucket=place.settings.bucket, Key=key))


def classes(place: Place) -> dict[str, str]:
    """Storage class by key, as a listing shows it."""
    told = place.boto.list_objects_v2(Bucket=place.settings.bucket, Prefix="processed/")
    return {one["Key"]: one.get("StorageClass", "STANDARD") for one in told["Contents"]}


def tags(place: Place, key: str) -> dict[str, str]:
    told = place.boto.get_object_tagging(Bucket=place.settings.bucket, Key=key)["TagSet"]
    return {one["Key"]: one["Value"] for one in told}


def read(place: Place, key: str, **words: str) -> bytes:
    told = place.boto.get_object(Bucket=place.settings.bucket, Key=key, **words)
    return bytes(told["Body"].read())


def intact(place: Place) -> None:
    """Every object reads as it was, and carries what it did."""
    for key, data in CONTENT.items():
        assert hashlib.sha256(read(place, key)).digest() == hashlib.sha256(data).digest(), key
        told = head(place, key)
        carried = (told["ContentType"], told["CacheControl"], told["Metadata"])
        assert carried == ("a/b", "max-age=5", {"made-by": "transcoder"}), key
        assert tags(place, key).items() >= {"team": "video"}.items(), key


def eventually(holds: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not holds() and time.monotonic() < end:
        time.sleep(0.2)
    assert holds()


def refused(answer: Answer, *words: str) -> None:
    assert answer.code == 3, answer
    assert all(word in answer.err for word in words), answer.err


# --- storage classes -------------------------------------------------------------------------------
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
    assert "All of it is hot" in storage("tier", "restore", JOB).out


@CLASSES
def test_a_transition_is_one_copy_request(filled: Place) -> None:
    asked: Counter[str] = Counter()
    with connect.stores(filled.settings) as stores:
        stores.objects.boto.meta.events.register(  # type: ignore[attr-defined]
            "before-call.s3", lambda model, **_: asked.update([model.name])
        )
        place = TierPlace("cold", "class", "GLACIER_IR")
        moves = [Move(ObjectKey(key), head(filled, key)["ETag"].strip('"'), place) for key in CONTENT]
        assert [one.status for one in tiering.move(moves, stores, "run")] == ["done"] * 3
    assert asked == {"CopyObject": 3, "HeadObject": 6}


@CLASSES
def test_an_archived_object_comes_back_in_two_steps(person: Person, filled: Place) -> None:
    storage = sit(person, filled, tiers="cold=GLACIER")
    assert storage("tier", "set", FILM, "cold", "--apply").code == 0
    assert classes(filled)[FILM] == "GLACIER"
    first = storage("tier", "restore", FILM, "--apply")
    assert (first.code, "come again" in first.out) == (0, True), first
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

    told = storage("tier", "restore", FILM, "--json").document
    assert (told["bytes"], told["currency"], told["applied"]) == (len(CONTENT[FILM]), "EUR", False)
    assert storage("tier", "restore", FILM, "--apply").code == 0
    assert classes(remote)[FILM] == "STANDARD"
    assert tags(remote, FILM) == {"team": "video"}
    intact(remote)
    time.sleep(2)  # long enough for the rule, had it still a tag to act upon
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
    """Two movers at once beside a writer: what was written last is read, and bears no tag of ours."""
    monkeypatch.setattr(tiering, "PATIENCE", 5.0)
    place, bucket = TierPlace("cold", "tag", TIER), remote.settings.bucket
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

    with connect.stores(remote.settings) as stores, ThreadPoolExecutor(8) as pool:
        movers = [pool.submit(tiering.move, moves, stores, f"run-{twin}") for twin in range(2)]
        list(pool.map(write, range(len(keys))))
        for mover in movers:
            assert "failed" not in {one.status for one in mover.result()}
        tiering.follow_up(stores, utcnow())
    listed = classes(remote)
    for number, key in enumerate(keys):
        if number % 3 == 1:
            assert key not in listed
        else:
            assert read(remote, key) == (b"new" if number % 3 == 0 else b"old " * 5000)
            assert ("tier" in tags(remote, key)) == (number % 3 == 2)


# --- no tiers --------------------------------------------------------------------------------------
@pytest.fixture
def ignoring(
    store_server: Callable[[str], ObjectStore],
    database_url: str,
    add_job: Callable[..., None],
    tmp_path: Path,
) -> Iterator[Place]:
    """A place on an endpoint that ignores storage classes silently."""
    server = needed("ministack", store_server)
    with deaf(server.endpoint_url) as address:
        made = new_place(replace(server, endpoint_url=address), database_url, tmp_path)
        connect.set_up(made.settings)
        without_backups(made.settings)
        fill(made, add_job)
        yield made


def test_a_store_that_ignores_classes_silently_has_no_tiers(person: Person, ignoring: Place) -> None:
    commands.probe_now(ignoring.settings)
    for tiers in ("", "cold=GLACIER_IR"):
        storage = sit(person, ignoring, tiers=tiers)
        assert "none: " in storage("tier", "status").out
        refused(storage("tier", "set", JOB, "cold", "--apply"), "Refused by tiers", "class")
    assert set(classes(ignoring).values()) == {"STANDARD"}
    intact(ignoring)


def test_a_store_that_ceases_to_keep_classes_is_found_out_by_a_look(person: Person, ignoring: Place) -> None:
    """The probe of another day says it did: the HEAD after the copy is believed, not the answer."""
    with connect.stores(ignoring.settings) as stores:
        known = replace(stores.control.capabilities(), storage_classes=("STANDARD", "GLACIER_IR"))
        stores.control.save_capabilities(known)
    storage = sit(person, ignoring)
    answer = storage("tier", "set", JOB, "cold", "--apply")
    assert (answer.code, "ignores storage classes" in answer.out) == (1, True), answer
    tiers = storage("tier", "status", "--json").document["tiers"]
    assert [one[state] for one in tiers for state in ("held", "asked", "stuck")] == [None] * 6
    intact(ignoring)


# --- bad input -------------------------------------------------------------------------------------
@REMOTE
@pytest.mark.parametrize(
    ("tiers", "words"),
    [
        ("cold=cold", ("cold is set to cold", "upper case")),
        ("cold=ICE", ("set to ICE", "storage lifecycle apply")),
        ("warm=LUKE", ("set to LUKE", "storage lifecycle apply")),
        ("", ("no tier warm",)),
    ],
)
def test_a_tier_that_is_not_there_is_refused_by_its_name(
    person: Person, remote: Place, tiers: str, words: tuple[str, ...]
) -> None:
    storage = sit(person, remote, tiers=tiers)
    refused(storage("tier", "set", JOB, "cold" if "cold" in tiers else "warm", "--apply"), *words)
    assert set(classes(remote).values()) == {"STANDARD"}
    assert tags(remote, FILM) == {"team": "video"}


@REMOTE
def test_without_its_rule_nothing_is_tagged(person: Person, remote: Place) -> None:
    install(remote.boto, remote.settings.bucket, rule(Status="Disabled"))
    refused(sit(person, remote)("tier", "set", JOB, "cold", "--apply"), "no rule", "storage lifecycle apply")
    assert tags(remote, FILM) == {"team": "video"}


@REMOTE
def test_what_cannot_be_meant_is_said(person: Person, remote: Place, add_job: Callable[..., None]) -> None:
    storage = sit(person, remote)
    add_job("busy", "processing", utcnow())
    remote.put("processed/busy/360p/output.mp4")
    remote.put("temp/x/part.ts")
    for subject, code, words in (
        ("nobody", 2, "nothing below processed/nobody/"),
        ("processed/none/x", 2, "no object"),
        ("busy", 3, "job busy is processing"),
        ("temp/x/part.ts", 3, "belongs to no job"),
    ):
        answer = storage("tier", "set", subject, "cold", "--apply")
        assert (answer.code, words in answer.err) == (code, True), answer
    assert storage("tier", "set", JOB, "icy").code == 2
    assert storage("tier", "pin", "nobody", "--reason", "x").code == 2
    assert storage("tier", "pin", JOB).code == 2
    assert set(classes(remote).values()) == {"STANDARD"}


@REMOTE
def test_a_pinned_job_stays_until_it_is_unpinned(person: Person, remote: Place) -> None:
    storage = sit(person, remote)
    assert storage("tier", "pin", JOB, "--reason", "a court asked").code == 0
    refused(storage("tier", "set", JOB, "cold", "--apply"), "a court asked", "unpin")
    assert set(classes(remote).values()) == {"STANDARD"}
    assert storage("tier", "unpin", JOB).code == 0
    assert storage("tier", "set", JOB, "cold", "--apply").code == 0


@REMOTE
def test_paused_maintenance_moves_nothing(person: Person, remote: Place) -> None:
    storage = sit(person, remote)
    assert storage("pause", "--reason", "hands off").code == 0
    assert storage("tier", "set", JOB, "cold", "--apply").code == 5
    assert storage("tier", "restore", JOB, "--apply").code == 5
    assert tags(remote, FILM) == {"team": "video"}


@REMOTE
def test_a_missing_permission_is_named_and_leaves_nothing_behind(
    person: Person, remote: Place, store_server: Callable[[str], ObjectStore]
) -> None:
    server = store_server("minio")
    admin = MinioAdmin(
        endpoint=server.endpoint_url.removeprefix("http://"),
        credentials=StaticProvider(server.access_key, server.secret_key),
        region=server.region,
        secure=False,
    )
    statements = [
        {"Effect": "Allow", "Action": ["s3:*"], "Resource": ["arn:aws:s3:::*"]},
        {"Effect": "Deny", "Action": ["s3:PutObjectTagging"], "Resource": ["arn:aws:s3:::*"]},
    ]
    admin.policy_add("no-tagging", policy={"Version": "2012-10-17", "Statement": statements})
    admin.user_add("tagless-user", "tagless-secret")
    admin.policy_set("no-tagging", user="tagless-user")
    storage = sit(person, remote, access_key="tagless-user", secret_key="tagless-secret")
    answer = storage("tier", "set", JOB, "cold", "--apply")
    assert (answer.code, "AccessDenied" in answer.err) == (6, True), answer
    assert set(classes(remote).values()) == {"STANDARD"}
    with connect.stores(remote.settings) as stores:
        assert tiering.follow_up(stores, utcnow()).forgotten == 3
        assert list(stores.cold.moving()) == []
