"""The nouns of cold data: frozen values. Times are timezone-aware UTC datetimes, sizes are bytes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from storage.cold.errors import ContentDamaged
from storage.core.model import Attributes, JobId, ObjectInfo, ObjectKey
from storage.core.tiers import CODECS, CodecName, ObjectClass, Rule, Tier

#: Class by the folder below ``processed/JOB/``; a folder ``segments`` inside another goes first.
_FOLDERS: Mapping[str, ObjectClass] = {
    "raw": "original",
    "360p": "360p",
    "720p": "720p",
    "audio": "audio",
    "transcription": "transcripts",
}
#: What a browser or player loads by itself, and so must be able to decode: gzip is read everywhere.
BROWSER_SUFFIXES = (".vtt", ".m3u8", ".html", ".css", ".js", ".svg")


def class_of(key: str) -> ObjectClass:
    """What an object below ``processed/JOB/`` is, by its key."""
    folders, _, name = key.rpartition("/")
    parts = folders.split("/")[2:]
    if name == "metadata.json" and not parts:
        return "metadata"
    if "segments" in parts:
        return "segments"
    return _FOLDERS.get(parts[0], "other") if parts else "other"


def codec_for(key: str, rule: Rule) -> CodecName:
    """The rule's codec; else gzip for what browsers load by themselves, zstd for all else."""
    return rule.codec or ("gzip" if key.lower().endswith(BROWSER_SUFFIXES) else "zstd")


# --- what a compressed object says of itself -------------------------------------------------------
_CODEC, _SIZE, _SHA256, _ETAG = (
    "storage-codec",
    "storage-original-size",
    "storage-original-sha256",
    "storage-original-etag",
)
#: Codec to Content-Encoding as HTTP names it; lz4 has no registered name, so no client undoes it unasked.
ENCODINGS: Mapping[CodecName, str] = {"zstd": "zstd", "gzip": "gzip", "lz4": "lz4"}


@dataclass(frozen=True, slots=True)
class Compression:
    """How an object was compressed by us, and what it was: all that is needed to hand the original out."""

    codec: CodecName
    size: int
    sha256: str
    etag: str

    def written_into(self, was: Attributes) -> Attributes:
        """The attributes of the compressed object: those of the original and this."""
        words = {_CODEC: self.codec, _SIZE: str(self.size), _SHA256: self.sha256, _ETAG: self.etag}
        return was.with_encoding(content_encoding=ENCODINGS[self.codec], metadata={**was.metadata, **words})


def compression_of(key: ObjectKey, attributes: Attributes) -> Compression | None:
    """What the object says; None for one that we did not compress. Raises ContentDamaged for nonsense."""
    found = {name.lower(): value for name, value in attributes.metadata.items()}
    if _CODEC not in found:
        return None
    codec, size, sha256 = found[_CODEC], found.get(_SIZE, ""), found.get(_SHA256, "")
    if codec not in CODECS or not size.isdecimal() or len(sha256) != 64:
        raise ContentDamaged(key, f"its metadata says {codec!r}, {size!r} bytes, SHA-256 {sha256!r}")
    return Compression(codec, int(size), sha256, found.get(_ETAG, ""))


def without_compression(attributes: Attributes) -> Attributes:
    """The attributes of the original again."""
    ours = (_CODEC, _SIZE, _SHA256, _ETAG)
    left = {name: value for name, value in attributes.metadata.items() if name.lower() not in ours}
    return attributes.with_encoding(content_encoding="", metadata=left)


@dataclass(frozen=True, slots=True, kw_only=True)
class Details:
    """All that one HEAD or GET says of an object beside its bytes.

    ``tag_count`` is None where the store does not say. ``restore`` is the answer's x-amz-restore.
    ``blocked``: why no other form may take its place, such as a legal hold; '' where one may.
    """

    info: ObjectInfo
    attributes: Attributes
    tag_count: int | None = None
    restore: str = ""
    blocked: str = ""


# --- what is remembered ----------------------------------------------------------------------------
TierState = Literal["", "asked", "held", "stuck"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ColdRecord:
    """What earlier nights found of one object; void for its bytes as soon as its etag is another.

    ``size`` is the one stored: what it takes up where it is.
    ``skipped``: why compressing it is not worth while. ``tier`` is where it was sent, since ``asked_at``.
    """

    key: ObjectKey
    etag: str
    size: int
    object_class: ObjectClass
    owner: JobId | None = None
    compression: Literal["", "compressed", "skipped"] = ""
    skipped: str = ""
    tier: Tier = "hot"
    tier_state: TierState = ""
    asked_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Saving:
    """One measured change of an object's bytes or tier: ``after`` comes from a HEAD after the change.

    ``left_behind``: bytes of the older version that the change left, where the bucket keeps versions.
    """

    run_id: str
    key: ObjectKey
    object_class: ObjectClass
    owner: JobId | None
    kind: Literal["compress", "decompress", "transition", "return"]
    etag: str
    before: int
    after: int
    left_behind: int = 0
    tier: Tier = "hot"
    codec: str = ""


@dataclass(frozen=True, slots=True)
class SavingsLine:
    """The sum of a group of savings; ``group`` is a day, class, job or api_key."""

    group: str
    objects: int
    before: int
    after: int
    left_behind: int
    skipped: int = 0
    skipped_bytes: int = 0
    reasons: Mapping[str, int] = field(default_factory=dict)

    @property
    def saved(self) -> int:
        return self.before - self.after - self.left_behind


@dataclass(frozen=True, slots=True)
class TierTarget:
    """Where a tier is on this store. ``how``: by a copy into a class, or by a tag and a lifecycle rule."""

    tier: Tier
    how: Literal["class", "tag"]
    target: str
