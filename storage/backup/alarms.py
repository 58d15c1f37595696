"""Alarms about the backups as a whole: stale, missing, or the newest far off its history."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from statistics import median

from storage.backup.errors import BackupAlarm
from storage.backup.model import KINDS, Backup, BackupKind
from storage.backup.policy import COUNTED, SKEW
from storage.backup.ports import BackupStores

AGE = timedelta(hours=26)
HISTORY = 7  # proven backups that the newest is compared with


def alarms(backups: Sequence[Backup], now: datetime) -> list[str]:
    """Return each alarm as a sentence; an empty list when all is well. ``backups``: newest first."""
    found = []
    for kind in KINDS:
        mine = [backup for backup in backups if backup.kind == kind]
        past = [backup for backup in mine if backup.taken_at <= now + SKEW]
        counted = [backup for backup in past if backup.state in COUNTED]
        found += _ahead(backup for backup in mine if backup not in past)
        found += _stale(kind, past, now) + _strange(kind, counted)
    return found


def _ahead(backups: Iterable[Backup]) -> list[str]:
    """Name the backups dated in the future: as the newest they would hide that there is no later one."""
    return [
        f"{one.kind} backup {one.id} is dated in the future and does not count: set the clocks (NTP), then "
        f"`storage backup quarantine {one.id}`."
        for one in backups
        if one.state in COUNTED
    ]


def _stale(kind: BackupKind, backups: Sequence[Backup], now: datetime) -> list[str]:
    proven = next((backup for backup in backups if backup.state == "proven"), None)
    if backups and backups[0].state == "failed":
        return [f"The newest {kind} backup, {backups[0].id}, has failed: {backups[0].message}"]
    if proven and now - proven.taken_at <= AGE:
        return []
    last = next((backup for backup in backups if backup.state in ("failed", "complete")), None)
    why = f" The last one is {last.state}{': ' + last.message if last.message else ''}." if last else ""
    when = f"the newest is of {proven.taken_at:%Y-%m-%d %H:%M} UTC" if proven else "there is none"
    return [f"No {kind} backup was proven within 26 h: {when}.{why}"]


def _strange(kind: BackupKind, backups: Sequence[Backup]) -> list[str]:
    """Compare the newest backup with earlier ones: half or twice the size, or a fifth of the items gone."""
    newest, before = backups[:1], [backup for backup in backups[1:] if backup.state == "proven"][:HISTORY]
    if not newest or len(before) < 3:
        return []
    size, items = median(backup.size for backup in before), median(backup.items for backup in before)
    found = []
    if size and not 0.5 <= newest[0].size / size <= 2:
        found.append(f"{kind} backup {newest[0].id} has {newest[0].size:,} bytes; usual are {size:,.0f}.")
    if items and newest[0].items < 0.8 * items:
        found.append(f"{kind} backup {newest[0].id} holds {newest[0].items:,} items; usual are {items:,.0f}.")
    return found


def check(stores: BackupStores) -> None:
    """Raise BackupAlarm if there is any alarm."""
    if found := alarms(stores.catalogue.all(), stores.clock()):
        raise BackupAlarm(" ".join(found))
