"""Object classes, codecs and tiers of the cold-data settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal, get_args

ObjectClass = Literal["original", "360p", "720p", "audio", "segments", "transcripts", "metadata", "other"]


CLASSES: tuple[ObjectClass, ...] = get_args(ObjectClass)


CodecName = Literal["zstd", "gzip", "lz4"]


CODECS: tuple[CodecName, ...] = get_args(CodecName)


Tier = Literal["hot", "warm", "cold"]


TIERS: tuple[Tier, ...] = get_args(Tier)


TIER_TAG = "tier"  # the object tag that transition rules of MinIO-family stores filter on


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Ages at which objects of a class are compressed and moved, since job completion and last read.

    None: never. ``level`` None: the codec chooses by size. Objects smaller than ``smallest`` bytes are not
    moved, because stores bill them as larger. ``codec`` None: chosen by the reader (see :func:`codec_for`).
    """

    compress: timedelta | None = timedelta(days=90)
    warm: timedelta | None = None
    cold: timedelta | None = timedelta(days=90)
    codec: CodecName | None = None
    level: int | None = None
    smallest: int = 128 << 10


@dataclass(frozen=True, slots=True)
class Price:
    """The price of a tier: amount per GiB and month, and the minimum billed duration of an object."""

    per_gib_month: float
    minimum: timedelta = timedelta()


#: Default storage classes of the tiers on an AWS-like store: only classes that can be read at once,
#: because links must keep working. An archived class is used only if STORAGE_TIERS names it.
CLASSES_OF: Mapping[Tier, tuple[str, ...]] = {"warm": ("STANDARD_IA",), "cold": ("GLACIER_IR",)}


ARCHIVED = ("GLACIER", "DEEP_ARCHIVE")  # classes whose objects must be restored before they can be read


@dataclass(frozen=True, slots=True, kw_only=True)
class ColdSettings:
    """The cold-data settings of an installation.

    ``tiers``: the storage class or remote tier of each tier, by name; a missing tier is detected.
    """

    rules: Mapping[ObjectClass, Rule] = field(default_factory=lambda: dict.fromkeys(CLASSES, Rule()))
    tiers: Mapping[Tier, str] = field(default_factory=dict)
    prices: Mapping[Tier, Price] = field(default_factory=dict)
    currency: str = ""
