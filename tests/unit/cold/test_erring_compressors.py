"""Faulty compressors, which are caught before any write."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest

from storage.cold import codecs
from storage.cold.errors import CompressorErred
from storage.core.tiers import CODECS, CodecName
from tests.support.object_in_memory import SMALL, TEXT, Place


def flipped(data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 1]) if data else data


ERRORS: Mapping[str, Callable[[bytes], bytes]] = {
    "another byte goes in": flipped,
    "the last byte is lost": lambda data: data[:-1],
    "a byte comes twice": lambda data: data + data[-1:],
    "nothing goes in": lambda data: b"",
    "zeros go in": lambda data: bytes(len(data)),
}


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("data", [SMALL, TEXT], ids=["small", "large"])
def test_a_compressor_that_takes_other_bytes_is_caught(
    place: Place, codec: CodecName, error: str, data: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = codecs.packer

    class Erring:
        def __init__(self, codec: CodecName, level: int | None, size: int) -> None:
            self._right = make(codec, level, size)

        def feed(self, data: bytes) -> bytes:
            return self._right.feed(ERRORS[error](data))

        def finish(self) -> bytes:
            return self._right.finish()

    monkeypatch.setattr(codecs, "packer", Erring)
    caught(place, codec, data)


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("data", [SMALL, TEXT], ids=["small", "large"])
@pytest.mark.parametrize("cut", [1, 4, 100])
def test_a_compressor_that_loses_its_end_is_caught(
    place: Place, codec: CodecName, cut: int, data: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = codecs.packer

    class Erring:
        def __init__(self, codec: CodecName, level: int | None, size: int) -> None:
            self._right, self._held = make(codec, level, size), b""

        def feed(self, data: bytes) -> bytes:
            self._held += self._right.feed(data)
            return b""

        def finish(self) -> bytes:
            return (self._held + self._right.finish())[:-cut]

    monkeypatch.setattr(codecs, "packer", Erring)
    caught(place, codec, data)


def test_a_compressor_that_swells_is_stopped(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """The decompressed output is compared as it is produced, not only at the end of a bomb."""
    make, fed = codecs.packer, []

    class Erring:
        def __init__(self, codec: CodecName, level: int | None, size: int) -> None:
            self._right = make("gzip", level, size)

        def feed(self, data: bytes) -> bytes:
            fed.append(len(data))
            return self._right.feed(data * 30)

        def finish(self) -> bytes:
            return self._right.finish()

    monkeypatch.setattr(codecs, "packer", Erring)
    caught(place, "gzip", TEXT * 3)
    assert sum(fed) < len(TEXT)


def caught(place: Place, codec: CodecName, data: bytes) -> None:
    etag = place.put(data)
    with pytest.raises(CompressorErred):
        place.compress(data, etag, codec)
    assert place.stored() == data
    assert not place.asked()["put"]
