"""Classes of objects, codecs and tiers: the terms of the cold-data settings."""

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


TIER_TAG = "tier"  # the tag that a store of the MinIO family moves an object by


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """When objects of a class are compressed and moved: ages since their job was completed and last read.

    None: never. ``level`` None: the codec's own choice by size. Smaller objects than ``smallest`` bytes are
    not moved, for stores bill them as more. ``codec`` None: by what reads them (see :func:`codec_for`).
    """

    compress: timedelta | None = timedelta(days=90)
    warm: timedelta | None = None
    cold: timedelta | None = timedelta(days=90)
    codec: CodecName | None = None
    level: int | None = None
    smallest: int = 128 << 10


@dataclass(frozen=True, slots=True)
class Price:
    """What a tier costs: money a GiB and month, and the least time an object is billed for."""

    per_gib_month: float
    minimum: timedelta = timedelta()


#: What a tier is called on an AWS-like store where nothing is set: classes that can be read at once, for
#: links must keep working. An archived class is used only where STORAGE_TIERS names it.
CLASSES_OF: Mapping[Tier, tuple[str, ...]] = {"warm": ("STANDARD_IA",), "cold": ("GLACIER_IR",)}


ARCHIVED = ("GLACIER", "DEEP_ARCHIVE")  # classes whose objects must be asked back before they can be read


@dataclass(frozen=True, slots=True, kw_only=True)
class ColdSettings:
    """What an installation set for cold data.

    ``tiers``: each tier's storage class or remote tier, by name; a tier that is not in it is looked for.
    """

    rules: Mapping[ObjectClass, Rule] = field(default_factory=lambda: dict.fromkeys(CLASSES, Rule()))
    tiers: Mapping[Tier, str] = field(default_factory=dict)
    prices: Mapping[Tier, Price] = field(default_factory=dict)
    currency: str = ""
