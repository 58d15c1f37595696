"""Alarms about the backups as a whole: missing, stale, failed or of unusual size; otherwise none."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from storage.backup.alarms import alarms, check
from storage.backup.errors import BackupAlarm
from storage.backup.model import Backup
from tests.support.backups_in_memory import NOW, backup
from tests.support.in_memory import DAY, HOUR, World


def both(*ages: timedelta) -> list[Backup]:
    """Return proven backups of both kinds, of 1,000 bytes and 100 items, newest first."""
    return [
        replace(backup(age, kind=kind, number=2 * number + (kind == "metadata")), size=1000, items=100)
        for number, age in enumerate(ages)
        for kind in ("database", "metadata")
    ]


def test_fresh_proven_backups_are_no_alarm() -> None:
    assert alarms(both(HOUR, DAY + HOUR, 2 * DAY), NOW) == []
    assert alarms(both(26 * HOUR), NOW) == []


def test_each_kind_needs_a_fresh_proven_one() -> None:
    assert [one.split(" was")[0] for one in alarms([], NOW)] == ["No database backup", "No metadata backup"]
    stale = alarms(both(26 * HOUR + timedelta(seconds=1)), NOW)
    assert [("newest is of" in one, "26 h" in one) for one in stale] == [(True, True)] * 2
    only = [one for one in both(HOUR) if one.kind == "database"]
    assert [one.split(" was")[0] for one in alarms(only, NOW)] == ["No metadata backup"]


def test_a_backup_of_the_future_is_not_fresh() -> None:
    found = alarms(both(-2 * HOUR), NOW)
    assert sum("dated in the future and does not count" in one for one in found) == 2
    assert sum("was proven within 26 h: there is none" in one for one in found) == 2


def test_a_backup_of_the_future_hides_no_other() -> None:
    """The fresh one counts; the one ahead is named until it is in quarantine."""
    ahead = backup(-9 * DAY, number=99)
    assert alarms([ahead, *both(HOUR)], NOW) == [
        f"database backup {ahead.id} is dated in the future and does not count: set the clocks (NTP), then "
        f"`storage backup quarantine {ahead.id}`."
    ]
    assert alarms([replace(ahead, state="failed"), *both(HOUR)], NOW) == []


def test_a_night_that_failed_is_an_alarm_though_yesterday_s_is_fresh_enough() -> None:
    failed = replace(backup(HOUR, "failed", number=9), message="pg_dump failed")
    assert alarms([failed, *both(25 * HOUR)], NOW) == [
        f"The newest database backup, {failed.id}, has failed: pg_dump failed"
    ]


@pytest.mark.parametrize(
    ("size", "items", "words"),
    [(499, 100, "usual are 1,000"), (2001, 100, "usual are 1,000"), (1000, 79, "usual are 100")],
)
def test_one_far_off_its_history(size: int, items: int, words: str) -> None:
    newest, *others = both(HOUR, DAY, 2 * DAY, 3 * DAY)
    found = alarms([replace(newest, size=size, items=items), *others], NOW)
    assert len(found) == 1 and words in found[0]


@pytest.mark.parametrize(("size", "items"), [(500, 80), (2000, 5000)])
def test_one_just_within_its_history(size: int, items: int) -> None:
    newest, *others = both(HOUR, DAY, 2 * DAY, 3 * DAY)
    assert alarms([replace(newest, size=size, items=items), *others], NOW) == []


def test_three_make_a_history() -> None:
    newest, *others = both(HOUR, DAY, 2 * DAY)
    assert alarms([replace(newest, size=1), *others], NOW) == []


def test_the_check_is_red_and_says_what_to_do(world: World) -> None:
    with pytest.raises(BackupAlarm, match="No database backup.*No metadata backup.*storage backup run"):
        check(world.stores)
    for one in both(HOUR):
        world.stores.catalogue.save(replace(one, taken_at=world.time - HOUR))
    check(world.stores)
