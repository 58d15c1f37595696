"""Decompression by hand, killed meanwhile: a repetition completes it, and the ledger has it once."""

from __future__ import annotations

from contextlib import suppress

import pytest

from storage.cli import cold as commands_cold
from storage.cold.decompress import BY_HAND, uncompress, unfinished
from tests.support.in_memory import Killed, World
from tests.support.object_in_memory import KEY, SMALL, TEXT
from tests.support.transcript_in_memory import Ends, action, apply, ledger, log, original, stored

MOMENTS = 14  # more than its steps


@pytest.mark.parametrize("data", [SMALL, TEXT], ids=["small", "large"])
@pytest.mark.parametrize("moment", range(MOMENTS))
def test_killed_at_any_moment_and_asked_again(world: World, data: bytes, moment: int) -> None:
    apply(world, action(world, data=data))
    form = len(stored(world))
    with Ends(world, moment) as ends, suppress(Killed):
        uncompress(world.stores, KEY, "by hand 1")
    assert ends.down is (ends.left < 0) and (not ends.down or moment < MOMENTS - 1)
    assert original(world) == data
    for one in commands_cold._compressed(world.stores, [KEY]):  # empty if it was entered already
        assert uncompress(world.stores, one["key"], "by hand 2").status in ("done", "skipped")
    assert stored(world) == data
    [_, saving] = ledger(world)
    assert (saving.kind, saving.before, saving.after, saving.codec) == ("decompress", form, len(data), "zstd")
    record = log(world).get_records([KEY])[KEY]
    assert (record.compression, record.skipped, record.size) == ("skipped", BY_HAND, len(data))
    assert not unfinished(world.stores, [KEY])


def test_what_took_its_place_meanwhile_is_not_entered(world: World) -> None:
    """After the kill another client overwrites the object: the new object is not our original."""
    apply(world, action(world))
    with Ends(world, 3) as ends, suppress(Killed):
        uncompress(world.stores, KEY, "by hand 1")
    assert ends.down and unfinished(world.stores, [KEY])
    world.objects.put(KEY, b"new")
    assert uncompress(world.stores, KEY, "by hand 2").status == "skipped"
    assert [saving.kind for saving in ledger(world)] == ["compress"]


def test_what_fails_is_remembered_as_before(world: World) -> None:
    apply(world, action(world))
    before = log(world).get_records([KEY])
    damaged = bytearray(stored(world))
    damaged[len(damaged) // 2] ^= 1
    world.objects.amend(KEY, data=bytes(damaged))
    assert uncompress(world.stores, KEY, "by hand 1").status == "failed"
    assert log(world).get_records([KEY]) == before
