"""Hostile keys: shown on one line, named byte for byte, deleted exactly, and no obstacle to other keys."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from storage.core.clock import utcnow
from tests.conftest import Place
from tests.support.command_line import Person, keys, put_if_taken, run_ahead

HOSTILE = (
    "temp/gone/new\nline.ts",
    "temp/gone/\"quotes'.ts",
    "temp/gone/ünï ☃ 日本.ts",
    "temp/gone/tab\t\x1b[31m.ts",
    "temp/gone/[/]markup[bold].ts",
    "temp/gone/back\\[red]slash",
    "temp/gone/%2F%00&<>;$(rm).ts",
    "temp/gone/ ",
    "temp/gone/../../uploads/a.ts",
    "temp/gone/./a.ts",
    "temp/gone//a.ts",
    "temp//a.ts",
    "temp/gone/dir/",
    "temp/" + "/".join("x" * 200 for _ in range(5)) + "/" + "y" * 14,
)
NO_XML = "temp/gone/escape\x1b[31m.ts"  # XML cannot represent this character


def test_hostile_keys(storage: Person, place: Place, add_job: Callable[..., None]) -> None:
    """Keys of any form are shown on one line each, named byte for byte in the plan, and deleted exactly."""
    remaining = {"uploads/a.ts", "a.ts", "temp2/a.ts", "temp/runs/../gone/a.ts", ".maintenance/bucket-id"}
    add_job("runs", "processing", utcnow())
    there = {key for key in HOSTILE if put_if_taken(place, key)}
    remaining = {key for key in remaining if key.startswith(".") or put_if_taken(place, key)}
    assert len(there) >= 9
    assert max(len(key.encode()) for key in there) == 1024
    plan = run_ahead(place, "cleanup_temp_objects", only_plan=True)
    answer = storage("runs", plan.id, "--json").document["actions"]
    assert {one["key"] for one in answer} == there
    shown = storage("runs", plan.id)
    assert (shown.code, "new\nline" in shown.out, "\x1b" in shown.out) == (0, False, False)
    assert "[/]markup[bold].ts" in shown.out
    assert keys(place) == there | remaining
    done = storage("apply", plan.id, "--json").document["run"]
    assert (done["state"], done["done"]["count"]) == ("verified", len(there))
    assert keys(place) == remaining
    for key in HOSTILE:
        assert storage("explain", key).code == 0


@pytest.mark.parametrize("place", ["ministack"], indirect=True)
def test_a_key_that_looks_like_markup_is_explained(storage: Person, place: Place) -> None:
    """Square brackets in a key are not interpreted as markup of the output."""
    place.put("temp/gone/[/]markup[bold].ts")
    answer = storage("explain", "temp/gone/[/]markup[bold].ts")
    assert (answer.code, "[/]markup[bold].ts" in answer.out) == (0, True)


@pytest.fixture
def no_xml(place: Place) -> Iterator[str]:
    """Store an object whose key a bulk delete cannot carry; delete it afterwards."""
    place.put(NO_XML)
    yield NO_XML
    place.boto.delete_object(Bucket=place.settings.bucket, Key=NO_XML)


def test_a_key_that_no_xml_can_hold(place: Place, no_xml: str) -> None:
    """The key does not block the thousand keys of its batch, and is deleted by a separate request."""
    place.put("temp/gone/a.ts")
    run = run_ahead(place, "cleanup_temp_objects")
    assert (run.state, run.done.count) == ("verified", 2)
    assert keys(place) == {".maintenance/bucket-id"}
