"""Objects on their way between tiers, in memory: sent, awaited, followed up, and brought back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any, cast

import pytest

from storage.backup_model import Attributes
from storage.cold import returning, tiering
from storage.cold_model import Coding, ColdSite, Memory, Price
from storage.engine.actions import VERBS, TransitionObject, Work, decode, encode
from storage.model import ObjectInfo, ObjectKey, Outcome, Run
from storage.testing import MemoryCold, MemoryMover
from tests.unit.world import DAY, HOUR, NOW, World

KEY = ObjectKey("processed/job-1/360p/output.mp4")
BYTES = b"film" * 50_000


class Tiers(World):
    """A world with a completed job's object, and a store with classes or a remote tier."""

    def __init__(self) -> None:
        super().__init__()
        self.job("job-1", "completed", 200 * DAY)
        self.put(KEY, 200 * DAY, BYTES)
        self.mover.classes = {"STANDARD", "STANDARD_IA", "GLACIER_IR", "GLACIER"}
        self.mover.moves = {"cold": "COLD"}

    @property
    def mover(self) -> MemoryMover:
        return cast(MemoryMover, self.stores.mover)

    @property
    def log(self) -> MemoryCold:
        return cast(MemoryCold, self.stores.cold)

    @property
    def memory(self) -> Memory:
        return self.log.recall([KEY])[KEY]

    @property
    def info(self) -> ObjectInfo:
        found = self.objects._info(KEY)
        assert found
        return found

    @property
    def tags(self) -> dict[str, str]:
        return dict(self.objects._versions[KEY][0].tags)

    def ledger(self) -> list[tuple[str, str, str, int]]:
        return [(one.kind, one.tier, one.key, one.after) for _, one in self.log.ledger]

    def action(self, how: str = "tag", **changes: Any) -> TransitionObject:
        row = self.stores.jobs.get(["job-1"])["job-1"]  # type: ignore[list-item,index]
        made = TransitionObject(
            key=KEY, size=len(BYTES), etag=self.info.etag, last_modified=self.info.last_modified,
            object_class="360p", tier="cold", how="tag", target="COLD", owner="job-1",
            owner_updated_at=row.updated_at, reason="not read for long",
        )  # fmt: skip
        if how == "class":
            made = replace(made, how="class", target="GLACIER_IR")
        return replace(made, **changes)

    def apply(self, *actions: TransitionObject) -> list[Outcome]:
        return TransitionObject.apply(actions, Work(self.stores, "run-1", "cold_objects"))

    def before(self, request: str, does: Callable[[], object], nth: int = 1) -> None:
        """Do something just before the ``nth`` request of a name."""
        left = [nth]

        def hook(name: str) -> None:
            if name == request:
                left[0] -= 1
                if left[0] == 0:
                    does()

        self.objects.traffic.before = hook


@pytest.fixture
def tiers(monkeypatch: pytest.MonkeyPatch) -> Tiers:
    monkeypatch.setattr(tiering, "PATIENCE", 0.3)
    monkeypatch.setattr(tiering, "FIRST_PAUSE", 0.01)
    return Tiers()


BOTH = pytest.mark.parametrize(("how", "target"), [("tag", "COLD"), ("class", "GLACIER_IR")])


# --- there -----------------------------------------------------------------------------------------
@BOTH
def test_an_object_is_moved_seen_there_and_entered(tiers: Tiers, how: str, target: str) -> None:
    action = tiers.action(how)
    assert tiers.apply(action) == [Outcome("done", f"in {target}", len(BYTES))]
    assert tiers.info.storage_class == target
    assert tiers.objects._versions[KEY][0].data == BYTES
    assert (tiers.memory.tier, tiers.memory.tier_state, tiers.memory.asked_at) == ("cold", "held", NOW)
    assert tiers.memory.etag == tiers.info.etag
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


def test_other_tags_stay(tiers: Tiers) -> None:
    tiers.objects.amend(KEY, tags={"team": "video"})
    tiers.apply(tiers.action())
    assert tiers.tags == {"team": "video", "tier": "cold"}


@BOTH
def test_what_was_compressed_since_the_plan_is_moved(tiers: Tiers, how: str, target: str) -> None:
    action = tiers.action(how)
    coding = Coding("zstd", len(BYTES), "0" * 64, action.etag)
    tiers.objects.put(KEY, b"smaller", attributes=coding.written_into(Attributes()))
    assert tiers.apply(action)[0].status == "done"
    assert tiers.info.storage_class == target
    assert (tiers.memory.coding, tiers.memory.size) == ("compressed", 7)
    assert tiers.ledger() == [("transition", "cold", KEY, 7)]


