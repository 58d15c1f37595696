"""Fixtures of the unit tests: a fresh in-memory environment per test."""

from __future__ import annotations

import pytest

from storage.cold import tiering
from storage.engine.actions import removal
from tests.support.in_memory import World
from tests.support.lifecycle_in_memory import Environment
from tests.support.object_in_memory import Place
from tests.support.tiers_in_memory import Tiers


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Try again at once what a store was too busy to delete."""
    monkeypatch.setattr(removal, "PAUSES", (0.0,) * len(removal.PAUSES))


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def place() -> Place:
    return Place()


@pytest.fixture
def environment() -> Environment:
    return Environment()


@pytest.fixture
def tiers(monkeypatch: pytest.MonkeyPatch) -> Tiers:
    """Return an environment with tiers, and shorten the timeouts of tiering for tests."""
    monkeypatch.setattr(tiering, "TIMEOUT", 0.3)
    monkeypatch.setattr(tiering, "FIRST_PAUSE", 0.01)
    return Tiers()
