"""Recovery of work on cold data that a fault left half done. Found by the crash points of cold data."""

from __future__ import annotations

from dataclasses import replace

import pytest

from storage.cold.actions import compress
from storage.cold.actions.compress import CompressObject
from storage.cold.actions.transition import TransitionObject
from storage.cold.model import ColdRecord, class_of
from storage.cold.policy import TINY
from storage.core.capabilities import Capabilities
from storage.core.errors import Unreachable
from storage.core.model import JobId, ObjectKey
from storage.engine.actions import Work
from storage.lifecycle.apply import apply, plan
from storage.lifecycle.errors import LifecycleNotRestored
from storage.testing import MemoryObjectReplacer
from tests.support.in_memory import DAY, NOW, World
from tests.support.lifecycle_in_memory import Environment
from tests.support.transcript_in_memory import action, ledger, log
from tests.support.transcript_in_memory import apply as apply_batch
from tests.unit.cold.test_policy import BIG, answer, decide, save_records

LINES = b"".join(b"%x and so on\n" % (n * n) for n in range(9_000))
KEY = "processed/j/transcription/transcript.json"


@pytest.fixture
def cold(world: World) -> World:
    """Set up a store with a class to move into, and a job completed a hundred days ago."""
    world.database.capabilities = Capabilities(storage_classes=("STANDARD", "GLACIER_IR"))
    world.job("j", "completed", 100 * DAY, completed_at=NOW - 100 * DAY)
    return world


def test_a_small_form_that_a_killed_night_left_is_looked_at(cold: World) -> None:
    """Compressed, it is too small to be looked at; only the note that it was begun tells it apart."""
    cold.put(KEY, 100 * DAY, b"x" * 40)
    small = ("transcription/transcript.json", "too small to be compressed and too small for cold")
    assert answer(decide(cold)) == [small]
    begun = ColdRecord(
        key=ObjectKey(KEY), etag="before", size=len(BIG), object_class=class_of(KEY), owner=JobId("j")
    )
    cold.stores.cold.save_records([begun])
    assert [one.verb for one in decide(cold) if isinstance(one, CompressObject)] == ["compress"]
    save_records(cold, KEY, compression="skipped", skipped="that was another object")
    assert [one for one in decide(cold) if isinstance(one, CompressObject)] == []


@pytest.mark.parametrize(("text", "noted"), [(LINES[:6_000], True), (LINES, False)])
def test_that_it_was_begun_is_noted_only_of_a_small_form(cold: World, text: bytes, noted: bool) -> None:
    """The note costs a database write, and a larger compressed object is looked at in any case."""
    assert TINY <= compress.MIN_RELISTED_SIZE
    cold.put(KEY, 100 * DAY, text)
    action = next(one for one in decide(cold) if isinstance(one, CompressObject))
    found: list[bool] = []
    cold.objects.traffic.before = lambda name: found.append(bool(cold.stores.cold.get_records([KEY])))
    assert [one.status for one in CompressObject.apply([action], Work(cold.stores, "run-1", "cold"))] == [
        "done"
    ]
    assert found[-2:] == [noted] * 2  # before the PUT, and before the HEAD after it


class Away(MemoryObjectReplacer):
    """Replacer whose store is unreachable as soon as the object has been replaced."""

    def versioned(self) -> bool:
        raise Unreachable("The object store", "no route")


def test_nothing_is_remembered_that_the_ledger_does_not_have(world: World) -> None:
    """Otherwise no night would look at the object again, and its saving would never be reported."""
    batch = [action(world)]
    away = replace(world.stores, replacer=Away(world.objects))
    with pytest.raises(Unreachable):
        CompressObject.apply(batch, Work(away, "run-1", "cold_storage"))
    assert not [one for _, one in log(world).records.values() if one.compression] and ledger(world) == []
    assert [one.status for one in apply_batch(world, *batch)] == ["done"]
    assert len(ledger(world)) == 1


@pytest.mark.parametrize("compression", ["compressed", "skipped", ""])
def test_what_could_not_be_compressed_tonight_is_not_moved_tonight(cold: World, compression: str) -> None:
    """Once moved, it would never be compressed: no object is read back from a cold tier for that."""
    cold.put(KEY, 100 * DAY, BIG)
    _, move = decide(cold)
    assert isinstance(move, TransitionObject) and move.compress_first
    if compression:
        save_records(cold, KEY, compression=compression)
    cold.objects.requests.clear()
    [outcome] = TransitionObject.apply([move], Work(cold.stores, "run-1", "cold_storage"))
    assert ("compressed first" in outcome.detail) is not bool(compression)
    assert compression or (outcome.status == "skipped" and not cold.objects.requests)


def test_what_is_only_moved_waits_for_nothing(cold: World) -> None:
    cold.put(KEY, 100 * DAY, BIG)
    save_records(cold, KEY, compression="skipped", skipped="its samples do not compress")
    [move] = decide(cold)
    assert isinstance(move, TransitionObject) and not move.compress_first
    [outcome] = TransitionObject.apply([move], Work(cold.stores, "run-1", "cold_storage"))
    assert "compressed first" not in outcome.detail


def test_rules_that_stand_though_the_store_went_away_are_found_applied() -> None:
    """The rules were put, but neither read back nor undone: the next apply finds and logs them."""
    environment, gone = Environment(), [False]
    made = plan(environment.manager)

    def before(name: str) -> None:
        gone[0] = gone[0] or name == "put done"
        if gone[0]:
            raise Unreachable("The object store", "no route")

    environment.rules.traffic.before = before
    with pytest.raises(LifecycleNotRestored):
        apply(environment.manager, made, "somebody")
    environment.rules.traffic.before = lambda name: None
    assert apply(environment.manager, plan(environment.manager), "somebody").number == 0
    assert [one.state for one in environment.versions.rows] == ["found", "applied"]
