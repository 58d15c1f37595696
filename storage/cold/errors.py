"""Errors of cold data."""

from __future__ import annotations

from storage.core.errors import Refused, StorageError


class ContentDamaged(StorageError):
    """The stored content of {0!r} is damaged or does not match its metadata: {1}."""

    next_step = "Nothing was changed. Restore the object from its source, or from an older version."


class CompressorErred(StorageError):
    """The compressed form of {0!r} does not decompress to the original: {1}."""

    next_step = "The object was not changed. Report the codec and its version (`storage probe`)."


class TierMissing(Refused):
    """Refused by tiers: {0}."""
