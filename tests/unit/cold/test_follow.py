"""Objects in transition to a colder tier: waiting, follow-up, and recovery from a kill at any instant."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from storage.cold import tiering
from storage.cold.model import ColdRecord
from storage.core.tiers import ColdSettings
from storage.engine.actions import decode, encode
from tests.support.in_memory import DAY, NOW
from tests.support.runs import VERBS
from tests.support.tiers_in_memory import BYTES, KEY, Tiers


def test_what_takes_longer_is_followed_up(tiers: Tiers) -> None:
    tiers.tier_store.looks = None
    action = tiers.action()
    (found,) = tiers.apply(action)
    assert (found.status, found.detail[:6]) == ("done", "asked:")
    assert action.holds(tiers.stores)
    assert (tiers.record.tier_state, tiers.ledger()) == ("asked", [])
    tiers.time += DAY
    assert tiering.follow_up(tiers.stores, tiers.time) == tiering.FollowUp(waiting=1)
    tiers.tier_store.looks = 0
    assert tiering.follow_up(tiers.stores, tiers.time) == tiering.FollowUp(arrived=1)
    assert (tiers.record.tier_state, tiers.record.asked_at) == ("held", NOW)
    assert tiers.ledger() == [("transition", "cold", KEY, len(BYTES))]
    assert tiering.follow_up(tiers.stores, tiers.time) == tiering.FollowUp()


def test_a_few_looks_later_it_is_there(tiers: Tiers) -> None:
    tiers.tier_store.looks = 4
    assert tiers.apply(tiers.action())[0].detail == "in COLD"


@pytest.mark.parametrize(("age", "stuck"), [(2 * DAY, 0), (2 * DAY + timedelta(seconds=1), 1)])
def test_after_two_days_it_is_stuck(tiers: Tiers, age: timedelta, stuck: int) -> None:
    tiers.tier_store.looks = None
    tiers.apply(tiers.action())
    found = tiering.follow_up(tiers.stores, NOW + age)
    assert (len(found.stuck), found.waiting) == (stuck, 1 - stuck)
    assert tiers.record.tier_state == ("stuck" if stuck else "asked")
    if stuck:
        assert found.stuck[0][0] == KEY
        assert "COLD" in found.stuck[0][1]
        tiers.tier_store.looks = 0  # the tier answers again
        assert tiering.follow_up(tiers.stores, NOW + age).arrived == 1
        assert tiers.record.tier_state == "held"


def test_a_tier_that_is_no_more_is_said(tiers: Tiers) -> None:
    tiers.tier_store.looks = None
    tiers.apply(tiers.action())
    tiers.tier_store.moves = {}
    found = tiering.follow_up(tiers.stores, NOW + 3 * DAY)
    assert "no tier cold any more" in found.stuck[0][1]


@pytest.mark.parametrize("how", ["tag", "class"])
@pytest.mark.parametrize("nth", range(1, 12))
def test_killed_at_any_request_and_done_again(tiers: Tiers, how: str, nth: int) -> None:
    """After a kill and a repetition the object arrives, is recorded, and is entered in the ledger once."""
    action = tiers.action(how)
    tiers.stores = replace(
        tiers.stores, cold_settings=ColdSettings(tiers={"cold": "GLACIER_IR" if how == "class" else "COLD"})
    )
    capable = replace(tiers.stores.control.capabilities(), storage_classes=tuple(tiers.tier_store.classes))
    tiers.stores.control.save_capabilities(capable)
    left = [nth]

    def kill(_: str) -> None:
        left[0] -= 1
        if left[0] == 0:
            raise KeyboardInterrupt

    tiers.objects.traffic.before = kill
    try:
        tiers.apply(action)
        assert nth > 3
    except KeyboardInterrupt:
        tiers.objects.traffic.before = lambda name: None
        tiering.follow_up(tiers.stores, NOW)  # the next night's first step
        tiers.apply(action)
    tiers.objects.traffic.before = lambda name: None
    assert tiers.info.storage_class == action.target
    assert tiers.record.tier_state == "held"
    assert tiers.ledger() == [("transition", "cold", KEY, len(BYTES))]
    assert list(tiers.log.moving()) == []


def test_killed_after_the_copy_it_counts_as_on_its_way(tiers: Tiers) -> None:
    """A later night then enters it in the ledger, though its class shows that nothing is left to do."""

    def kill() -> None:
        raise KeyboardInterrupt

    tiers.before("head", kill, 2)
    with pytest.raises(KeyboardInterrupt):
        tiers.apply(tiers.action("class"))
    assert tiers.info.storage_class == "GLACIER_IR"
    assert [one.key for one in tiers.log.moving()] == [KEY]
    assert tiers.ledger() == []


def test_the_ledger_comes_before_the_memory(tiers: Tiers, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(savings: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(tiers.log, "enter", refuse)
    with pytest.raises(KeyboardInterrupt):
        tiers.apply(tiers.action())
    assert tiers.record.tier_state == "asked"


def test_asked_and_never_sent_is_forgotten(tiers: Tiers) -> None:
    record = ColdRecord(
        key=KEY, etag=tiers.info.etag, size=1, object_class="360p", tier="cold", tier_state="asked",
        asked_at=NOW,
    )  # fmt: skip
    tiers.log.save_records([record])
    assert tiering.follow_up(tiers.stores, NOW).forgotten == 1
    assert (tiers.record.tier, tiers.record.tier_state) == ("hot", "")


def test_deleted_between_two_looks_of_the_follow_up(tiers: Tiers) -> None:
    tiers.tier_store.looks = None
    tiers.apply(tiers.action())
    tiers.before("tags", lambda: tiers.objects._versions.pop(KEY))
    assert tiering.follow_up(tiers.stores, NOW).forgotten == 1


def test_follow_up_takes_our_tag_off_a_new_object(tiers: Tiers) -> None:
    tiers.tier_store.looks = None
    tiers.apply(tiers.action())
    tiers.objects.put(KEY, b"another")
    tiers.objects.amend(KEY, tags={"tier": "cold", "team": "video"})
    assert tiering.follow_up(tiers.stores, NOW).forgotten == 1
    assert tiers.tags == {"team": "video"}


def test_a_twin_changes_nothing(tiers: Tiers) -> None:
    action = tiers.action()
    tiers.before(
        "put-tags", lambda: (setattr(tiers.objects.traffic, "before", lambda _: None), tiers.apply(action))
    )
    assert tiers.apply(action)[0].status == "done"
    assert tiers.apply(action)[0].status == "done"
    assert tiers.ledger() == [("transition", "cold", KEY, len(BYTES))]


def test_the_action_travels_in_a_plan(tiers: Tiers) -> None:
    action = tiers.action()
    assert decode(encode(action), VERBS) == action
