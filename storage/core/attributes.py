"""Value types of what is stored with an object beside its bytes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from storage.core.model import ObjectKey


@dataclass(frozen=True, slots=True)
class Attributes:
    """Attributes stored with an object. ``metadata``: the user's, without the prefix ``x-amz-meta-``.

    ``headers`` are the other headers that the store returns as they were sent, such as Cache-Control.
    """

    content_type: str = ""
    content_encoding: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)

    def with_encoding(self, *, content_encoding: str, metadata: Mapping[str, str]) -> Attributes:
        """Return a copy with another content encoding and other metadata."""
        return replace(self, content_encoding=content_encoding, metadata=metadata)


@dataclass(frozen=True, slots=True)
class Document:
    """A small object with all its bytes as stored. ``md5``: True if the etag is the MD5 of ``body``."""

    key: ObjectKey
    etag: str
    md5: bool
    attributes: Attributes
    body: bytes
