"""The retention rule for backups, over thousands of generated catalogues and years of nights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.backup.model import KINDS, Backup, BackupId, BackupKind, BackupState
from storage.backup.policy import FRESH, SETTLED, Rule, decide
from storage.core.errors import Refused
from tests.support.backups_in_memory import NOW, backup
from tests.support.in_memory import DAY, HOUR, MINUTE, SECOND

RULE = Rule()


def going(backups: Sequence[Backup], as_of: datetime = NOW, rule: Rule = RULE) -> set[BackupId]:
    stays = decide(backups, as_of, rule)
    return {one.id for one in backups if one.id not in stays and one.state != "expired"}


# --- generated catalogues -------------------------------------------------------------------------
STATES: tuple[BackupState, ...] = ("proven", "proven", "proven", "complete", "failed", "running", "expired")
ZONES = st.sampled_from([UTC, timezone(timedelta(hours=14)), timezone(timedelta(hours=-11))])
AGES = st.one_of(
    st.integers(0, 60 * 24 * 1500).map(lambda minutes: timedelta(minutes=minutes)),
    st.sampled_from([SETTLED, 30 * DAY, 30 * DAY - SECOND, timedelta(0), FRESH, 365 * DAY]),
)


ROWS = st.tuples(AGES, st.sampled_from(STATES), st.sampled_from(["", "", "", "audit"]), st.booleans(), ZONES)
KIND = st.tuples(st.integers(0, 25), st.lists(ROWS, max_size=14))


@st.composite
def catalogues(draw: st.DrawFn) -> list[Backup]:
    """Draw rows of one kind or both, each kind with a fresh proven backup; some rows share a second."""
    rows: list[Backup] = []
    kinds: tuple[BackupKind, ...] = draw(st.sampled_from([("database",), ("metadata",), KINDS]))
    for kind in kinds:
        hours, others = draw(KIND)
        rows.append(backup(hours * HOUR, kind=kind, number=len(rows)))
        for age, state, pinned, bare, zone in others:
            at = (NOW - age).astimezone(zone)
            rows.append(backup(age, state, kind, number=len(rows), pinned=pinned, bare=bare, at=at))
    return rows


RULES = st.builds(
    Rule,
    last=st.integers(0, 5),
    daily_days=st.integers(0, 60),
    weekly=st.integers(0, 8),
    monthly=st.integers(0, 12),
    yearly=st.integers(0, 3),
    minimum=st.integers(0, 5),
)
thousands = settings(max_examples=500, deadline=None, database=None, derandomize=True)


@thousands
@given(catalogues(), RULES)
def test_what_must_remain_remains(backups: list[Backup], rule: Rule) -> None:
    gone = going(backups, rule=rule)
    for kind in ("database", "metadata"):
        mine = [one for one in backups if one.kind == kind and one.state != "expired"]
        proven = sorted(
            (one for one in mine if one.state == "proven"), key=lambda one: (one.taken_at, one.id)
        )
        left = [one for one in proven if one.id not in gone]
        assert not proven or proven[-1].id not in gone, "the newest proven one"
        assert len(left) >= min(len(proven), max(rule.minimum, rule.last)), "the minimum"
        assert not {one.id for one in mine if one.pinned or one.state == "running"} & gone
        young = {one.id for one in mine if NOW - one.taken_at < rule.young and one.manifest_sha256}
        assert not young & gone, "what is young and not an empty failure"
        assert not {one.id for one in mine if NOW - one.taken_at < SETTLED and one.state != "proven"} & gone
        assert 2 * len({one.id for one in mine} & gone) <= len(mine), "at most half"
        if len(proven) < rule.minimum:
            assert not {one.id for one in mine if one.manifest_sha256} & gone


@thousands
@given(catalogues(), st.randoms(use_true_random=False))
def test_the_order_of_the_rows_does_not_matter(backups: list[Backup], chance: object) -> None:
    shuffled = list(backups)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    assert decide(shuffled, NOW, RULE) == decide(backups, NOW, RULE) == decide(backups, NOW, RULE)


@thousands
@given(catalogues())
def test_every_period_keeps_its_newest(backups: list[Backup]) -> None:
    """Each of the latest months with a proven backup keeps its newest; likewise weeks and years."""
    gone = going(backups)
    for shape, count in (("%G %V", 8), ("%Y %m", 12), ("%Y", 3)):
        for kind in ("database", "metadata"):
            proven = [one for one in backups if one.kind == kind and one.state == "proven"]
            newest: dict[str, Backup] = {}
            for one in sorted(proven, key=lambda one: (one.taken_at, one.id)):
                newest[one.taken_at.astimezone(UTC).strftime(shape)] = one
            for period in sorted(newest)[-count:]:
                assert newest[period].id not in gone, period


@thousands
@given(catalogues())
def test_pruned_until_nothing_goes_the_rest_is_what_the_rule_wants(backups: list[Backup]) -> None:
    """Pruning repeated at the same instant ends, and leaves nothing that a later run would prune."""
    left, rounds = backups, 0
    while gone := going(left):
        left, rounds = [one for one in left if one.id not in gone], rounds + 1
        assert rounds < 10
    assert all("later run" not in why for why in decide(left, NOW, RULE).values())


@thousands
@given(catalogues(), st.integers(1, 400))
def test_the_earlier_the_as_of_the_less_goes_by_age(backups: list[Backup], days: int) -> None:
    """A backfilled run prunes no backup that is young at its as-of."""
    then = NOW - days * DAY
    stays = decide(backups, then, RULE, now=NOW)
    for one in backups:
        if then - one.taken_at < RULE.young and one.manifest_sha256 and one.state != "expired":
            assert one.id in stays


@thousands
@given(catalogues(), st.sampled_from(["running", "complete", "proven"]), st.integers(61, 10**7))
def test_a_backup_of_the_future_refuses(backups: list[Backup], state: BackupState, seconds: int) -> None:
    strange = backup(-seconds * SECOND, state, number=999)
    with pytest.raises(Refused, match="dated in the future"):
        decide([*backups, strange], NOW, RULE)


def test_what_is_in_quarantine_refuses_nothing() -> None:
    """A failed backup dated ahead does not count, and is kept."""
    strange = backup(-9 * DAY, "failed", number=9)
    assert strange.id in decide([strange, backup(DAY / 2)], NOW, RULE)


def test_a_minute_ahead_is_no_future() -> None:
    decide([backup(-60 * SECOND)], NOW, RULE)
    with pytest.raises(Refused, match="future"):
        decide([backup(-61 * SECOND)], NOW, RULE)


def test_the_night_s_own_backup_is_later_than_the_as_of() -> None:
    """A scheduled run has an as-of of 03:00; that night's backup is some minutes later, and counts."""
    assert decide([backup(timedelta(0)), backup(DAY)], NOW - 30 * MINUTE, RULE, now=NOW)


