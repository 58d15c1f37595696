"""Compressing and restoring an object: its reads, its writes, and reasons to leave it as it is."""

from __future__ import annotations

import os
import random

import pytest

from storage.cold import compress as rewrite
from storage.cold import compressibility, decompressing_reader
from storage.cold.errors import ContentDamaged
from storage.cold.model import Compression
from storage.core.attributes import Attributes
from storage.core.model import ObjectKey
from storage.core.tiers import CODECS, CodecName
from tests.support.object_in_memory import CARRIED, KEY, NOISE, SMALL, TEXT, Place, before


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("data", [SMALL, TEXT], ids=["small", "large"])
def test_an_object_shrinks_and_reads_as_before(place: Place, codec: CodecName, data: bytes) -> None:
    etag = place.put(data)
    made = place.compress(data, etag, codec)
    assert made.status == "done" and made.after and made.compression
    assert len(place.stored()) == made.after.info.size < len(data) / 2
    assert (made.compression.codec, made.compression.size, made.compression.etag) == (codec, len(data), etag)
    carried = made.after.attributes
    assert carried == made.compression.written_into(CARRIED)
    assert (carried.content_type, carried.headers) == (CARRIED.content_type, CARRIED.headers)
    assert carried.metadata.items() > CARRIED.metadata.items()
    assert carried.content_encoding == codec
    assert b"".join(decompressing_reader.read(place.replacer, KEY)) == data


def test_a_small_object_costs_one_get_one_put_one_head(place: Place) -> None:
    etag = place.put(SMALL)
    place.compress(SMALL, etag)
    assert place.asked() == {"get": 1, "put": 1, "head": 1}


def test_tags_cost_one_request_where_there_are_any_and_remain(place: Place) -> None:
    etag = place.put(SMALL)
    place.objects.amend(KEY, tags={"team": "media"}, storage_class="STANDARD_IA")
    place.objects.requests.clear()
    made = place.compress(SMALL, etag)
    assert place.asked() == {"get": 1, "put": 1, "head": 1, "tags": 1}
    assert place.replacer.tags(KEY) == {"team": "media"}
    assert made.after and made.after.info.storage_class == "STANDARD_IA"


def test_tags_are_asked_for_where_nothing_counts_them(place: Place) -> None:
    etag = place.put(SMALL)
    place.objects.amend(KEY, tags={"team": "media"})
    place.replacer.says_tags = False
    place.compress(SMALL, etag)
    assert place.replacer.tags(KEY) == {"team": "media"}


def test_a_large_one_is_sampled_and_then_read_once(place: Place) -> None:
    etag = place.put(TEXT)
    assert place.compress(TEXT, etag).status == "done"
    assert place.asked() == {"get": 3, "put": 1, "head": 1}


def test_what_says_that_it_is_text_and_looks_so_is_sampled_once(place: Place) -> None:
    key = ObjectKey("processed/job-1/transcription/words.json")
    etag = place.objects.put(key, TEXT).etag
    place.objects.requests.clear()
    assert rewrite.compress(place.replacer, key, len(TEXT), etag, "zstd").status == "done"
    assert place.asked() == {"get": 2, "put": 1, "head": 1}


