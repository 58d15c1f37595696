"""The one place of the package that reads the wall clock."""

from __future__ import annotations

from datetime import UTC, datetime


def utcnow() -> datetime:
    """The worker's clock, timezone-aware UTC."""
    return datetime.now(UTC)
