"""A person at a shell whose environment names the place."""

from __future__ import annotations

import pytest

from tests.conftest import Place
from tests.integration.person import Person, environment


@pytest.fixture
def person(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Person:
    return Person(monkeypatch, capsys)


@pytest.fixture
def storage(person: Person, place: Place) -> Person:
    """``storage("plan", "reap")`` on the place of the test."""
    person.sits_at(environment(place.settings))
    return person