def test_what_was_found_of_its_bytes_is_not_forgotten(tiers: Tiers) -> None:
    action = tiers.action()
    known = Memory(key=KEY, etag=action.etag, size=5, object_class="360p", coding="skipped", skipped="media")
    tiers.log.remember([known])
    tiers.apply(action)
    assert (tiers.memory.coding, tiers.memory.skipped, tiers.memory.tier) == ("skipped", "media", "cold")


def test_a_version_left_behind_is_counted(tiers: Tiers) -> None:
    tiers.objects.versioned = True
    tiers.apply(tiers.action("class"))
    assert [one.left_behind for _, one in tiers.log.ledger] == [len(BYTES)]


# --- not there -------------------------------------------------------------------------------------
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

    def gone() -> None:
        tiers.objects._versions.pop(KEY, None)
        tiers.objects._sorted = None

    for request, nth in (("head", 1), ("put-tags", 1), ("copy", 1), ("head", 2)):
        tiers.objects.put(KEY, BYTES)
        tiers.before(request, gone, nth)
        assert tiers.apply(action)[0].status in ("skipped", "done")
    assert action.holds(tiers.stores) is False


@pytest.mark.parametrize(
    ("how", "request_", "nth"), [("tag", "put-tags", 1), ("tag", "head", 2), ("class", "copy", 1)]
)
def test_an_object_that_takes_the_key_meanwhile_stays_hot(
    tiers: Tiers, how: str, request_: str, nth: int
) -> None:
    """Before the tag, after it, before the copy; its own tags stay, ours is taken off again."""
    action, tiers.mover.looks = tiers.action(how), None

    def another() -> None:
        tags = {"team": "video"} | tiers.tags
        tiers.objects.put(KEY, b"another")
        tiers.objects.amend(KEY, tags=tags)

    tiers.before(request_, another, nth)
    assert tiers.apply(action) == [Outcome("skipped", tiering.OVERTAKEN, len(BYTES))]
    assert tiers.info.storage_class == "STANDARD"
    assert "tier" not in tiers.tags
    assert tiers.objects._versions[KEY][0].data == b"another"
    assert (tiers.memory.tier_state, tiers.ledger()) == ("", [])


def test_a_new_object_that_our_tag_moved_is_brought_back(tiers: Tiers) -> None:
    action = tiers.action()
    tiers.before("put-tags", lambda: tiers.objects.put(KEY, b"another"))
    (found,) = tiers.apply(action)
    assert found == Outcome("skipped", tiering.OVERTAKEN, len(BYTES))
    assert (tiers.info.storage_class, tiers.tags, tiers.info.size) == ("STANDARD", {}, 7)
    assert tiers.ledger() == []
    assert tiers.memory.tier_state == ""


def test_ten_tags_are_all_that_an_object_can_have(tiers: Tiers) -> None:
    tiers.objects.amend(KEY, tags={f"tag-{number}": "" for number in range(10)})
    assert tiers.apply(tiers.action())[0].status == "skipped"
    assert len(tiers.tags) == 10
    tiers.objects.amend(KEY, tags={f"tag-{number}": "" for number in range(9)})
    assert tiers.apply(tiers.action())[0].status == "done"


def test_a_store_that_ignores_classes_is_found_out(tiers: Tiers) -> None:
    tiers.mover.ignores_classes = True
    (found,) = tiers.apply(tiers.action("class"))
    assert found.status == "failed"
    assert "ignores storage classes" in found.detail
    assert tiers.ledger() == []
    assert (tiers.memory.tier, tiers.memory.tier_state) == ("hot", "")


def test_a_class_that_is_none_fails_with_the_stores_words(tiers: Tiers) -> None:
    (found,) = tiers.apply(tiers.action("class", target="glacier_ir"))
    assert found.status == "failed"
    assert "InvalidStorageClass" in found.detail
    assert tiers.memory.tier_state == ""


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


