"""Objects sent to a colder tier, in memory: moved, or left alone for a reason."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from storage.cold import tiering
from storage.cold.model import ColdRecord, Compression
from storage.core.attributes import Attributes
from storage.core.model import ObjectKey, Outcome, Run
from tests.support.in_memory import DAY, HOUR, NOW
from tests.support.tiers_in_memory import BYTES, KEY, Tiers

BOTH = pytest.mark.parametrize(("how", "target"), [("tag", "COLD"), ("class", "GLACIER_IR")])


# --- moved -----------------------------------------------------------------------------------------
@BOTH
def test_an_object_is_moved_seen_there_and_entered(tiers: Tiers, how: str, target: str) -> None:
    action = tiers.action(how)
    assert tiers.apply(action) == [Outcome("done", f"in {target}", len(BYTES))]
    assert tiers.info.storage_class == target
    assert tiers.objects._versions[KEY][0].data == BYTES
    assert (tiers.record.tier, tiers.record.tier_state, tiers.record.asked_at) == ("cold", "held", NOW)
    assert tiers.record.etag == tiers.info.etag
    assert tiers.ledger() == [("transition", "cold", KEY, len(BYTES))]
    assert action.holds(tiers.stores)


def test_a_copy_is_one_request_beside_the_two_looks(tiers: Tiers) -> None:
    tiers.count_from_here()
    tiers.apply(tiers.action("class"))
    assert (tiers.objects.requests["copy"], tiers.objects.requests["head"]) == (1, 2)
    assert tiers.objects.requests["tags"] == tiers.objects.requests["put-tags"] == 0


def test_tags_are_asked_for_only_where_there_are_any(tiers: Tiers) -> None:
    tiers.count_from_here()
    tiers.apply(tiers.action())
    assert tiers.objects.requests["tags"] == 0
    assert tiers.objects.requests["put-tags"] == 1


def test_other_tags_remain(tiers: Tiers) -> None:
    tiers.objects.amend(KEY, tags={"team": "video"})
    tiers.apply(tiers.action())
    assert tiers.tags == {"team": "video", "tier": "cold"}


@BOTH
def test_what_was_compressed_since_the_plan_is_moved(tiers: Tiers, how: str, target: str) -> None:
    action = tiers.action(how)
    compression = Compression("zstd", len(BYTES), "0" * 64, action.etag)
    tiers.objects.put(KEY, b"smaller", attributes=compression.written_into(Attributes()))
    assert tiers.apply(action)[0].status == "done"
    assert tiers.info.storage_class == target
    assert (tiers.record.compression, tiers.record.size) == ("compressed", 7)
    assert tiers.ledger() == [("transition", "cold", KEY, 7)]


def test_what_was_found_of_its_bytes_is_not_forgotten(tiers: Tiers) -> None:
    action = tiers.action()
    known = ColdRecord(
        key=KEY, etag=action.etag, size=5, object_class="360p", compression="skipped", skipped="media"
    )
    tiers.log.save_records([known])
    tiers.apply(action)
    assert (tiers.record.compression, tiers.record.skipped, tiers.record.tier) == ("skipped", "media", "cold")


def test_a_version_left_behind_is_counted(tiers: Tiers) -> None:
    tiers.objects.versioned = True
    tiers.apply(tiers.action("class"))
    assert [one.left_behind for _, one in tiers.log.ledger] == [len(BYTES)]


# --- not moved -------------------------------------------------------------------------------------
@BOTH
def test_another_object_is_left_alone(tiers: Tiers, how: str, target: str) -> None:
    action = tiers.action(how)
    tiers.objects.put(KEY, b"another")
    assert tiers.apply(action) == [Outcome("skipped", tiering.OVERTAKEN, 7)]
    assert (tiers.info.storage_class, tiers.tags) == ("STANDARD", {})
    assert tiers.ledger() == []


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda tiers: tiers.job("job-1", "processing", HOUR), "moved on"),
        (lambda tiers: tiers.log.pin("job-1", "a court asked", "me"), "a court asked"),
        (lambda tiers: tiers.log.touch([KEY], NOW + HOUR), "read since"),
    ],
    ids=["job", "pin", "read"],
)
def test_what_is_needed_again_stays(tiers: Tiers, change: Callable[[Tiers], object], why: str) -> None:
    action = tiers.action()
    tiers.stores.runs.save(Run(id="run-1", job="cold_objects", as_of=NOW, state="applying"))
    change(tiers)
    (found,) = tiers.apply(action)
    assert found.status == "skipped"
    assert why in found.detail
    assert (tiers.info.storage_class, tiers.tags) == ("STANDARD", {})


@BOTH
def test_an_object_that_goes_meanwhile_is_no_failure(tiers: Tiers, how: str, target: str) -> None:
    action = tiers.action(how)

    deleted = 0

    def delete() -> None:
        nonlocal deleted
        deleted += 1
        tiers.objects._versions.pop(KEY, None)
        tiers.objects._sorted = None

    moments = (("head", 1), ("put-tags" if how == "tag" else "copy", 1), ("head", 2))
    for request, nth in moments:
        tiers.objects.put(KEY, BYTES)
        tiers.before(request, delete, nth)
        assert tiers.apply(action)[0].status in ("skipped", "done")
    assert deleted == len(moments)
    assert action.holds(tiers.stores), "that somebody deleted it is nothing we did wrong"


@BOTH
def test_looking_again_is_about_the_object_that_was_meant(tiers: Tiers, how: str, target: str) -> None:
    """Verification fails for an object left in its old tier, and ignores an object written anew since."""
    action = tiers.action(how)
    assert not action.holds(tiers.stores)
    tiers.objects.put(KEY, b"new")
    assert action.holds(tiers.stores)


def test_written_anew_between_two_looks_it_is_not_ours_either(tiers: Tiers) -> None:
    action = tiers.action("tag")
    tiers.before("tags", lambda: tiers.objects.put(KEY, b"new"))
    assert action.holds(tiers.stores)


@pytest.mark.parametrize(
    ("how", "request_", "nth"), [("tag", "put-tags", 1), ("tag", "head", 2), ("class", "copy", 1)]
)
def test_an_object_that_takes_the_key_meanwhile_stays_hot(
    tiers: Tiers, how: str, request_: str, nth: int
) -> None:
    """It comes before the tag, after it, or before the copy: its own tags stay, our tag is removed again."""
    action, tiers.tier_store.looks = tiers.action(how), None

    def another() -> None:
        tags = {"team": "video"} | tiers.tags
        tiers.objects.put(KEY, b"another")
        tiers.objects.amend(KEY, tags=tags)

    tiers.before(request_, another, nth)
    assert tiers.apply(action) == [Outcome("skipped", tiering.OVERTAKEN, len(BYTES))]
    assert tiers.info.storage_class == "STANDARD"
    assert "tier" not in tiers.tags
    assert tiers.objects._versions[KEY][0].data == b"another"
    assert (tiers.record.tier_state, tiers.ledger()) == ("", [])


def test_a_new_object_that_our_tag_moved_is_brought_back(tiers: Tiers) -> None:
    action = tiers.action()
    tiers.before("put-tags", lambda: tiers.objects.put(KEY, b"another"))
    (found,) = tiers.apply(action)
    assert found == Outcome("skipped", tiering.OVERTAKEN, len(BYTES))
    assert (tiers.info.storage_class, tiers.tags, tiers.info.size) == ("STANDARD", {}, 7)
    assert tiers.ledger() == []
    assert tiers.record.tier_state == ""


def test_ten_tags_are_all_that_an_object_can_have(tiers: Tiers) -> None:
    tiers.objects.amend(KEY, tags={f"tag-{number}": "" for number in range(10)})
    assert tiers.apply(tiers.action())[0].status == "skipped"
    assert len(tiers.tags) == 10
    tiers.objects.amend(KEY, tags={f"tag-{number}": "" for number in range(9)})
    assert tiers.apply(tiers.action())[0].status == "done"


def test_a_store_that_ignores_classes_is_found_out(tiers: Tiers) -> None:
    tiers.tier_store.ignores_classes = True
    (found,) = tiers.apply(tiers.action("class"))
    assert found.status == "failed"
    assert "ignores storage classes" in found.detail
    assert tiers.ledger() == []
    assert (tiers.record.tier, tiers.record.tier_state) == ("hot", "")


def test_a_class_that_is_none_fails_with_the_stores_words(tiers: Tiers) -> None:
    (found,) = tiers.apply(tiers.action("class", target="glacier_ir"))
    assert found.status == "failed"
    assert "InvalidStorageClass" in found.detail
    assert tiers.record.tier_state == ""


def test_from_one_remote_tier_no_rule_leads_to_another(tiers: Tiers) -> None:
    tiers.objects.amend(KEY, storage_class="WARM")
    (found,) = tiers.apply(tiers.action())
    assert (found.status, tiers.tags) == ("skipped", {})


def test_one_bad_object_does_not_hold_up_the_others(tiers: Tiers) -> None:
    other = ObjectKey("processed/job-1/720p/output.mp4")
    tiers.put(other, 200 * DAY)
    lies = Attributes(metadata={"storage-codec": "zstd", "storage-original-size": "many"})
    tiers.objects.put(KEY, BYTES, attributes=lies)
    etag = tiers.objects._info(other).etag  # type: ignore[union-attr]
    found = tiers.apply(tiers.action(), tiers.action(key=other, etag=etag))
    assert [one.status for one in found] == ["failed", "done"]
