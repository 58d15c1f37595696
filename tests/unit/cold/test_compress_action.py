"""The verb compress: batches, records, ledger entries, also after a kill at any moment."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

import pytest

from storage.cold.actions import compress
from storage.cold.decompress import BY_HAND, uncompress
from storage.cold.model import ColdRecord, Compression, Saving
from storage.core.attributes import Attributes
from storage.core.errors import Paused, Unreachable
from storage.core.model import JobId, Outcome
from storage.engine.actions import decode, encode
from tests.support.in_memory import DAY, Killed, World
from tests.support.object_in_memory import KEY, NOISE, SMALL, TEXT
from tests.support.runs import VERBS
from tests.support.transcript_in_memory import (
    FOLDER,
    Ends,
    action,
    apply,
    ledger,
    log,
    original,
    replacer,
    stored,
)

MOMENTS = 16  # more than the steps of a single action


def test_it_travels_in_a_plan(world: World) -> None:
    one = action(world)
    assert decode(encode(one), VERBS) == one
    assert (one.verb, one.touches, one.batch_size) == ("compress", "object", (16, 16 << 20))


def test_what_was_done_is_remembered_and_entered_as_measured(world: World) -> None:
    one = action(world)
    assert apply(world, one) == [Outcome("done", bytes=len(SMALL))]
    assert world.objects.requests == {"get": 1, "put": 1, "head": 1}
    now = world.objects._info(KEY)
    assert now and now.size == len(stored(world)) < len(SMALL)
    record = ColdRecord(
        key=KEY,
        etag=now.etag,
        size=now.size,
        object_class="transcripts",
        owner=JobId("job-1"),
        compression="compressed",
    )
    assert log(world).get_records([KEY]) == {KEY: record}
    assert ledger(world) == [
        Saving(
            run_id="run-1",
            key=KEY,
            object_class="transcripts",
            owner=JobId("job-1"),
            kind="compress",
            etag=now.etag,
            before=len(SMALL),
            after=now.size,
            codec="zstd",
        )
    ]
    assert original(world) == SMALL
    assert one.holds(world.stores)


def test_what_is_not_worth_it_is_remembered_with_its_reason(world: World) -> None:
    one = action(world, data=NOISE)
    assert apply(world, one) == [Outcome("skipped", "its samples do not compress", len(NOISE))]
    record = log(world).get_records([KEY])[KEY]
    assert (record.compression, record.skipped, record.etag) == (
        "skipped",
        "its samples do not compress",
        one.etag,
    )
    assert ledger(world) == []


def test_where_it_was_sent_stays_remembered(world: World) -> None:
    one = action(world)
    known = ColdRecord(key=KEY, etag=one.etag, size=one.size, object_class="transcripts", tier="cold")
    known = replace(known, tier_state="asked", asked_at=world.time)
    log(world).save_records([known])
    apply(world, one)
    record = log(world).get_records([KEY])[KEY]
    assert (record.tier, record.tier_state, record.asked_at) == ("cold", "asked", world.time)
    log(world).save_records([replace(known, etag="of another object")])
    other = action(world, data=SMALL + b"!")
    apply(world, other)
    assert log(world).get_records([KEY])[KEY].tier_state == ""


def test_a_job_that_moved_on_keeps_its_objects(world: World) -> None:
    one = action(world)
    world.job("job-1", "processing", DAY)
    [outcome] = apply(world, one)
    assert outcome.status == "skipped" and "moved on" in outcome.detail
    assert stored(world) == SMALL
    assert not world.objects.requests


def test_an_object_written_anew_is_not_remembered(world: World) -> None:
    one = action(world)
    world.objects.put(KEY, b"new")
    [outcome] = apply(world, one)
    assert outcome.status == "skipped"
    assert log(world).get_records([KEY]) == {} and ledger(world) == []


def test_a_pause_stops_before_the_next_object_and_keeps_what_was_found(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compress, "RECHECK_BYTES", len(SMALL))
    batch = [action(world, FOLDER + f"{n}.json") for n in range(3)]

    def pause(name: str) -> None:
        if name == "head":  # the HEAD after the first object's PUT
            world.stores.control.write("paused", "stop")

    world.objects.traffic.before = pause
    with pytest.raises(Paused):
        apply(world, *batch)
    assert [one.key for one in ledger(world)] == [batch[0].key]
    assert list(log(world).records) == [batch[0].key]


def test_a_store_out_of_reach_ends_the_batch_and_keeps_what_was_found(world: World) -> None:
    batch = [action(world, FOLDER + f"{n}.json") for n in range(2)]
    puts = []

    def away(name: str) -> None:
        puts.append(name == "put")
        if sum(puts) == 2:
            raise Unreachable("The object store", "gone")

    world.objects.traffic.before = away
    with pytest.raises(Unreachable):
        apply(world, *batch)
    assert [one.key for one in ledger(world)] == [batch[0].key]


def test_a_lie_is_red_once_and_then_remembered(world: World) -> None:
    one = action(world)
    liar = Compression("zstd", 10, "0" * 64, "e").written_into(Attributes())
    one = replace(one, etag=world.objects.put(KEY, SMALL, attributes=liar).etag)
    [outcome] = apply(world, one)
    assert outcome.status == "failed"
    assert log(world).get_records([KEY])[KEY].compression == "skipped"
    assert ledger(world) == []


def test_the_version_left_behind_is_counted(world: World) -> None:
    world.objects.versioned = True
    one = action(world)
    apply(world, one)
    [saving] = ledger(world)
    assert saving.left_behind == len(SMALL)


@pytest.mark.parametrize("data", [SMALL, TEXT], ids=["small", "large"])
@pytest.mark.parametrize("again", ["the same run", "the next plan"])
@pytest.mark.parametrize("moment", range(MOMENTS))
def test_a_kill_at_any_moment_is_made_good_by_the_next_night(
    world: World, data: bytes, again: str, moment: int
) -> None:
    """After the kill the object reads as before; after the next night the ledger has it exactly once."""
    one = action(world, data=data)
    with Ends(world, moment) as ends, suppress(Killed):
        apply(world, one)
    assert ends.down is (ends.left < 0) and moment - ends.left < MOMENTS
    assert original(world) == data
    if again == "the next plan":
        now = world.objects._info(KEY)
        assert now
        one = replace(one, size=now.size, etag=now.etag, last_modified=now.last_modified)
    known = log(world).get_records([KEY]).get(KEY)
    if not (known and known.etag == one.etag and known.compression):  # otherwise no plan has it
        assert [outcome.status for outcome in apply(world, one)] == ["done"]
    assert original(world) == data
    [saving] = ledger(world)
    assert (saving.before, saving.after) == (len(data), len(stored(world)))
    assert log(world).get_records([KEY])[KEY].compression == "compressed"


# --- verification -----------------------------------------------------------------------------------
def test_looking_again_finds_a_store_that_lies(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    one = action(world)
    assert not one.holds(world.stores), "it is as it was"
    apply(world, one)
    now = replacer(world).details(KEY)
    changed = bytearray(stored(world))
    changed[-10] ^= 1
    world.objects.put(KEY, bytes(changed), attributes=now.attributes)
    assert not one.holds(world.stores)


def test_looking_again_minds_nobody_who_came_later(world: World) -> None:
    one = action(world)
    apply(world, one)
    world.objects.put(KEY, b"new")
    assert one.holds(world.stores)
    del world.objects._versions[KEY]
    assert one.holds(world.stores)


def test_looking_again_reads_nothing_that_is_archived(world: World) -> None:
    one = action(world)
    apply(world, one)
    world.objects.amend(KEY, storage_class="GLACIER")
    world.objects.requests.clear()
    assert one.holds(world.stores)
    assert world.objects.requests == {"head": 1}


# --- decompression by hand --------------------------------------------------------------------------
def test_what_comes_back_is_entered_and_stays_as_it_is(world: World) -> None:
    one = action(world)
    apply(world, one)
    form = stored(world)
    assert uncompress(world.stores, KEY, "by hand 1") == Outcome("done", bytes=len(SMALL))
    assert stored(world) == SMALL
    saving = ledger(world)[-1]
    assert (saving.kind, saving.before, saving.after, saving.codec) == (
        "decompress",
        len(form),
        len(SMALL),
        "zstd",
    )
    assert (saving.run_id, saving.owner, saving.object_class) == ("by hand 1", JobId("job-1"), "transcripts")
    record = log(world).get_records([KEY])[KEY]
    assert (record.compression, record.skipped, record.etag) == ("skipped", BY_HAND, one.etag)
    assert uncompress(world.stores, KEY, "by hand 2").status == "skipped"
    assert len(ledger(world)) == 2


def test_compressed_again_after_that_it_is_entered_again(world: World) -> None:
    one = action(world)
    apply(world, one)
    uncompress(world.stores, KEY, "by hand 1")
    apply(world, one)
    assert [saving.kind for saving in ledger(world)] == ["compress", "decompress", "compress"]
    [line] = world.stores.cold.savings("class")
    assert line.saved == len(SMALL) - len(stored(world))


def test_what_cannot_come_back_is_reported(world: World) -> None:
    liar = Compression("gzip", 10, "0" * 64, "e").written_into(Attributes())
    world.objects.put(KEY, SMALL, attributes=liar)
    assert uncompress(world.stores, KEY, "by hand 1").status == "failed"
    assert stored(world) == SMALL and ledger(world) == []
