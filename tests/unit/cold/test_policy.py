"""Selection of the objects to compress and to move, and the reasons to keep the others."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from storage.cold.actions.compress import CompressObject
from storage.cold.actions.follow import FollowObject
from storage.cold.actions.transition import TransitionObject
from storage.cold.model import ColdRecord, class_of
from storage.cold.policy import ColdObjects
from storage.core.capabilities import Capabilities
from storage.core.model import JobId, ObjectKey, Prefix
from storage.core.tiers import CLASSES, ColdSettings, Rule
from storage.engine.actions import Action, Keep
from storage.testing import MemoryStores
from tests.support.in_memory import DAY, NOW, World

TEXT = "transcription/transcript.json"
BIG = b"x" * (200 << 10)


@pytest.fixture
def cold(world: World) -> World:
    """Set up a store with storage classes, and a job completed a hundred days ago."""
    world.database.capabilities = Capabilities(
        storage_classes=("STANDARD", "STANDARD_IA", "GLACIER_IR", "GLACIER"),
        conditional_put=True,
        conditional_complete=True,
    )
    world.job("j", "completed", 100 * DAY, completed_at=NOW - 100 * DAY)
    return world


def decide(
    world: World, rule: ColdObjects | None = None, stores: MemoryStores | None = None
) -> list[Action | Keep]:
    rule, stores = rule or ColdObjects(), stores or world.stores
    return list(rule.plan(rule.select(stores, world.time), world.time))


def answer(decided: list[Action | Keep]) -> list[tuple[str, str]]:
    """Return for each object the verb planned, or the reason why it stays."""
    return [(one.key.split("/", 2)[-1], one.reason if isinstance(one, Keep) else one.verb) for one in decided]


def with_rules(world: World, **rules: Rule) -> MemoryStores:
    cold_settings = ColdSettings(rules={**dict.fromkeys(CLASSES, Rule()), **rules})
    return replace(world.stores, cold_settings=cold_settings)


def save_records(world: World, key: str, **what: object) -> None:
    info = world.objects._info(key)
    assert info
    one = ColdRecord(key=info.key, etag=info.etag, size=info.size, object_class=class_of(key))
    world.stores.cold.save_records([replace(one, **what)])  # type: ignore[arg-type]


def test_both_are_due_and_compressing_comes_first(cold: World) -> None:
    cold.put(f"processed/j/{TEXT}", 100 * DAY, BIG)
    first, second = decide(cold)
    assert isinstance(first, CompressObject)
    assert isinstance(second, TransitionObject)
    assert (first.codec, first.level, first.object_class, first.owner) == ("zstd", None, "transcripts", "j")
    assert (second.tier, second.how, second.target) == ("cold", "class", "GLACIER_IR")
    assert first.reason == "transcripts of a job completed and not read for 100 days"


@pytest.mark.parametrize("status", ["queued", "processing", "failed", "cleaned_up"])
def test_only_completed_jobs(cold: World, status: str) -> None:
    cold.job("other", status, 200 * DAY)
    cold.put("processed/other/raw/video.mp4", 200 * DAY, BIG)
    cold.put("processed/nobody/raw/video.mp4", 200 * DAY, BIG)
    cold.put("processed/loose.mp4", 200 * DAY, BIG)
    assert answer(decide(cold)) == [
        ("loose.mp4", "belongs to no job"),
        ("raw/video.mp4", "job nobody has no row"),
        ("raw/video.mp4", f"job other is {status}"),
    ]


def test_nothing_outside_processed_is_looked_at(cold: World) -> None:
    for key in ("processed_old/j/a", "uploads/j/a", "temp/j/a", "models/a"):
        cold.put(key, 200 * DAY, BIG)
    assert decide(cold) == []


def test_a_day_short_of_the_rule(cold: World) -> None:
    cold.job("young", "completed", 89 * DAY, completed_at=NOW - 89 * DAY)
    cold.put(f"processed/young/{TEXT}", 89 * DAY, BIG)
    assert answer(decide(cold)) == [
        (TEXT, "used 89 days ago, compressed after 90 days and used 89 days ago, not yet moved")
    ]


def test_the_age_is_the_job_s_and_not_the_object_s(cold: World) -> None:
    """An object written a minute ago by a compression is as old as its job."""
    cold.put(f"processed/j/{TEXT}", timedelta(minutes=1), BIG)
    assert [verb for _, verb in answer(decide(cold))] == ["compress", "transition"]


def test_a_read_keeps_it_hot(cold: World) -> None:
    cold.put(f"processed/j/{TEXT}", 100 * DAY, BIG)
    cold.stores.cold.touch([f"processed/j/{TEXT}"], NOW - 3 * DAY)
    ((_, why),) = answer(decide(cold))
    assert why.startswith("used 3 days ago")


def test_a_pinned_job_stays_as_it_is(cold: World) -> None:
    cold.put(f"processed/j/{TEXT}", 100 * DAY, BIG)
    cold.stores.cold.pin(JobId("j"), "in court", "tom")
    assert answer(decide(cold)) == [(TEXT, "job j is pinned: in court")]


def test_what_was_found_out_is_not_looked_at_again(cold: World) -> None:
    key = f"processed/j/{TEXT}"
    cold.put(key, 100 * DAY, BIG)
    save_records(cold, key, compression="skipped", skipped="a video does not shrink")
    stores = with_rules(cold, transcripts=Rule(cold=None))
    assert answer(decide(cold, stores=stores)) == [
        (TEXT, "a video does not shrink and used 100 days ago, not yet moved")
    ]
    cold.put(key, 100 * DAY, BIG + b"anew")
    assert answer(decide(cold, stores=stores)) == [(TEXT, "compress")], "another etag is another object"


def test_what_is_compressed_is_only_moved(cold: World) -> None:
    key = f"processed/j/{TEXT}"
    cold.put(key, 100 * DAY, BIG)
    save_records(cold, key, compression="compressed")
    assert answer(decide(cold)) == [(TEXT, "transition")]


@pytest.mark.parametrize(
    ("kind", "verbs"), [("GLACIER_IR", []), ("GLACIER", []), ("STANDARD_IA", ["transition"])]
)
def test_what_is_cold_is_not_read_back_to_be_compressed(cold: World, kind: str, verbs: list[str]) -> None:
    key = f"processed/j/{TEXT}"
    cold.put(key, 100 * DAY, BIG)
    cold.objects.amend(key, storage_class=kind)
    assert [one.verb for one in decide(cold) if not isinstance(one, Keep)] == verbs


def test_it_never_goes_to_a_warmer_tier(cold: World) -> None:
    key = f"processed/j/{TEXT}"
    cold.put(key, 100 * DAY, BIG)
    cold.objects.amend(key, storage_class="GLACIER_IR")
    stores = with_rules(cold, transcripts=Rule(warm=30 * DAY, cold=None))
    assert answer(decide(cold, stores=stores)) == [
        (TEXT, "in cold, and not read back to compress it and cold already")
    ]


def test_warm_first_then_cold(cold: World) -> None:
    cold.put("processed/j/raw/video.mp4", 100 * DAY, BIG)
    for ages, tier in (((30, 180), "warm"), ((30, 99), "cold")):
        warm, last = (days * DAY for days in ages)
        stores = with_rules(cold, original=Rule(compress=None, warm=warm, cold=last))
        (one,) = decide(cold, stores=stores)
        assert isinstance(one, TransitionObject)
        assert one.tier == tier


def test_small_objects_are_not_worth_a_tier(cold: World) -> None:
    cold.put(f"processed/j/{TEXT}", 100 * DAY, b"x" * 2000)
    cold.put("processed/j/metadata.json", 100 * DAY, b"{}")
    assert answer(decide(cold)) == [
        ("metadata.json", "too small to be compressed and too small for cold"),
        (TEXT, "compress"),
    ]


def test_a_store_without_tiers_says_so(cold: World) -> None:
    cold.database.capabilities = Capabilities(storage_classes=("STANDARD",), conditional_put=True)
    cold.put("processed/j/raw/video.mp4", 100 * DAY, BIG)
    stores = with_rules(cold, original=Rule(compress=None))
    ((_, why),) = answer(decide(cold, stores=stores))
    assert why == (
        "original is never compressed and this store has no tier cold: no storage class for it was proven, "
        "and STORAGE_TIERS names none"
    )


def test_an_archive_is_used_only_where_it_is_named(cold: World) -> None:
    """An archived object cannot be read at once: links to it would break without an operator's request."""
    classes = ("STANDARD", "GLACIER")
    cold.database.capabilities = Capabilities(
        storage_classes=classes, conditional_put=True, conditional_complete=True
    )
    cold.put("processed/j/raw/video.mp4", 100 * DAY, BIG)
    rule = ColdObjects(steps=("transition",))
    ((_, why),) = answer(decide(cold, rule))
    assert "this store has no tier cold" in why
    stores = replace(cold.stores, cold_settings=ColdSettings(tiers={"cold": "GLACIER"}))
    assert answer(decide(cold, rule, stores)) == [("raw/video.mp4", "transition")]