@pytest.mark.parametrize("state", ["complete", "failed", "running"])
def test_nothing_goes_without_a_fresh_proven_one(state: BackupState) -> None:
    rows = [backup(HOUR, state), backup(FRESH + SECOND), *(backup(100 * DAY, number=n) for n in range(9))]
    with pytest.raises(Refused, match="newest proven database backup is 26 h old"):
        decide(rows, NOW, RULE)
    decide([*rows[1:], backup(FRESH)], NOW, RULE)


def test_no_proven_one_at_all_refuses() -> None:
    with pytest.raises(Refused, match="newest proven metadata backup is missing"):
        decide([backup(HOUR), backup(HOUR, "complete", "metadata")], NOW, RULE)


def test_an_empty_catalogue_is_no_refusal() -> None:
    assert decide([], NOW, RULE) == {}


# --- ages at the cut-off ---------------------------------------------------------------------------
def crowd(*others: Backup) -> list[Backup]:
    """Add enough fresh proven backups that only the age limit decides about ``others``."""
    return [*(backup(n * HOUR, number=n) for n in range(6)), *others]


ONLY_AGES = Rule(weekly=0, monthly=0, yearly=0)


@pytest.mark.parametrize(
    ("one", "goes"),
    [
        (backup(30 * DAY), True),
        (backup(30 * DAY - SECOND), False),
        (backup(30 * DAY, "complete"), True),
        (backup(30 * DAY - SECOND, "complete"), False),
        (backup(30 * DAY, "failed"), True),
        (backup(30 * DAY - SECOND, "failed"), False),
        (backup(SETTLED, "failed", bare=True), True),
        (backup(SETTLED - SECOND, "failed", bare=True), False),
        (backup(400 * DAY, "running"), False),
        (backup(400 * DAY, pinned="before the move"), False),
    ],
)
def test_at_the_cut(one: Backup, goes: bool) -> None:
    assert (going(crowd(one), rule=ONLY_AGES) == {one.id}) is goes


