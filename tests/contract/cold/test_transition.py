"""Behaviour common to all stores when objects move between tiers: copy in place, or a tag and a rule."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from storage.cold.model import Details
from storage.cold.ports import TierStore
from storage.cold.s3 import transition
from storage.cold.s3.transition import S3TierStore
from storage.core.attributes import Attributes
from storage.core.capabilities import Capabilities
from storage.core.errors import ObjectMissing, PreconditionFailed, StoreRefused
from storage.core.model import ObjectKey
from storage.stores.s3.probe import probe
from storage.testing import MemoryTierStore
from tests.contract.conftest import KINDS, REAL
from tests.support import remote_tier

KEY = ObjectKey("processed/job-1/360p/out put+.mp4")
ATTRIBUTES = Attributes(
    "text/vtt", "gzip", {"storage-codec": "gzip", "a": "b"}, {"cache-control": "max-age=60"}
)
TAGS = {"team": "video + audio", "x": ""}
WITH_CLASSES = [kind for kind in KINDS if kind in ("fake", "ministack")]
WITH_REMOTE = [kind for kind in KINDS if kind in ("fake", "minio")]


@pytest.fixture
def capabilities(object_store: Any, store_kind: str) -> Capabilities:
    """Return the capabilities that the probe finds; the fake supports everything."""
    if store_kind == "fake":
        return Capabilities(conditional_copy=True, conditional_complete=True, counts_tags=True)
    return probe(object_store, object_store, False)


@pytest.fixture
def tier_store(
    object_store: Any, store_kind: str, capabilities: Capabilities, request: pytest.FixtureRequest
) -> TierStore:
    """Return a tier store with storage classes or a remote tier, whichever the store supports."""
    if store_kind == "fake":
        made = MemoryTierStore(object_store)
        made.classes = {"STANDARD", "STANDARD_IA", "GLACIER_IR", "GLACIER"}
        made.moves = {"cold": remote_tier.TIER}
        return made
    if store_kind == "minio":
        request.getfixturevalue("cold_store")
        remote_tier.install(object_store.boto, object_store.bucket)
    return S3TierStore(object_store, lambda: capabilities)


@pytest.fixture
def stored(object_store: Any, store_kind: str, tier_store: TierStore) -> Details:
    """Store an object with every attribute it can carry; return its details."""
    data = b"subtitles\n" * 500
    if store_kind == "fake":
        object_store.put(KEY, data, attributes=ATTRIBUTES)
        object_store.amend(KEY, tags=TAGS)
    else:
        object_store.boto.put_object(
            Bucket=object_store.bucket, Key=KEY, Body=data, ContentType="text/vtt", ContentEncoding="gzip",
            CacheControl="max-age=60", Metadata=ATTRIBUTES.metadata, Tagging="team=video+%2B+audio&x=",
        )  # fmt: skip
    return tier_store.details(KEY)


def body(object_store: Any) -> bytes:
    with object_store.open(KEY) as file:
        return bytes(file.read())


def same(now: Details, before: Details) -> bool:
    """Return whether the object's attributes and size are unchanged."""
    return (now.attributes, now.info.size) == (before.attributes, before.info.size)


def arrived(tier_store: TierStore, storage_class: str, seconds: float = 60) -> Details:
    end = time.monotonic() + seconds
    while (found := tier_store.details(KEY)).info.storage_class != storage_class and time.monotonic() < end:
        time.sleep(0.1)
    assert found.info.storage_class == storage_class
    return found


def test_details_are_all_that_one_look_tells(
    tier_store: TierStore, stored: Details, capabilities: Capabilities
) -> None:
    assert (stored.info.size, stored.info.storage_class) == (5000, "STANDARD")
    assert stored.attributes.content_encoding == "gzip"
    assert stored.attributes.metadata == ATTRIBUTES.metadata
    assert stored.attributes.headers["cache-control"] == "max-age=60"
    assert stored.tag_count == (2 if capabilities.counts_tags else None)
    assert tier_store.tags(KEY) == TAGS
    with pytest.raises(ObjectMissing):
        tier_store.details(ObjectKey("processed/none"))


def test_tags_are_replaced(tier_store: TierStore, stored: Details) -> None:
    tier_store.put_tags(KEY, {"a": "b"})
    assert tier_store.tags(KEY) == {"a": "b"}
    tier_store.put_tags(KEY, {})
    assert tier_store.tags(KEY) == {}
    assert tier_store.details(KEY).info.etag == stored.info.etag
    with pytest.raises(StoreRefused):
        tier_store.put_tags(KEY, {f"tag-{number}": "" for number in range(11)})
    with pytest.raises(ObjectMissing):
        tier_store.put_tags(ObjectKey("processed/none"), {"a": "b"})