def test_a_night_s_bytes_are_spent_in_key_order_and_the_next_goes_on(cold: World) -> None:
    for number in range(5):
        cold.put(f"processed/j/raw/{number}.mp4", 100 * DAY, BIG)
    rule = ColdObjects(budget=len(BIG) * 4)  # each object is compressed and moved
    decided = decide(cold, rule)
    assert [(one.verb, one.key[-5]) for one in decided if not isinstance(one, Keep)] == [
        ("compress", "0"),
        ("compress", "1"),
        ("transition", "0"),
        ("transition", "1"),
    ]
    assert {one.reason for one in decided if isinstance(one, Keep)} == {
        "the bytes allowed for one night are spent"
    }
    for number in range(2):
        key = f"processed/j/raw/{number}.mp4"
        save_records(cold, key, compression="compressed")
        cold.objects.amend(key, storage_class="GLACIER_IR")
    assert [one.key[-5] for one in decide(cold, rule) if one.key[-5] in "23" and not isinstance(one, Keep)]


def test_one_object_larger_than_the_night_goes_alone(cold: World) -> None:
    cold.put("processed/j/raw/0.mp4", 100 * DAY, BIG)
    cold.put("processed/j/raw/1.mp4", 100 * DAY, BIG)
    decided = decide(cold, ColdObjects(budget=10))
    selected = [(one.verb, one.key[-5]) for one in decided if not isinstance(one, Keep)]
    assert selected == [("compress", "0"), ("transition", "0")]


