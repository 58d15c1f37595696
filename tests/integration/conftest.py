"""A person at a shell whose environment names the place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from devstack.objectstore import ObjectStore
from storage import commands
from tests.conftest import Place
from tests.integration.person import Person, environment
from tests.integration.tiered import PRICES, fill
from tests.tiering import TIER, install


@pytest.fixture
def person(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Person:
    return Person(monkeypatch, capsys)


@pytest.fixture
def storage(person: Person, place: Place) -> Person:
    """``storage("plan", "reap")`` on the place of the test."""
    person.sits_at(environment(place.settings))
    return person


@pytest.fixture
def filled(place: Place, add_job: Callable[..., None]) -> Place:
    """A completed job's objects, with all that an object can carry; the endpoint was probed."""
    fill(place, add_job)
    commands.probe_now(place.settings)
    return place


@pytest.fixture
def remote(filled: Place, cold_store: ObjectStore) -> Place:
    """The same, and what is tagged tier=cold moves to the second MinIO."""
    install(filled.boto, filled.settings.bucket)
    return replace(filled, settings=replace(filled.settings, tiers=f"cold={TIER}", prices=PRICES))