def test_media_are_never_read_beyond_three_samples(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    etag, read = place.put(NOISE), []
    read_range = place.replacer.read_range

    def counted(*args: object) -> object:
        found = read_range(*args)  # type: ignore[arg-type]
        read.append(len(found[1]))
        return found

    monkeypatch.setattr(place.replacer, "read_range", counted)
    made = place.compress(NOISE, etag)
    assert (made.status, made.why) == ("skipped", "its samples do not compress")
    assert read == [64 << 10] * 2
    assert place.asked() == {"get": 2}


def stays(place: Place, data: bytes, made: rewrite.Rewritten, why: str) -> None:
    assert made.status == "skipped" and why in made.why, made
    assert place.stored() == data
    assert not place.asked()["put"]


@pytest.mark.parametrize(("data", "why"), [(b"", "empty"), (b"x", "5%"), (os.urandom(5000), "5%")])
def test_what_does_not_shrink_stays(place: Place, data: bytes, why: str) -> None:
    stays(place, data, place.compress(data, place.put(data)), why)


def test_what_only_looks_compressible_stays(place: Place) -> None:
    """The samples are text and the bytes between them are not: found only after compressing all of it."""
    data = bytearray(random.Random(1).randbytes(40 << 20))
    for start, length in compressibility.sample_ranges(len(data)):
        data[start : start + length] = TEXT[:length]
    made = place.compress(bytes(data), place.put(bytes(data)))
    stays(place, bytes(data), made, "5%")


@pytest.mark.parametrize("size", [SMALL, TEXT], ids=["small", "large"])
@pytest.mark.parametrize("encoding", ["gzip", "br", "zstd"])
def test_what_another_program_encoded_stays(place: Place, encoding: str, size: bytes) -> None:
    etag = place.put(size, Attributes("text/html", encoding))
    stays(place, size, place.compress(size, etag), f"encoded already: {encoding}")
    assert place.asked() == {"get": 1}


@pytest.mark.parametrize(
    ("attributes", "why"),
    [
        (Attributes(metadata={"title": "Müller"}), "not ASCII"),
        (Attributes(metadata={"title": "=?UTF-8?B?TcO8bGxlcg==?="}), "not ASCII"),
        (Attributes(metadata={"a": "x" * 1900}), "no room"),
        (Attributes(headers={"expires": "soon"}), "cannot be written again"),
        (Attributes(headers={"content-disposition": "attachment; filename=ü"}), "cannot be written again"),
    ],
)
def test_what_could_not_be_written_again_stays(place: Place, attributes: Attributes, why: str) -> None:
    stays(place, SMALL, place.compress(SMALL, place.put(SMALL, attributes)), why)


def test_metadata_of_nearly_2_kib_is_kept(place: Place) -> None:
    attributes = Attributes(metadata={"a": "x" * 1700})
    made = place.compress(SMALL, place.put(SMALL, attributes))
    assert made.status == "done" and made.after and made.after.attributes.metadata["a"] == "x" * 1700


def test_what_is_held_stays(place: Place) -> None:
    etag = place.put(SMALL)
    place.replacer.blocked[KEY] = "it is under legal hold"
    stays(place, SMALL, place.compress(SMALL, etag), "legal hold")


def test_what_the_store_does_not_give_stays(place: Place) -> None:
    """The object is archived, or encrypted with a customer's key."""
    etag = place.put(SMALL)
    place.replacer.refused[KEY] = "InvalidObjectState: archived"
    stays(place, SMALL, place.compress(SMALL, etag), "archived")


def test_what_would_look_like_a_bomb_stays(place: Place) -> None:
    data = bytes(50 << 20)
    stays(place, data, place.compress(data, place.put(data)), "bombs")


# --- decompression ----------------------------------------------------------------------------------
@pytest.mark.parametrize("codec", CODECS)
def test_an_object_comes_back_as_it_was(place: Place, codec: CodecName) -> None:
    etag = place.put(TEXT)
    place.objects.amend(KEY, tags={"team": "media"})
    made = place.compress(TEXT, etag, codec)
    back = rewrite.decompress(place.replacer, KEY)
    assert back.status == "done" and back.after and back.compression == made.compression
    assert place.stored() == TEXT
    assert (back.after.info.etag, back.after.attributes) == (etag, CARRIED)
    assert place.replacer.tags(KEY) == {"team": "media"}
    assert rewrite.decompress(place.replacer, KEY).status == "skipped"


def test_what_we_did_not_compress_is_not_decompressed(place: Place) -> None:
    place.put(SMALL, Attributes("text/plain", "gzip"))
    assert rewrite.decompress(place.replacer, KEY).status == "skipped"
    assert rewrite.decompress(place.replacer, ObjectKey("none")).status == "overtaken"
    assert place.stored() == SMALL


@pytest.mark.parametrize(("request_", "number"), [("get", 1), ("put", 1), ("head", 2)])
def test_an_object_written_while_it_comes_back_wins(place: Place, request_: str, number: int) -> None:
    place.compress(TEXT, place.put(TEXT))
    before(place, request_, number, lambda: place.objects.put(KEY, b"the new one"))
    assert rewrite.decompress(place.replacer, KEY).status == "overtaken"
    assert place.stored() == b"the new one"


def test_a_lost_answer_to_the_way_back(place: Place) -> None:
    place.compress(TEXT, place.put(TEXT))
    place.replacer.loses = 1
    assert rewrite.decompress(place.replacer, KEY).status == "done"


def test_a_damaged_object_is_not_put_in_place(place: Place) -> None:
    made = place.compress(TEXT, place.put(TEXT))
    assert made.after and made.compression
    wrong = Compression(made.compression.codec, made.compression.size, "0" * 64, made.compression.etag)
    form = place.stored()
    place.put(form, wrong.written_into(CARRIED))
    with pytest.raises(ContentDamaged):
        rewrite.decompress(place.replacer, KEY)
    assert place.stored() == form


def test_metadata_that_lies_is_reported_and_the_object_left(place: Place) -> None:
    """The metadata says that the object is compressed, which it is not: no saving may be counted."""
    liar = Compression("zstd", 10 * len(SMALL), "0" * 64, "e" * 32).written_into(CARRIED)
    made = place.compress(SMALL, place.put(SMALL, liar))
    assert made.status == "skipped" and made.damaged
    nonsense = CARRIED.with_encoding(content_encoding="", metadata={"storage-codec": "rot13"})
    made = place.compress(TEXT, place.put(TEXT, nonsense))
    assert made.status == "skipped" and made.damaged and "rot13" in made.why
    assert place.stored() == TEXT
