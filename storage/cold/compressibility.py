"""Whether compressing an object is worth reading it, judged from 64 KiB of its beginning, middle and end.

The majority decides, so the end is looked at only where beginning and middle differ. What is text by its name
and begins like text is not looked at further.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from statistics import median

import zstandard

SAMPLE = 64 << 10  # bytes
WHOLE = 3 * SAMPLE  # an object of so many bytes is fetched at once, and never again
GLANCE = 16 << 10  # bytes of a small object: where they shrink it is simply tried
WORTH = 0.9  # of a sample's size: zstd -1 brings text far below it, and media never
LIKE_TEXT = 0.5  # of a sample's size: what text shrinks to at least
TEXTS = (".json", ".txt", ".vtt", ".srt", ".m3u8", ".csv", ".tsv", ".log", ".xml", ".html", ".md")
LEAST_SAVING = 0.05  # of an object's size; below it the object stays as it is
TOO_LITTLE = f"compressing it saves less than {LEAST_SAVING:.0%}"


def sample_ranges(size: int) -> tuple[tuple[int, int], ...]:
    """Where to look at an object of ``size`` bytes: (start, length) of each sample, or of all of it."""
    if size <= WHOLE:
        return ((0, size),)
    return (0, SAMPLE), ((size - SAMPLE) // 2, SAMPLE), (size - SAMPLE, SAMPLE)


def settled(samples: Sequence[bytes], name: str = "") -> bool:
    """Whether another sample could not change the verdict, or will not: of a text that looks like one."""
    if name.endswith(TEXTS) and _ratio(samples[0]) <= LIKE_TEXT:
        return True
    return len(samples) > 1 and len({_ratio(sample) <= WORTH for sample in samples}) == 1


def why_not(samples: Sequence[bytes], size: int) -> str:
    """Why the object will not get smaller; '' where it will.

    The ratio in the middle of the samples counts: an index at one end of a film is no reason to read it. Of
    a small object the one sample is all there is, so it need only shrink by what counts as a saving, and
    where its beginning shrinks that much nothing more is tried beforehand.
    """
    if not size:
        return "it is empty"
    if size <= WHOLE and _ratio(samples[0][:GLANCE]) <= WORTH:
        return ""
    ratio = median(map(_ratio, samples))
    if size <= WHOLE:
        return "" if ratio <= 1 - LEAST_SAVING else TOO_LITTLE
    return "" if ratio <= WORTH else "its samples do not compress"


@lru_cache(maxsize=16)  # it is asked for twice, by the threads of one process
def _ratio(sample: bytes) -> float:
    return len(zstandard.compress(sample, 1)) / len(sample)


def why_not_kept(before: int, after: int) -> str:
    """Why a compressed form is not kept; '' where it saves enough."""
    return "" if after <= before * (1 - LEAST_SAVING) else TOO_LITTLE
