"""Missing tiers, invalid requests and objects that must not move: reported, and nothing is changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from minio import MinioAdmin
from minio.credentials import StaticProvider

from devstack.objectstore import ObjectStore
from storage import connect
from storage.cli.installation import probe_now
from storage.cold import tiering
from storage.core.clock import utcnow
from storage.installation import open_installation
from tests.conftest import Place, needed, new_place, replace, without_backups
from tests.support.command_line import Person
from tests.support.proxy import proxy
from tests.support.remote_tier import install, rule
from tests.support.tiered_job import FILM, JOB, REMOTE, classes, fill, intact, refused, sit, tags


@pytest.fixture
def ignoring(
    store_server: Callable[[str], ObjectStore],
    database_url: str,
    add_job: Callable[..., None],
    tmp_path: Path,
) -> Iterator[Place]:
    """Yield an environment on an endpoint that ignores storage classes silently."""
    server = needed("ministack", store_server)
    with proxy(server.endpoint_url, drop=frozenset({"x-amz-storage-class"})) as address:
        made = new_place(replace(server, endpoint_url=address), database_url, tmp_path)
        connect.set_up(made.settings)
        without_backups(made.settings)
        fill(made, add_job)
        yield made


def test_a_store_that_ignores_classes_silently_has_no_tiers(person: Person, ignoring: Place) -> None:
    probe_now(ignoring.settings)
    for tiers in ("", "cold=GLACIER_IR"):
        storage = sit(person, ignoring, tiers=tiers)
        assert "none: " in storage("tier", "status").out
        refused(storage("tier", "set", JOB, "cold", "--apply"), "Refused by tiers", "class")
    assert set(classes(ignoring).values()) == {"STANDARD"}
    intact(ignoring)


def test_a_store_that_ceases_to_keep_classes_is_found_out_by_a_look(person: Person, ignoring: Place) -> None:
    """An earlier probe says that it keeps classes: the HEAD after the copy decides, not the copy's answer."""
    with open_installation(ignoring.settings) as stores:
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
        ("nobody", 2, "no objects below processed/nobody/"),
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
    with open_installation(remote.settings) as stores:
        assert tiering.follow_up(stores, utcnow()).forgotten == 3
        assert list(stores.cold.moving()) == []
