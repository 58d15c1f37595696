"""Requests that a night of cold storage makes to the store. Counts are stable, unlike times."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from storage.cold.actions.compress import CompressObject
from storage.cold.compressibility import SAMPLE
from storage.core.capabilities import Capabilities
from storage.testing import MemoryObjectReplacer, MemoryTierStore
from tests.support.in_memory import DAY, NOW, World
from tests.support.runs import apply

NOISE = random.Random(7).randbytes(5 * SAMPLE)
TEXTS, FILMS = 30, 20
BATCHES = -(-(TEXTS + FILMS) // CompressObject.batch_size.actions)


def text(number: int) -> bytes:
    """Return a text that is small, unlike the others, and large enough to be moved."""
    return "".join(f"{(number + 1) * n * n:x} and so on\n" for n in range(9_000)).encode()[: 150 << 10]


@pytest.fixture
def cold(world: World) -> World:
    """Set up a job of texts and films completed a hundred days ago, on a store that honours conditions."""
    world.database.capabilities = Capabilities(conditional_put=True, conditional_complete=True)
    world.job("j", "completed", 100 * DAY, completed_at=NOW - 100 * DAY)
    for number in range(TEXTS):
        world.put(f"processed/j/transcription/{number:03}.json", 100 * DAY, text(number))
    for number in range(FILMS):
        world.put(f"processed/j/raw/{number:03}.mp4", 100 * DAY, NOISE)
    return world


def test_planning_a_night_is_one_listing(cold: World) -> None:
    cold.count_from_here()
    cold.plan("cold_storage")
    assert cold.objects.requests["list"] == 1
    assert cold.objects.requests["get"] == cold.objects.requests["head"] == 0


def test_a_text_is_three_requests_and_a_film_two_samples(
    cold: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "storage.engine.apply._verify", lambda job, run, stores: None
    )  # HEADs are counted below
    planned = cold.plan("cold_storage")
    cold.count_from_here()
    assert apply(planned.id, cold.stores).done.count == TEXTS
    assert cold.objects.requests["get"] == TEXTS + 2 * FILMS
    assert cold.objects.requests["put"] == cold.objects.requests["head"] == TEXTS
    assert cold.objects.requests["list"] == cold.objects.requests["tags"] == 0


@pytest.mark.parametrize("first", [NOISE[:SAMPLE], bytes(SAMPLE)], ids=["film", "film with an index"])
def test_of_a_film_at_most_three_samples_are_read(
    cold: World, monkeypatch: pytest.MonkeyPatch, first: bytes
) -> None:
    """This holds also if its beginning looks like text: then the third sample decides."""
    key, read = "processed/j/raw/long.mp4", Counter[str]()
    cold.put(key, 100 * DAY, first + NOISE[SAMPLE:])
    read_range, opened = MemoryObjectReplacer.read_range, MemoryObjectReplacer.open

    def counted(self: MemoryObjectReplacer, one: str, *rest: object) -> object:
        found = read_range(self, one, *rest)  # type: ignore[arg-type]
        read[one] += len(found[1])
        return found

    def whole(self: MemoryObjectReplacer, one: str, *rest: object) -> object:
        read[one] += len(NOISE)
        return opened(self, one, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(MemoryObjectReplacer, "read_range", counted)
    monkeypatch.setattr(MemoryObjectReplacer, "open", whole)
    cold.run("cold_storage")
    assert 2 * SAMPLE <= read[key] <= 3 * SAMPLE


def test_a_second_night_reads_nothing(cold: World) -> None:
    cold.run("cold_storage")
    cold.count_from_here()
    cold.run("cold_storage")
    assert cold.objects.requests["list"] == 1
    assert not cold.objects.requests["get"] and not cold.objects.requests["put"]


def test_a_transition_is_one_copy_request(cold: World) -> None:
    cold.database.capabilities = Capabilities(
        storage_classes=("STANDARD", "GLACIER_IR"), conditional_put=True, conditional_complete=True
    )
    assert isinstance(cold.stores.tier_store, MemoryTierStore)
    cold.stores.tier_store.classes.add("GLACIER_IR")
    planned = cold.plan("cold_storage")
    cold.count_from_here()
    apply(planned.id, cold.stores)
    moved = sum(cold.objects._versions[key][0].storage_class == "GLACIER_IR" for key in cold.objects._keys())
    assert moved == cold.objects.requests["copy"] == TEXTS + FILMS


def test_the_database_is_asked_a_few_times_a_batch(cold: World) -> None:
    planned = cold.plan("cold_storage")
    cold.count_from_here()
    apply(planned.id, cold.stores)
    assert cold.database.requests["jobs.get"] == BATCHES
    assert cold.database.requests["runs.finish_batch"] == BATCHES
