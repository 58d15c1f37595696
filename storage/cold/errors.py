"""Errors of cold data."""

from __future__ import annotations

from storage.core.errors import Refused, StorageError


class ContentDamaged(StorageError):
    """What is stored under {0!r} is not what it says it is: {1}."""

    next_step = "Nothing was changed. Restore the object from where it came, or from an older version."


class CompressorErred(StorageError):
    """Compressing {0!r} did not give back the same bytes: {1}."""

    next_step = "The object was left as it was. Report the codec and its version (`storage probe`)."


class TierMissing(Refused):
    """Refused by tiers: {0}."""
