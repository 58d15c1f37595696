"""The only module of the package that reads the wall clock."""

from __future__ import annotations

from datetime import UTC, datetime


def utcnow() -> datetime:
    """Return the worker's current time as a timezone-aware UTC datetime."""
    return datetime.now(UTC)