# --- on its way ------------------------------------------------------------------------------------
def test_what_takes_longer_is_followed_up(tiers: Tiers) -> None:
    tiers.mover.looks = None
    action = tiers.action()
    (found,) = tiers.apply(action)
    assert (found.status, found.detail[:6]) == ("done", "asked:")
    assert action.holds(tiers.stores)
    assert (tiers.memory.tier_state, tiers.ledger()) == ("asked", [])
    tiers.time += DAY
    assert tiering.follow_up(tiers.stores, tiers.time) == tiering.FollowUp(waiting=1)
    tiers.mover.looks = 0
    assert tiering.follow_up(tiers.stores, tiers.time) == tiering.FollowUp(arrived=1)
    assert (tiers.memory.tier_state, tiers.memory.asked_at) == ("held", NOW)
    assert tiers.ledger() == [("transition", "cold", KEY, len(BYTES))]
    assert tiering.follow_up(tiers.stores, tiers.time) == tiering.FollowUp()


def test_a_few_looks_later_it_is_there(tiers: Tiers) -> None:
    tiers.mover.looks = 4
    assert tiers.apply(tiers.action())[0].detail == "in COLD"


@pytest.mark.parametrize(("age", "stuck"), [(2 * DAY, 0), (2 * DAY + timedelta(seconds=1), 1)])
def test_after_two_days_it_is_stuck(tiers: Tiers, age: timedelta, stuck: int) -> None:
    tiers.mover.looks = None
    tiers.apply(tiers.action())
    found = tiering.follow_up(tiers.stores, NOW + age)
    assert (len(found.stuck), found.waiting) == (stuck, 1 - stuck)
    assert tiers.memory.tier_state == ("stuck" if stuck else "asked")
    if stuck:
        assert found.stuck[0][0] == KEY
        assert "COLD" in found.stuck[0][1]
        tiers.mover.looks = 0  # the tier answers again
        assert tiering.follow_up(tiers.stores, NOW + age).arrived == 1
        assert tiers.memory.tier_state == "held"


def test_a_tier_that_is_no_more_is_said(tiers: Tiers) -> None:
    tiers.mover.looks = None
    tiers.apply(tiers.action())
    tiers.mover.moves = {}
    found = tiering.follow_up(tiers.stores, NOW + 3 * DAY)
    assert "no tier cold any more" in found.stuck[0][1]


@pytest.mark.parametrize("how", ["tag", "class"])
@pytest.mark.parametrize("nth", range(1, 12))
def test_killed_at_any_request_and_done_again(tiers: Tiers, how: str, nth: int) -> None:
    """Killed, then repeated: it arrives, is remembered, and is entered once."""
    action = tiers.action(how)
    tiers.stores = replace(
        tiers.stores, site=ColdSite(tiers={"cold": "GLACIER_IR" if how == "class" else "COLD"})
    )
    capable = replace(tiers.stores.control.capabilities(), storage_classes=tuple(tiers.mover.classes))
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
        tiering.follow_up(tiers.stores, NOW)  # the next night's first act
        tiers.apply(action)
    tiers.objects.traffic.before = lambda name: None
    assert tiers.info.storage_class == action.target
    assert tiers.memory.tier_state == "held"
    assert tiers.ledger() == [("transition", "cold", KEY, len(BYTES))]
    assert list(tiers.log.moving()) == []


def test_killed_after_the_copy_it_counts_as_on_its_way(tiers: Tiers) -> None:
    """So that a later night enters it, though the class shows that nothing is left to do."""

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
    assert tiers.memory.tier_state == "asked"


def test_asked_and_never_sent_is_forgotten(tiers: Tiers) -> None:
    memory = Memory(
        key=KEY, etag=tiers.info.etag, size=1, object_class="360p", tier="cold", tier_state="asked",
        asked_at=NOW,
    )  # fmt: skip
    tiers.log.remember([memory])
    assert tiering.follow_up(tiers.stores, NOW).forgotten == 1
    assert (tiers.memory.tier, tiers.memory.tier_state) == ("hot", "")


def test_deleted_between_two_looks_of_the_follow_up(tiers: Tiers) -> None:
    tiers.mover.looks = None
    tiers.apply(tiers.action())
    tiers.before("tags", lambda: tiers.objects._versions.pop(KEY))
    assert tiering.follow_up(tiers.stores, NOW).forgotten == 1


def test_follow_up_takes_our_tag_off_a_new_object(tiers: Tiers) -> None:
    tiers.mover.looks = None
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


