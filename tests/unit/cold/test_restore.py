"""Objects brought back from a colder tier, and what that costs."""

from __future__ import annotations

from dataclasses import replace

import pytest

from storage.cold import restore
from storage.core.attributes import Attributes
from storage.core.model import Outcome
from storage.core.tiers import ColdSettings, Price
from tests.support.in_memory import DAY, NOW
from tests.support.tiers_in_memory import BYTES, KEY, Tiers

BOTH = pytest.mark.parametrize(("how", "target"), [("tag", "COLD"), ("class", "GLACIER_IR")])


def back(tiers: Tiers) -> Outcome:
    ((_, found),) = restore.bring_back([KEY], tiers.stores, "by hand")
    return found


@BOTH
def test_an_object_comes_back(tiers: Tiers, how: str, target: str) -> None:
    tiers.objects.amend(KEY, tags={"team": "video"})
    tiers.apply(tiers.action(how))
    assert back(tiers) == Outcome("done", "hot", len(BYTES))
    assert (tiers.info.storage_class, tiers.tags) == ("STANDARD", {"team": "video"})
    assert (tiers.record.tier, tiers.record.tier_state) == ("hot", "")
    assert [line[:2] for line in tiers.ledger()] == [("transition", "cold"), ("return", "hot")]
    assert tiers.log.accessed([KEY]) == {KEY: NOW}  # otherwise the next night would send it back
    assert back(tiers).detail == "hot already"
    assert len(tiers.ledger()) == 2


def test_one_on_its_way_is_called_back(tiers: Tiers) -> None:
    tiers.tier_store.looks = None
    tiers.apply(tiers.action())
    assert back(tiers).status == "done"
    assert (tiers.tags, tiers.record.tier_state, tiers.ledger()) == ({}, "", [])


def test_an_archived_object_is_asked_back_first(tiers: Tiers) -> None:
    tiers.apply(tiers.action("class", target="GLACIER"))
    found = back(tiers)
    assert found.status == "skipped"
    assert "try again when it is done" in found.detail
    assert tiers.info.storage_class == "GLACIER"
    assert back(tiers).status == "done"
    assert tiers.objects.requests["ask-back"] == 1


def test_an_object_that_lies_of_itself_comes_back_all_the_same(tiers: Tiers) -> None:
    lies = Attributes(metadata={"storage-codec": "zstd", "storage-original-size": "many"})
    tiers.objects.put(KEY, BYTES, attributes=lies)
    tiers.objects.amend(KEY, storage_class="GLACIER_IR")
    assert back(tiers).status == "done"
    assert tiers.record.compression == ""


def test_an_object_written_anew_while_it_comes_back_is_not_lost(tiers: Tiers) -> None:
    tiers.apply(tiers.action("class"))
    tiers.before("copy", lambda: tiers.objects.put(KEY, b"another"))
    assert back(tiers).status == "failed"
    assert tiers.objects._versions[KEY][0].data == b"another"


REQUESTS = 10  # more than a restore sends


@pytest.mark.parametrize("nth", range(1, REQUESTS + 1))
def test_killed_on_the_way_back_and_done_again(tiers: Tiers, nth: int) -> None:
    tiers.apply(tiers.action())
    left = [nth]

    def kill(_: str) -> None:
        left[0] -= 1
        if left[0] == 0:
            raise KeyboardInterrupt

    tiers.objects.traffic.before = kill
    killed = False
    try:
        back(tiers)
    except KeyboardInterrupt:
        killed = True
        tiers.objects.traffic.before = lambda name: None
        back(tiers)
    assert killed is (nth < REQUESTS), "every request is a point of the kill, the last number is none"
    assert (tiers.info.storage_class, tiers.tags) == ("STANDARD", {})
    assert [line[0] for line in tiers.ledger()] == ["transition", "return"]
    assert tiers.objects._versions[KEY][0].data == BYTES


def test_leaving_early_costs(tiers: Tiers) -> None:
    """After 30 of 90 days at 0.3 per GiB and month, two months are still to be paid."""
    cold_settings = ColdSettings(
        tiers={"cold": "COLD"}, prices={"cold": Price(0.3, 90 * DAY)}, currency="EUR"
    )
    tiers.stores = replace(tiers.stores, cold_settings=cold_settings)
    tiers.apply(tiers.action())
    (cold_object,) = restore.stays([tiers.info], tiers.stores, NOW + 30 * DAY)
    assert (cold_object.tier, cold_object.since, cold_object.minimum, cold_object.size) == (
        "cold",
        NOW,
        90 * DAY,
        len(BYTES),
    )
    assert cold_object.early == pytest.approx(len(BYTES) / (1 << 30) * 0.6)
    (cold_object,) = restore.stays([tiers.info], tiers.stores, NOW + 90 * DAY)
    assert cold_object.early == 0
    tiers.log.records.clear()  # unknown since when: the highest possible cost
    (cold_object,) = restore.stays([tiers.info], tiers.stores, NOW + 90 * DAY)
    assert (cold_object.since, cold_object.early) == (None, pytest.approx(len(BYTES) / (1 << 30) * 0.9))


def test_what_is_hot_does_not_come_back(tiers: Tiers) -> None:
    assert list(restore.stays([tiers.info], tiers.stores, NOW)) == []