@pytest.mark.parametrize("store_kind", WITH_CLASSES, indirect=True)
@pytest.mark.parametrize("guarded", [False, True])
def test_copy_in_place_changes_the_class_and_nothing_else(
    tier_store: TierStore, stored: Details, object_store: Any, store_kind: str, guarded: bool
) -> None:
    was = body(object_store)
    tier_store.copy_in_place(stored, "GLACIER_IR", guarded=guarded)
    now = tier_store.details(KEY)
    assert now.info.storage_class == "GLACIER_IR"
    assert same(now, stored)
    assert tier_store.tags(KEY) == TAGS
    assert body(object_store) == was
    tier_store.copy_in_place(now, "STANDARD", {"only": "this"}, guarded=guarded)
    assert tier_store.details(KEY).info.storage_class == "STANDARD"
    assert same(tier_store.details(KEY), stored)
    forgets = guarded and store_kind == "ministack"  # tags given when a multipart upload starts
    assert tier_store.tags(KEY) == (TAGS if forgets else {"only": "this"})


@pytest.mark.parametrize("guarded", [False, True])
def test_copy_in_place_of_another_object_is_refused(
    tier_store: TierStore,
    stored: Details,
    put: Callable[[str, bytes], None],
    object_store: Any,
    guarded: bool,
) -> None:
    put(KEY, b"another")
    with pytest.raises(PreconditionFailed):
        tier_store.copy_in_place(stored, "STANDARD", {}, guarded=guarded)
    assert body(object_store) == b"another"
    assert list(object_store.uploads()) == []


@pytest.mark.parametrize("store_kind", REAL, indirect=True)
def test_a_guarded_copy_never_takes_the_place_of_what_was_written_meanwhile(
    tier_store: TierStore, stored: Details, object_store: Any
) -> None:
    """The other object is written at the last moment, after the copy has read everything."""
    events, place = object_store.boto.meta.events, {"Bucket": object_store.bucket, "Key": KEY}

    def another(**_: Any) -> None:
        object_store.boto.put_object(**place, Body=b"another")

    events.register("before-call.s3.CompleteMultipartUpload", another)
    with pytest.raises(PreconditionFailed):
        tier_store.copy_in_place(stored, "STANDARD", {}, guarded=True)
    events.unregister("before-call.s3.CompleteMultipartUpload", another)
    assert body(object_store) == b"another"


@pytest.mark.parametrize("store_kind", ["ministack", "minio"], indirect=True)
def test_a_race_of_guarded_copies_and_writers_loses_nothing(tier_store: TierStore, object_store: Any) -> None:
    """The last unconditional write is read at the end, because a guarded copy never follows it."""
    place, old, new = {"Bucket": object_store.bucket, "Key": KEY}, b"old " * 500_000, b"new " * 200_000

    def copy(seen: Details) -> bool:
        try:
            tier_store.copy_in_place(seen, "STANDARD", {"a": "b"}, guarded=True)
        except PreconditionFailed:
            return False
        return True

    lost, first = 0, 0
    with ThreadPoolExecutor(2) as pool:
        for round in range(60):
            object_store.boto.put_object(**place, Body=old)
            copied = pool.submit(copy, tier_store.details(KEY))
            time.sleep(round % 20 / 1000)
            object_store.boto.put_object(**place, Body=new)
            first += copied.result()
            lost += body(object_store) != new
    assert lost == 0
    assert 0 <= first < 60


def test_copy_in_place_of_nothing_is_an_error(tier_store: TierStore, stored: Details) -> None:
    gone = replace(stored, info=replace(stored.info, key=ObjectKey("processed/none")))
    with pytest.raises(ObjectMissing):
        tier_store.copy_in_place(gone, "STANDARD", {})


@pytest.mark.parametrize("name", ["cold", "COLD_AS_ICE", "standard_ia"])
def test_a_class_that_the_store_does_not_have_is_refused(
    tier_store: TierStore, stored: Details, name: str
) -> None:
    with pytest.raises(StoreRefused):
        tier_store.copy_in_place(stored, name)
    assert tier_store.details(KEY) == stored


