"""Compressing an object that others write, delete or compress: they win; a lost answer is looked up."""

from __future__ import annotations

import pytest

from storage.cold import compress as rewrite
from storage.cold.model import compression_of
from storage.core.errors import PreconditionFailed, StorageError, Unreachable
from tests.support.object_in_memory import KEY, SMALL, TEXT, Place, before


def test_another_object_is_left_alone(place: Place) -> None:
    etag = place.put(SMALL)
    place.put(SMALL + b"new")
    assert place.compress(SMALL, etag).status == "overtaken"
    assert place.stored() == SMALL + b"new"


def test_a_deleted_object_is_left_alone(place: Place) -> None:
    assert place.compress(SMALL, "e" * 32).why == "already gone"


@pytest.mark.parametrize(("request_", "number"), [("get", 2), ("get", 3), ("put", 1), ("head", 1)])
def test_an_object_written_at_any_moment_wins(place: Place, request_: str, number: int) -> None:
    etag = place.put(TEXT)
    before(place, request_, number, lambda: place.objects.put(KEY, b"the new one"))
    assert place.compress(TEXT, etag).status == "overtaken"
    assert place.stored() == b"the new one"


@pytest.mark.parametrize(("request_", "number"), [("get", 2), ("get", 3), ("put", 1), ("head", 1)])
def test_an_object_deleted_at_any_moment_stays_deleted(place: Place, request_: str, number: int) -> None:
    etag = place.put(TEXT)
    before(place, request_, number, lambda: place.objects._versions.pop(KEY))
    assert place.compress(TEXT, etag).status == "overtaken"
    assert KEY not in place.objects._versions


def test_a_lost_answer_is_looked_up(place: Place) -> None:
    etag = place.put(SMALL)
    place.replacer.loses = 1
    made = place.compress(SMALL, etag)
    assert made.status == "done" and made.compression and made.compression.etag == etag


def test_a_lost_answer_is_not_ours_when_a_twin_was_faster(place: Place) -> None:
    """The form that a concurrent run wrote with another codec stays, and is not mistaken for our own."""
    etag = place.put(SMALL)
    before(place, "put", 1, lambda: rewrite.compress(place.replacer, KEY, len(SMALL), etag, "gzip"))
    assert place.compress(SMALL, etag).status == "overtaken"
    assert place.replacer.details(KEY).attributes.content_encoding == "gzip"


@pytest.mark.parametrize("data", [SMALL, TEXT], ids=["small", "large"])
def test_a_repetition_finds_what_was_done(place: Place, data: bytes) -> None:
    etag = place.put(data)
    first = place.compress(data, etag)
    place.objects.requests.clear()
    again = place.compress(data, etag)
    assert again == first
    assert not place.asked()["put"]


def test_what_a_killed_night_compressed_is_found_by_the_next_plan(place: Place) -> None:
    etag = place.put(SMALL)
    first = place.compress(SMALL, etag)
    assert first.after
    form = place.stored()
    again = place.compress(form, first.after.info.etag)
    assert (again.status, again.compression) == ("done", first.compression)
    assert place.stored() == form


def test_a_source_that_is_cut_short_is_no_object(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    etag = place.put(TEXT)
    monkeypatch.setattr(rewrite, "_source", lambda *args: iter([TEXT[:-1]]))
    with pytest.raises(StorageError):
        place.compress(TEXT, etag, "gzip")
    assert place.stored() == TEXT


def test_a_store_out_of_reach_is_reported(place: Place) -> None:
    def away(name: str) -> None:
        raise Unreachable("The object store", "gone")

    place.objects.traffic.before = away
    with pytest.raises(Unreachable):
        place.compress(SMALL, "e" * 32)


def test_a_store_that_ignores_conditions_is_noticed_by_the_answer(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    etag = place.put(SMALL)
    place.put(SMALL + b"!")
    get = place.replacer._get
    monkeypatch.setattr(place.replacer, "_get", lambda key, etag: get(key, ""))
    assert place.compress(SMALL, etag).status == "overtaken"
    with pytest.raises(PreconditionFailed):
        rewrite._sample(place.replacer, KEY, len(SMALL), etag)
    assert compression_of(KEY, place.replacer.details(KEY).attributes) is None
