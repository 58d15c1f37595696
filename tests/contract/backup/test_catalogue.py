"""The catalogue of backups: saved rows are read back, state changes are compare-and-set, pins persist."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, get_args

import pytest

from storage.backup.model import Backup, BackupId, BackupState
from storage.backup.ports import Catalogue
from storage.backup.postgres.catalogue import PostgresCatalogue
from storage.core.clock import utcnow
from storage.testing import Database, MemoryCatalogue

NOON = datetime(2026, 3, 8, 12, 0, 0, 123456, tzinfo=UTC)
STATES: tuple[BackupState, ...] = get_args(BackupState)


@pytest.fixture(params=["fake", "postgres"])
def catalogue(request: pytest.FixtureRequest) -> Catalogue:
    if request.param == "fake":
        return MemoryCatalogue(Database(utcnow))
    return PostgresCatalogue(request.getfixturevalue("engine"))


def backup(number: int, hours: int = 0, **values: Any) -> Backup:
    id = BackupId(f"20260308T120000Z-{number:08x}")
    known: dict[str, Any] = {"kind": "database", "state": "complete"}
    return Backup(id=id, taken_at=NOON + timedelta(hours=hours), **known | values)


def test_every_field_is_read_back(catalogue: Catalogue) -> None:
    full = backup(
        1,
        state="proven",
        size=1 << 50,
        items=1 << 40,
        manifest_sha256="ab" * 32,
        message="100% of 'jobs' :name \u00e9\n",
        pinned="before the migration",
        finished_at=NOON + timedelta(minutes=1),
        proven_at=NOON + timedelta(minutes=2),
        certificate={"tables": [["public.jobs", 3, "-7", "-7"]], "rows": 3, "nested": {"\u00e9": None}},
    )
    catalogue.save(full)
    assert catalogue.get(full.id) == full
    assert catalogue.get(backup(2).id) is None
    catalogue.save(backup(2))
    assert catalogue.get(backup(2).id) == backup(2)
    assert catalogue.get(full.id) == full


def test_saved_again_it_is_new_but_for_its_pin(catalogue: Catalogue) -> None:
    catalogue.save(backup(1, state="running"))
    assert catalogue.pin(backup(1).id, "keep")
    after = backup(1, hours=1, state="proven", size=5, items=6, message="m", certificate={"a": 1})
    catalogue.save(after)
    assert catalogue.get(after.id) == replace(after, pinned="keep")
    catalogue.save(backup(1, pinned="another"))
    assert catalogue.get(after.id) == backup(1, pinned="keep")


def test_newest_first(catalogue: Catalogue) -> None:
    for number, hours in ((3, 1), (1, 2), (4, 1), (2, 3)):
        catalogue.save(backup(number, hours))
    catalogue.save(backup(9, 9, kind="metadata", state="expired"))
    assert [one.id[-1] for one in catalogue.all("database")] == ["2", "1", "4", "3"]
    assert [one.id[-1] for one in catalogue.all()] == ["9", "2", "1", "4", "3"]
    assert [one.id[-1] for one in catalogue.all("metadata")] == ["9"]


def test_an_empty_one(catalogue: Catalogue) -> None:
    assert catalogue.all() == catalogue.all("database") == []
    assert catalogue.newest_proven("database", NOON + timedelta(days=9)) is None


@pytest.mark.parametrize("was", STATES)
@pytest.mark.parametrize("seen", [["complete"], ["running", "proven"], []])
def test_a_state_is_turned_only_when_it_is_as_seen(
    catalogue: Catalogue, was: BackupState, seen: list[BackupState]
) -> None:
    catalogue.save(backup(1, state=was, message="before"))
    turned = catalogue.move(backup(1).id, seen, "failed", "100% gone")
    assert turned == (was in seen)
    expected = {"state": "failed", "message": "100% gone"} if turned else {"state": was, "message": "before"}
    assert catalogue.get(backup(1).id) == backup(1, **expected)


def test_of_two_only_one_turns_it(catalogue: Catalogue) -> None:
    catalogue.save(backup(1))
    assert [catalogue.move(backup(1).id, ["complete"], "expired") for _ in range(2)] == [True, False]
    assert not catalogue.move(backup(2).id, ["complete"], "expired")


def test_a_move_leaves_the_others(catalogue: Catalogue) -> None:
    catalogue.save(backup(1, pinned="p", certificate={"a": 1}))
    catalogue.save(backup(2))
    catalogue.move(backup(1).id, ["complete"], "proven")
    assert catalogue.get(backup(1).id) == backup(1, state="proven", pinned="p", certificate={"a": 1})
    assert catalogue.get(backup(2).id) == backup(2)


def test_pinned_and_unpinned(catalogue: Catalogue) -> None:
    catalogue.save(backup(1))
    assert catalogue.pin(backup(1).id, "it's the last before 2.0")
    assert catalogue.get(backup(1).id) == backup(1, pinned="it's the last before 2.0")
    assert catalogue.pin(backup(1).id, "")
    assert catalogue.get(backup(1).id) == backup(1)
    assert not catalogue.pin(backup(2).id, "none")


def test_the_newest_proven_of_a_kind(catalogue: Catalogue) -> None:
    """Only proofs made here count: a backup known as proven from a certificate has no ``proven_at``."""
    for number, state in enumerate(STATES):
        catalogue.save(backup(number, hours=number, state=state, proven_at=NOON))
    catalogue.save(backup(7, hours=98, state="proven"))
    older = backup(8, hours=-1, state="proven", proven_at=NOON)
    catalogue.save(older)
    catalogue.save(backup(9, hours=99, state="proven", kind="metadata", proven_at=NOON))
    newest, number = catalogue.newest_proven("database", NOON + timedelta(days=9)), STATES.index("proven")
    assert newest == backup(number, hours=number, state="proven", proven_at=NOON)
    assert newest
    assert catalogue.newest_proven("database", newest.taken_at) == newest, "to the instant"
    assert catalogue.newest_proven("database", newest.taken_at - timedelta(microseconds=1)) == older
    catalogue.move(newest.id, ["proven"], "expired")
    assert catalogue.newest_proven("database", NOON + timedelta(days=9)) == older