# --- back ------------------------------------------------------------------------------------------
def back(tiers: Tiers) -> Outcome:
    ((_, found),) = returning.bring_back([KEY], tiers.stores, "by hand")
    return found


@BOTH
def test_an_object_comes_back(tiers: Tiers, how: str, target: str) -> None:
    tiers.objects.amend(KEY, tags={"team": "video"})
    tiers.apply(tiers.action(how))
    assert back(tiers) == Outcome("done", "hot", len(BYTES))
    assert (tiers.info.storage_class, tiers.tags) == ("STANDARD", {"team": "video"})
    assert (tiers.memory.tier, tiers.memory.tier_state) == ("hot", "")
    assert [line[:2] for line in tiers.ledger()] == [("transition", "cold"), ("return", "hot")]
    assert tiers.log.accessed([KEY]) == {KEY: NOW}  # or the next night would send it back
    assert back(tiers).detail == "hot already"
    assert len(tiers.ledger()) == 2


def test_one_on_its_way_is_called_back(tiers: Tiers) -> None:
    tiers.mover.looks = None
    tiers.apply(tiers.action())
    assert back(tiers).status == "done"
    assert (tiers.tags, tiers.memory.tier_state, tiers.ledger()) == ({}, "", [])


def test_an_archived_object_is_asked_back_first(tiers: Tiers) -> None:
    tiers.apply(tiers.action("class", target="GLACIER"))
    found = back(tiers)
    assert found.status == "skipped"
    assert "come again" in found.detail
    assert tiers.info.storage_class == "GLACIER"
    assert back(tiers).status == "done"
    assert tiers.objects.requests["ask-back"] == 1


def test_an_object_that_lies_of_itself_comes_back_all_the_same(tiers: Tiers) -> None:
    lies = Attributes(metadata={"storage-codec": "zstd", "storage-original-size": "many"})
    tiers.objects.put(KEY, BYTES, attributes=lies)
    tiers.objects.amend(KEY, storage_class="GLACIER_IR")
    assert back(tiers).status == "done"
    assert tiers.memory.coding == ""


def test_an_object_written_anew_while_it_comes_back_is_not_lost(tiers: Tiers) -> None:
    tiers.apply(tiers.action("class"))
    tiers.before("copy", lambda: tiers.objects.put(KEY, b"another"))
    assert back(tiers).status == "failed"
    assert tiers.objects._versions[KEY][0].data == b"another"


@pytest.mark.parametrize("nth", range(1, 9))
def test_killed_on_the_way_back_and_done_again(tiers: Tiers, nth: int) -> None:
    tiers.apply(tiers.action())
    left = [nth]

    def kill(_: str) -> None:
        left[0] -= 1
        if left[0] == 0:
            raise KeyboardInterrupt

    tiers.objects.traffic.before = kill
    try:
        back(tiers)
    except KeyboardInterrupt:
        tiers.objects.traffic.before = lambda name: None
        back(tiers)
    assert (tiers.info.storage_class, tiers.tags) == ("STANDARD", {})
    assert [line[0] for line in tiers.ledger()] == ["transition", "return"]
    assert tiers.objects._versions[KEY][0].data == BYTES


def test_leaving_early_costs(tiers: Tiers) -> None:
    """30 of 90 days at 0.3 a GiB and month: two months are still to be paid."""
    site = ColdSite(tiers={"cold": "COLD"}, prices={"cold": Price(0.3, 90 * DAY)}, currency="EUR")
    tiers.stores = replace(tiers.stores, site=site)
    tiers.apply(tiers.action())
    (stay,) = returning.stays([tiers.info], tiers.stores, NOW + 30 * DAY)
    assert (stay.tier, stay.since, stay.minimum, stay.size) == ("cold", NOW, 90 * DAY, len(BYTES))
    assert stay.early == pytest.approx(len(BYTES) / (1 << 30) * 0.6)
    (stay,) = returning.stays([tiers.info], tiers.stores, NOW + 90 * DAY)
    assert stay.early == 0
    tiers.log.memories.clear()  # nobody remembers since when: the most that it can be
    (stay,) = returning.stays([tiers.info], tiers.stores, NOW + 90 * DAY)
    assert (stay.since, stay.early) == (None, pytest.approx(len(BYTES) / (1 << 30) * 0.9))


def test_what_is_hot_does_not_come_back(tiers: Tiers) -> None:
    assert list(returning.stays([tiers.info], tiers.stores, NOW)) == []
