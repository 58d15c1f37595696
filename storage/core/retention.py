"""Retention of the platform's own records."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from storage.core.errors import ConfigError

FEWEST_RECORDS_DAYS, FEWEST_AUDIT_DAYS, MOST_DAYS = 30, 365, 36_500


@dataclass(frozen=True, slots=True)
class Retention:
    """Ages at which records go: ``records`` (runs, plans, closed marks), ``audit`` (audit, deletion logs)."""

    records: timedelta = timedelta(days=90)
    audit: timedelta = timedelta(days=400)


def retention(records: str, audit: str) -> Retention:
    """Parse the two settings. Raises ConfigError for no whole number, or one out of range."""
    kept = _days("STORAGE_KEEP_RECORDS_DAYS", records, FEWEST_RECORDS_DAYS)
    of_audit = _days("STORAGE_KEEP_AUDIT_DAYS", audit, FEWEST_AUDIT_DAYS)
    if of_audit < kept:
        raise ConfigError(
            f"STORAGE_KEEP_AUDIT_DAYS is {audit}; it must be at least STORAGE_KEEP_RECORDS_DAYS, {records}."
        )
    return Retention(kept, of_audit)


def _days(name: str, value: str, fewest: int) -> timedelta:
    if not (value.isascii() and value.isdigit() and fewest <= int(value) <= MOST_DAYS):
        raise ConfigError(f"{name} is {value!r}; give whole days from {fewest} to {MOST_DAYS}.")
    return timedelta(days=int(value))