def test_classes_and_steps_that_are_asked_for(cold: World) -> None:
    cold.put(f"processed/j/{TEXT}", 100 * DAY, BIG)
    cold.put("processed/j/raw/video.mp4", 100 * DAY, BIG)
    rule = ColdObjects(classes=("transcripts",), steps=("transition",))
    assert answer(decide(cold, rule)) == [
        ("raw/video.mp4", "class original is not selected"),
        (TEXT, "transition"),
    ]


def test_one_listing_whatever_there_is_to_do(cold: World) -> None:
    for number in range(2_500):
        cold.put(f"processed/j/raw/{number:04}.mp4", 100 * DAY, b"x" * 2000)
    cold.count_from_here()
    decide(cold)
    assert cold.objects.requests == {"list": 3, "rules": 1}


def test_what_was_asked_to_move_is_followed_up_and_not_asked_again(cold: World) -> None:
    """This holds also if its job was pinned or read meanwhile: the object is already in transition."""
    key = "processed/j/raw/video.mp4"
    cold.put(key, 100 * DAY, BIG)
    sent = {"tier": "cold", "tier_state": "asked", "asked_at": NOW - DAY}
    save_records(cold, key, compression="skipped", skipped="video", **sent)
    first, second = decide(cold)
    assert first == FollowObject(
        key=ObjectKey(key), size=len(BIG), tier="cold", reason="asked to move to cold, 2026-03-07 02:00 UTC"
    )
    assert second.reason == "video and on its way to cold"
    cold.stores.cold.pin(JobId("j"), "in court", "tom")
    assert [type(one) for one in decide(cold)] == [FollowObject, Keep]


def test_a_prefix_may_be_asked_for(cold: World) -> None:
    cold.put("processed/j/raw/video.mp4", 100 * DAY, BIG)
    cold.put("processed/k/raw/video.mp4", 100 * DAY, BIG)
    rule = ColdObjects(prefixes=(Prefix("processed/k/"),))
    assert [one.key for one in decide(cold, rule)] == [ObjectKey("processed/k/raw/video.mp4")]
