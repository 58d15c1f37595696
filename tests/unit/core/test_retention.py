"""Settings of how long records are kept."""

from __future__ import annotations

from datetime import timedelta

import pytest

from storage.core.errors import ConfigError
from storage.core.retention import Retention, retention


def test_days() -> None:
    assert retention("90", "400") == Retention()
    assert retention("30", "365") == Retention(timedelta(days=30), timedelta(days=365))


@pytest.mark.parametrize(
    ("records", "audit", "named"),
    [
        ("29", "400", "STORAGE_KEEP_RECORDS_DAYS is '29'"),
        ("90", "364", "STORAGE_KEEP_AUDIT_DAYS is '364'"),
        ("1e3", "400", "STORAGE_KEEP_RECORDS_DAYS"),
        ("-90", "400", "STORAGE_KEEP_RECORDS_DAYS"),
        ("٩٠", "400", "STORAGE_KEEP_RECORDS_DAYS"),
        ("90", "99999", "from 365 to 36500"),
        ("500", "400", "must be at least STORAGE_KEEP_RECORDS_DAYS, 500"),
    ],
)
def test_wrong_days_are_named(records: str, audit: str, named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        retention(records, audit)
