"""Judging from three samples that an object is not worth reading."""

from __future__ import annotations

import os

import pytest

from storage.cold.compressibility import (
    GLANCE,
    LEAST_SAVING,
    SAMPLE,
    WHOLE,
    sample_ranges,
    settled,
    why_not,
    why_not_kept,
)

TEXT = b"".join(b"%d: and so on, and so on\n" % n for n in range(10_000))[:SAMPLE]
NOISE = os.urandom(SAMPLE)


@pytest.mark.parametrize("size", [0, 1, SAMPLE, WHOLE])
def test_a_small_object_is_looked_at_whole(size: int) -> None:
    assert sample_ranges(size) == ((0, size),)


@pytest.mark.parametrize("size", [WHOLE + 1, 1_000_003, 5 << 30, 5 << 40])
def test_a_large_one_is_looked_at_in_three_parts(size: int) -> None:
    (first, a), (middle, b), (last, c) = sample_ranges(size)
    assert a == b == c == 64 << 10
    assert (first, last + c) == (0, size)
    assert first + a <= middle and middle + b <= last
    assert abs((middle + b / 2) - size / 2) <= 1


@pytest.mark.parametrize(
    ("samples", "worth"),
    [
        ([TEXT, TEXT, TEXT], True),
        ([NOISE, NOISE, NOISE], False),
        ([TEXT, NOISE, NOISE], False),
        ([NOISE, NOISE, TEXT], False),
        ([TEXT, NOISE, TEXT], True),
        ([NOISE, TEXT, TEXT], True),
    ],
)
def test_an_index_at_one_end_is_no_reason_to_read_a_film(samples: list[bytes], worth: bool) -> None:
    assert (why_not(samples, 10 << 20) == "") is worth


@pytest.mark.parametrize(("share", "worth"), [(0.85, False), (0.94, False), (0.80, True)])
def test_samples_must_shrink_by_a_tenth(share: float, worth: bool) -> None:
    """Noise of ``share`` + 0.06, the rest zeros: zstd -1 leaves little more than the noise."""
    noise = int(SAMPLE * (share + 0.06))
    sample = NOISE[:noise] + bytes(SAMPLE - noise)
    assert (why_not([sample] * 3, WHOLE + 1) == "") is worth


def test_all_of_a_small_one_must_shrink_by_a_saving() -> None:
    def of(noise: float) -> bytes:
        kept = int(SAMPLE * noise)
        return NOISE[:kept] + bytes(SAMPLE - kept)

    assert why_not([of(0.93)], SAMPLE) == ""
    assert "5%" in why_not([of(0.96)], SAMPLE)


def test_two_samples_that_agree_are_enough() -> None:
    assert settled([TEXT, TEXT]) and settled([NOISE, NOISE])
    assert not settled([TEXT, NOISE]) and not settled([NOISE, TEXT])
    assert not settled([TEXT]) and not settled([NOISE])


def test_a_text_by_name_that_begins_as_one_is_read() -> None:
    assert settled([TEXT], "a/transcript.json")
    assert not settled([TEXT], "a/film.mp4") and not settled([NOISE], "a/transcript.json")
    assert settled([NOISE, NOISE], "a/transcript.json") and not settled([NOISE, TEXT], "a/transcript.json")


def test_a_small_one_that_begins_as_text_is_tried() -> None:
    assert why_not([TEXT[:GLANCE] + NOISE], GLANCE + SAMPLE) == ""
    assert "5%" in why_not([NOISE + TEXT[:2000]], SAMPLE + 2000)


def test_nothing_and_next_to_nothing() -> None:
    assert why_not([b""], 0) == "it is empty"
    assert why_not([b"x"], 1)


def test_the_saving_rule() -> None:
    assert LEAST_SAVING == 0.05
    assert why_not_kept(1000, 950) == ""
    assert why_not_kept(1000, 951)
    assert why_not_kept(1000, 2000)