@pytest.mark.parametrize("store_kind", REAL, indirect=True)
@pytest.mark.parametrize("size", [7 << 20, (10 << 20) + 1])
def test_what_is_too_large_for_one_request_is_copied_in_parts(
    tier_store: TierStore, object_store: Any, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transition, "LARGEST", 6 << 20)
    monkeypatch.setattr(transition, "PART", 5 << 20)
    data = bytes(range(256)) * (size // 256) + b"!" * (size % 256)
    object_store.boto.put_object(
        Bucket=object_store.bucket, Key=KEY, Body=data, Metadata={"a": "b"}, Tagging="t=u", ContentType="a/b"
    )
    before = tier_store.details(KEY)
    tier_store.copy_in_place(before, "STANDARD")
    now = tier_store.details(KEY)
    assert now.info.etag.endswith(f"-{-(-size // (5 << 20))}")
    assert same(now, before)
    assert (tier_store.tags(KEY), body(object_store)) == ({"t": "u"}, data)


@pytest.mark.parametrize("store_kind", WITH_REMOTE, indirect=True)
def test_a_tagged_object_moves_to_the_remote_tier_and_back(
    tier_store: TierStore, stored: Details, object_store: Any
) -> None:
    was = body(object_store)
    tier_store.put_tags(KEY, TAGS | {"tier": "cold"})
    now = arrived(tier_store, remote_tier.TIER)
    assert same(now, stored)
    assert now.info.etag == stored.info.etag
    assert body(object_store) == was
    tier_store.copy_in_place(now, "STANDARD", TAGS, guarded=True)
    back = tier_store.details(KEY)
    assert (back.info.storage_class, back.restore) == ("STANDARD", "")
    assert same(back, stored)
    assert (tier_store.tags(KEY), body(object_store)) == (TAGS, was)


@pytest.mark.parametrize("store_kind", WITH_CLASSES, indirect=True)
def test_an_archived_object_is_asked_back(tier_store: TierStore, stored: Details) -> None:
    with pytest.raises(StoreRefused):
        tier_store.request_restore(KEY, 1)
    tier_store.copy_in_place(stored, "GLACIER")
    tier_store.request_restore(KEY, 1)
    assert tier_store.details(KEY).restore.startswith("ongoing-request=")


def test_rules_are_those_that_move_what_is_tagged_at_once(
    tier_store: TierStore, object_store: Any, store_kind: str
) -> None:
    known = {"cold": remote_tier.TIER} if store_kind in ("fake", "minio") else {}
    assert tier_store.rules() == known


@pytest.mark.parametrize("store_kind", ["ministack"], indirect=True)
@pytest.mark.parametrize(
    "change",
    [
        {"Status": "Disabled"},
        {"Filter": {"Tag": {"Key": "tear", "Value": "cold"}}},
        {"Filter": {"Prefix": "processed/"}},
        {"Filter": {"And": {"Prefix": "temp/", "Tags": [{"Key": "tier", "Value": "cold"}]}}},
        {"Filter": {"And": {"ObjectSizeGreaterThan": 9, "Tags": [{"Key": "tier", "Value": "cold"}]}}},
        {"Filter": {"And": {"Tags": [{"Key": "tier", "Value": "cold"}, {"Key": "a", "Value": "b"}]}}},
        {"Transitions": [{"Days": 1, "StorageClass": "GLACIER"}]},
    ],
    ids=str,
)
def test_a_rule_that_does_not_move_at_once_all_that_is_tagged_is_none(
    tier_store: TierStore, object_store: Any, change: dict[str, Any]
) -> None:
    other = remote_tier.rule("STANDARD_IA", "warm", ID="other")
    remote_tier.install(object_store.boto, object_store.bucket, other, remote_tier.rule("GLACIER", **change))
    assert tier_store.rules() == {"warm": "STANDARD_IA"}


def test_the_probe_finds_what_moving_relies_on(capabilities: Capabilities, store_kind: str) -> None:
    """Known facts about the servers the suite runs on; if they change, so does what may be promised."""
    found = capabilities
    facts = (found.conditional_complete, found.conditional_copy, found.counts_tags)
    known = {"fake": (True, True, True), "ministack": (True, False, False), "minio": (True, False, True)}
    known |= dict.fromkeys(("versitygw", "versitygw_plain"), known["minio"])
    assert facts == known.get(store_kind, facts)
    if store_kind == "ministack":
        assert {"STANDARD_IA", "GLACIER_IR", "GLACIER"} <= set(found.storage_classes)
    if store_kind == "minio":
        assert set(found.storage_classes) == {"STANDARD", "REDUCED_REDUNDANCY"}
