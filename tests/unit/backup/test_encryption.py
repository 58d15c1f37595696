"""Sealing and unsealing the bytes of a part: the original comes back, anything else is refused."""

from __future__ import annotations

import io
import random
from pathlib import Path

import pyrage
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.backup.encryption import CHUNK, identities, recipients, seal, unseal
from storage.backup.errors import BackupDamaged, NoKey
from storage.core.errors import ConfigError

KEY, OTHER = pyrage.x25519.Identity.generate(), pyrage.x25519.Identity.generate()
TO = (KEY.to_public(),)
SAMPLES = [b"", b"x", b"row\n" * 5000, bytes(range(256)) * 40]


def sealed(data: bytes, to: tuple[pyrage.x25519.Recipient, ...] = ()) -> bytes:
    out = io.BytesIO()
    seal(io.BytesIO(data), out, to)
    return out.getvalue()


def unsealed(data: bytes, *keys: pyrage.x25519.Identity) -> bytes:
    out = io.BytesIO()
    unseal(io.BytesIO(data), out, keys)
    return out.getvalue()


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=3000), st.integers(0, 40), st.sampled_from([(), TO, (*TO, OTHER.to_public())]))
def test_there_and_back(data: bytes, times: int, to: tuple[pyrage.x25519.Recipient, ...]) -> None:
    assert unsealed(sealed(data * times, to), KEY) == data * times


@pytest.mark.parametrize("to", [(), TO], ids=["plain", "encrypted"])
@pytest.mark.parametrize("data", SAMPLES, ids=len)
def test_no_part_of_it_passes_for_the_whole(data: bytes, to: tuple[pyrage.x25519.Recipient, ...]) -> None:
    whole = sealed(data, to)
    for length in {*range(min(len(whole), 40)), *range(max(0, len(whole) - 40), len(whole)), len(whole) // 2}:
        with pytest.raises(BackupDamaged):
            unsealed(whole[:length], KEY)


@pytest.mark.parametrize("to", [(), TO], ids=["plain", "encrypted"])
def test_no_turned_bit_passes(to: tuple[pyrage.x25519.Recipient, ...]) -> None:
    """The checksums of zstd and age catch every flipped bit, except in unused bits of a header."""
    data = SAMPLES[3]
    whole = sealed(data, to)
    for place in range(len(whole)):
        turned = bytearray(whole)
        turned[place] ^= 1 << place % 8
        try:
            assert unsealed(bytes(turned), KEY) == data
        except (BackupDamaged, NoKey):
            continue


def test_more_than_it_is_damaged() -> None:
    with pytest.raises(BackupDamaged, match="does not decompress"):
        unsealed(sealed(b"x") + b"more")
    with pytest.raises(BackupDamaged, match="does not decrypt"):
        unsealed(sealed(b"x", TO) + b"more", KEY)


def test_keys_are_distinguished_from_damage() -> None:
    with pytest.raises(NoKey, match="no identity is set"):
        unsealed(sealed(b"x", TO))
    with pytest.raises(NoKey, match="No matching keys"):
        unsealed(sealed(b"x", TO), OTHER)
    assert unsealed(sealed(b"x"), OTHER) == b"x", "what is not encrypted needs no key"


class Failing(io.RawIOBase):
    """Stream that yields `room` zero bytes, or accepts `room` bytes, then fails as a disk or socket does."""

    def __init__(self, room: int, error: BaseException) -> None:
        self._room, self._error = room, error

    def read(self, size: int = -1) -> bytes:
        return bytes(self._spend(CHUNK if size < 0 else size))

    def write(self, data: bytes) -> int:  # type: ignore[override]
        return self._spend(len(data))

    def _spend(self, size: int) -> int:
        self._room -= size
        if self._room < 0:
            raise self._error
        return size


@pytest.mark.parametrize(
    "error",
    [OSError(28, "full"), BrokenPipeError(32, "x"), BackupDamaged("y"), KeyboardInterrupt()],
    ids=repr,
)
@pytest.mark.parametrize("to", [(), TO], ids=["plain", "encrypted"])
@pytest.mark.parametrize("room", [0, 100_000])
def test_errors_of_the_ends_come_out_as_they_were(
    room: int, to: tuple[pyrage.x25519.Recipient, ...], error: BaseException
) -> None:
    """A full disk during a restore is not damage to the backup; the program explains a broken pipe."""
    noise = bytes(range(256)) * 4000
    for work in (
        lambda: seal(Failing(room, error), io.BytesIO(), to),
        lambda: seal(io.BytesIO(noise), Failing(0, error), to),
        lambda: seal(io.BytesIO(random.Random(1).randbytes(300_000)), Failing(room, error), to),
        lambda: unseal(io.BytesIO(sealed(noise, to)), Failing(room, error), [KEY]),
    ):
        with pytest.raises(type(error)) as answer:
            work()
        assert answer.value is error or answer.value.args == error.args


def test_a_well_packed_part_is_written_in_pieces() -> None:
    """128 MiB of zeroes seal to a few kilobytes; unsealing must not write it all at once."""
    largest = 0

    class Pieces:
        def write(self, data: bytes) -> None:
            nonlocal largest
            largest = max(largest, len(data))

    packed = io.BytesIO()
    seal(io.BytesIO(bytes(1 << 27)), packed)
    packed.seek(0)
    unseal(packed, Pieces())
    assert 0 < largest <= CHUNK


def test_recipients_by_blanks_and_commas() -> None:
    words = [str(key.to_public()) for key in (KEY, OTHER)]
    for text in (" ".join(words), ",".join(words), f" {words[0]} ,\n{words[1]},"):
        assert [str(one) for one in recipients(text)] == words
    assert recipients(" , ") == ()


def test_a_private_key_as_a_recipient_is_refused_and_not_shown() -> None:
    with pytest.raises(ConfigError, match="no age recipient") as answer:
        recipients(f"{TO[0]} {KEY}")
    assert str(KEY)[8:] not in str(answer.value)


def test_identities_of_a_file_as_age_keygen_writes_it(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(f"# created: 2026-03-08\n# public key: {KEY.to_public()}\n{KEY}\n\n  {OTHER}  \r\n")
    assert [str(one) for one in identities(str(file))] == [str(KEY), str(OTHER)]
    assert identities("") == ()
    file.write_text("# nothing\n")
    assert identities(str(file)) == ()


@pytest.mark.parametrize(
    "data", [b"age1nothing", b"\xff\xfe", str(KEY).encode()[:-2]], ids=["public", "binary", "cut"]
)
def test_a_wrong_identity_file_is_named_and_no_key_shown(tmp_path: Path, data: bytes) -> None:
    file = tmp_path / "keys"
    file.write_bytes(data)
    with pytest.raises(ConfigError, match=str(file)) as answer:
        identities(str(file))
    assert str(KEY)[:-2] not in str(answer.value)
    with pytest.raises(ConfigError, match="cannot be read"):
        identities(str(tmp_path))