def test_unproven_ones_wait_for_enough_proven_ones() -> None:
    old = backup(90 * DAY, "complete")
    few = [backup(HOUR, number=1), backup(2 * HOUR, number=2), old]
    assert "only 2 are proven" in decide(few, NOW, RULE)[old.id]
    assert going([*few, backup(3 * HOUR, number=3)]) == {old.id}


def test_the_minimum_stays_whatever_else_the_rule_says() -> None:
    rows = [backup(HOUR), *(backup(n * 365 * DAY) for n in range(1, 8))]
    nothing = Rule(last=0, daily_days=0, weekly=0, monthly=0, yearly=0, minimum=5)
    assert going(rows, rule=nothing) == {one.id for one in rows[5:]}
    assert going(rows, rule=replace(nothing, minimum=0)) == {one.id for one in rows[4:]}, "half of them"
    assert going(rows[:2], rule=replace(nothing, minimum=0)) == {rows[1].id}, "the newest proven one stays"


def test_at_most_half_goes_and_the_oldest_first() -> None:
    rows = crowd(*(backup(n * DAY, "complete", number=n) for n in range(40, 60)))
    gone = going(rows)
    assert len(gone) == 13
    assert gone == {one.id for one in sorted(rows, key=lambda one: one.taken_at)[:13]}


# --- nights ----------------------------------------------------------------------------------------
def nights(first: date, last: date, proof: dict[date, BackupState] | None = None) -> list[Backup]:
    """Return the backups left after a backup and a pruning each night; a refused pruning removes none."""
    left: list[Backup] = []
    day = first
    while day <= last:
        due = datetime(day.year, day.month, day.day, 3, tzinfo=UTC)
        left.append(backup(timedelta(0), (proof or {}).get(day, "proven"), at=due + 5 * MINUTE))
        try:
            gone = going(left, due + 30 * MINUTE)
        except Refused:
            gone = set()
        left = [one for one in left if one.id not in gone]
        day += DAY
    return left


def dates(backups: Sequence[Backup]) -> set[date]:
    return {one.taken_at.date() for one in backups}


def test_years_of_nights_end_with_the_set_of_the_rule() -> None:
    last = date(2026, 3, 8)  # a Sunday
    month_ends = ["0430", "0531", "0630", "0731", "0831", "0930", "1031", "1130", "1231"]
    expected = {last - n * DAY for n in range(30)}  # until 2026-02-07
    expected |= {date(2026, 2, 1), date(2026, 1, 25), date(2026, 1, 18)}  # Sundays: 8 weeks with this week
    expected |= {date(2025, int(one[:2]), int(one[2:])) for one in month_ends} | {date(2026, 1, 31)}
    expected |= {date(2024, 12, 31)}  # three years: 2026, 2025, 2024
    assert dates(nights(date(2023, 1, 1), last)) == expected


def test_thirty_days_of_failing_backups_keep_the_last_good_one() -> None:
    begin, broke = date(2026, 1, 1), date(2026, 2, 1)
    failing: dict[date, BackupState] = {broke + n * DAY: "failed" for n in range(30)}
    before, after = nights(begin, broke, failing), nights(begin, broke + 29 * DAY, failing)
    assert dates(before) <= dates(after), "from the second night on nothing goes"
    assert max(one.taken_at for one in after if one.state == "proven").date() == broke - DAY


def test_a_hundred_days_of_unproven_backups_cost_no_proven_one() -> None:
    begin, broke = date(2025, 10, 1), date(2025, 11, 1)
    unproven: dict[date, BackupState] = {broke + n * DAY: "complete" for n in range(100)}
    before, after = nights(begin, broke, unproven), nights(begin, broke + 99 * DAY, unproven)
    assert dates(before) <= dates(after)
    mended = nights(begin, broke + 100 * DAY, unproven)
    ends = {date(2025, 10, 31), date(2025, 10, 26), date(2025, 10, 19)}  # ends of the month and of weeks
    assert ends < dates([one for one in mended if one.state == "proven"])
