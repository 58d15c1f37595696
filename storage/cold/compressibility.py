"""Estimate whether an object is worth compressing, from 64 KiB of its beginning, middle and end.

The majority decides, so the end is read only if beginning and middle differ. An object that is text by its
name and begins like text is not sampled further.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from statistics import median

import zstandard

SAMPLE = 64 << 10  # bytes
WHOLE = 3 * SAMPLE  # bytes; an object of up to this size is fetched whole, by one request
GLANCE = 16 << 10  # leading bytes of a small object: if they shrink, no further estimate is made
WORTH = 0.9  # of a sample's size: zstd -1 compresses text far below it, and media never
LIKE_TEXT = 0.5  # of a sample's size: text shrinks at least to this
TEXTS = (".json", ".txt", ".vtt", ".srt", ".m3u8", ".csv", ".tsv", ".log", ".xml", ".html", ".md")
LEAST_SAVING = 0.05  # of an object's size; below it the object is left unchanged
TOO_LITTLE = f"compressing it saves less than {LEAST_SAVING:.0%}"


def sample_ranges(size: int) -> tuple[tuple[int, int], ...]:
    """Return the samples of an object of ``size`` bytes: (start, length) of each, or of the whole object."""
    if size <= WHOLE:
        return ((0, size),)
    return (0, SAMPLE), ((size - SAMPLE) // 2, SAMPLE), (size - SAMPLE, SAMPLE)


def settled(samples: Sequence[bytes], name: str = "") -> bool:
    """Return True when no further sample can change the verdict, or for a text file that looks like text."""
    if name.endswith(TEXTS) and _ratio(samples[0]) <= LIKE_TEXT:
        return True
    return len(samples) > 1 and len({_ratio(sample) <= WORTH for sample in samples}) == 1


def why_not(samples: Sequence[bytes], size: int) -> str:
    """Return why the object will not shrink; '' if it will.

    The median ratio of the samples counts: an index at one end of a film is no reason to read it. For a small
    object the one sample is the whole object, so it only has to shrink by the minimum saving, and if its
    beginning shrinks enough no further estimate is made.
    """
    if not size:
        return "it is empty"
    if size <= WHOLE and _ratio(samples[0][:GLANCE]) <= WORTH:
        return ""
    ratio = median(map(_ratio, samples))
    if size <= WHOLE:
        return "" if ratio <= 1 - LEAST_SAVING else TOO_LITTLE
    return "" if ratio <= WORTH else "its samples do not compress"


@lru_cache(maxsize=16)  # needed twice per sample, by the threads of one process
def _ratio(sample: bytes) -> float:
    return len(zstandard.compress(sample, 1)) / len(sample)


def why_not_kept(before: int, after: int) -> str:
    """Return why a compressed form is not kept; '' if it saves enough."""
    return "" if after <= before * (1 - LEAST_SAVING) else TOO_LITTLE
