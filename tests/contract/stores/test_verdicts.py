"""Verdicts after restores: the latest counts, and none condemns before its epoch is closed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from sqlalchemy import Engine, text

from storage.core.clock import utcnow
from storage.core.model import JobId
from storage.core.records import Verdict
from storage.stores.postgres.runs import PostgresControl
from storage.stores.postgres.verdicts import PostgresVerdicts
from storage.testing import Database, MemoryControl, MemoryVerdicts

FIRST = datetime(2026, 3, 8, 2, tzinfo=UTC)
SECOND, NOW = FIRST + timedelta(days=9), FIRST + timedelta(days=10)
A, B, C = JobId("a"), JobId("b"), JobId("c")


@pytest.fixture(params=["fake", "postgres"])
def records(request: pytest.FixtureRequest) -> SimpleNamespace:
    if request.param == "fake":
        tables = Database(utcnow)
        return SimpleNamespace(
            verdicts=MemoryVerdicts(tables), control=MemoryControl(tables), log=tables.audit
        )
    engine: Engine = request.getfixturevalue("engine")
    control = PostgresControl(engine, "http://127.0.0.1:9000")
    return SimpleNamespace(verdicts=PostgresVerdicts(engine), control=control, engine=engine)


def events(records: SimpleNamespace) -> list[tuple[str, dict[str, str]]]:
    if hasattr(records, "log"):
        return [(event, dict(detail)) for event, _, detail in records.log]
    with records.engine.connect() as session:
        rows = session.execute(text("SELECT event, detail FROM maintenance.audit ORDER BY id"))
        return [(row.event, row.detail) for row in rows]


def test_the_last_verdict_of_an_epoch_holds(records: SimpleNamespace) -> None:
    verdicts = records.verdicts
    verdicts.record([A, B, A], "condemn", FIRST, "eva")
    verdicts.record([A], "adopt", FIRST, "tom")
    assert verdicts.of([A, B, C]) == {A: Verdict(A, "adopt", FIRST), B: Verdict(B, "condemn", FIRST)}
    assert verdicts.of([]) == {}


def test_the_latest_epoch_counts_in_whatever_order_they_were_entered(records: SimpleNamespace) -> None:
    verdicts = records.verdicts
    verdicts.record([A, B], "adopt", SECOND, "eva")
    verdicts.record([A, B, C], "condemn", FIRST, "eva")
    assert {owner: one.epoch for owner, one in verdicts.of([A, B, C]).items()} == {
        A: SECOND,
        B: SECOND,
        C: FIRST,
    }
    assert verdicts.of([A], FIRST) == {A: Verdict(A, "condemn", FIRST)}
    assert verdicts.of([C], SECOND) == {}


def test_only_closed_epochs_condemn_and_only_their_last_word(records: SimpleNamespace) -> None:
    verdicts = records.verdicts
    verdicts.record([B, A, C], "condemn", FIRST, "eva")
    assert list(verdicts.condemned()) == []
    verdicts.close(FIRST, "eva", NOW)
    assert [one.owner for one in verdicts.condemned()] == [A, B, C]
    verdicts.record([B], "adopt", SECOND, "eva")
    verdicts.record([C], "condemn", SECOND, "eva")
    assert list(verdicts.condemned()) == [Verdict(A, "condemn", FIRST)]
    verdicts.close(SECOND, "eva", NOW)
    assert list(verdicts.condemned()) == [Verdict(A, "condemn", FIRST), Verdict(C, "condemn", SECOND)]


def test_more_than_a_page_of_them(records: SimpleNamespace) -> None:
    owners = [JobId(f"job-{number:05}") for number in range(2_001)]
    records.verdicts.record(owners, "condemn", FIRST, "eva")
    records.verdicts.close(FIRST, "eva", NOW)
    assert [one.owner for one in records.verdicts.condemned()] == owners


@pytest.mark.parametrize(
    ("paused", "then"),
    [("restored from backup x", None), ("put back, as of", None), ("legal hold", "legal hold")],
)
def test_closing_ends_epoch_and_its_own_pause(
    records: SimpleNamespace, paused: str, then: str | None
) -> None:
    for name, value in (("restore_epoch", "x"), ("paused", paused), ("identity", "x")):
        records.control.write(name, value)
    records.verdicts.close(FIRST, "eva", NOW)
    names = ("restore_epoch", "paused", "identity", "history_from")
    assert [records.control.read(name) for name in names] == [None, then, "x", NOW.isoformat()]
    assert events(records) == [("reconciled", {"epoch": FIRST.isoformat(), "by": "eva"})]
