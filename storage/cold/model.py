"""Immutable value types of cold data. Times are timezone-aware UTC datetimes, sizes are bytes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from storage.cold.errors import ContentDamaged
from storage.core.attributes import Attributes
from storage.core.model import JobId, ObjectInfo, ObjectKey
from storage.core.tiers import CODECS, CodecName, ObjectClass, Rule, Tier

#: Object class by the folder below ``processed/JOB/``; a nested ``segments`` folder takes precedence.
_FOLDERS: Mapping[str, ObjectClass] = {
    "raw": "original",
    "360p": "360p",
    "720p": "720p",
    "audio": "audio",
    "transcription": "transcripts",
}
#: Files that browsers and players load, and decode, without our code: all of them support gzip.
BROWSER_SUFFIXES = (".vtt", ".m3u8", ".html", ".css", ".js", ".svg")


def class_of(key: str) -> ObjectClass:
    """Return the class of an object below ``processed/JOB/`` by its key."""
    folders, _, name = key.rpartition("/")
    parts = folders.split("/")[2:]
    if name == "metadata.json" and not parts:
        return "metadata"
    if "segments" in parts:
        return "segments"
    return _FOLDERS.get(parts[0], "other") if parts else "other"


def codec_for(key: str, rule: Rule) -> CodecName:
    """Return the rule's codec, or by default gzip for files that browsers load and zstd for all others."""
    return rule.codec or ("gzip" if key.lower().endswith(BROWSER_SUFFIXES) else "zstd")


# --- metadata of a compressed object ---------------------------------------------------------------
_CODEC, _SIZE, _SHA256, _ETAG = (
    "storage-codec",
    "storage-original-size",
    "storage-original-sha256",
    "storage-original-etag",
)
#: Codec to Content-Encoding as HTTP names it; lz4 has no registered name, so no client decodes it by default.
ENCODINGS: Mapping[CodecName, str] = {"zstd": "zstd", "gzip": "gzip", "lz4": "lz4"}


@dataclass(frozen=True, slots=True)
class Compression:
    """Compression of an object by this platform: all that is needed to return the original bytes."""

    codec: CodecName
    size: int
    sha256: str
    etag: str

    def written_into(self, was: Attributes) -> Attributes:
        """Return the attributes of the compressed object: the original's plus this compression."""
        words = {_CODEC: self.codec, _SIZE: str(self.size), _SHA256: self.sha256, _ETAG: self.etag}
        return was.with_encoding(content_encoding=ENCODINGS[self.codec], metadata={**was.metadata, **words})


def compression_of(key: ObjectKey, attributes: Attributes) -> Compression | None:
    """Parse an object's compression metadata; None if we did not compress it.

    Raises ContentDamaged for invalid metadata.
    """
    found = {name.lower(): value for name, value in attributes.metadata.items()}
    if _CODEC not in found:
        return None
    codec, size, sha256 = found[_CODEC], found.get(_SIZE, ""), found.get(_SHA256, "")
    if codec not in CODECS or not size.isdecimal() or len(sha256) != 64:
        raise ContentDamaged(key, f"its metadata states {codec!r}, {size!r} bytes, SHA-256 {sha256!r}")
    return Compression(codec, int(size), sha256, found.get(_ETAG, ""))


def without_compression(attributes: Attributes) -> Attributes:
    """Return the attributes of the original, without the compression metadata."""
    ours = (_CODEC, _SIZE, _SHA256, _ETAG)
    left = {name: value for name, value in attributes.metadata.items() if name.lower() not in ours}
    return attributes.with_encoding(content_encoding="", metadata=left)


@dataclass(frozen=True, slots=True, kw_only=True)
class Details:
    """Everything that one HEAD or GET returns about an object except its bytes.

    ``tag_count`` is None if the store does not report it. ``restore`` is the response header x-amz-restore.
    ``blocked``: why the object may not be replaced by another form, such as a legal hold; '' if it may.
    """

    info: ObjectInfo
    attributes: Attributes
    tag_count: int | None = None
    restore: str = ""
    blocked: str = ""


# --- persistent state ------------------------------------------------------------------------------
TierState = Literal["", "asked", "held", "stuck"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ColdRecord:
    """State that earlier runs recorded for one object; void for its bytes as soon as its etag changes.

    ``size`` is the stored size: the space the object occupies in its tier.
    ``skipped``: why it is not worth compressing. ``tier`` is the tier it was sent to, at ``asked_at``.
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
    """Measured change of one object's bytes or tier: ``after`` comes from a HEAD after the change.

    ``left_behind``: bytes of the noncurrent version that the change left, if the bucket keeps versions.
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
    """Totals of a group of savings; ``group`` is a day, class, job or api_key."""

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
    """Target of a tier on this store. ``how``: a copy into a storage class, or a tag and a lifecycle rule."""

    tier: Tier
    how: Literal["class", "tag"]
    target: str
