"""Fixtures: the command line configured for the test environment, and the contents of that environment."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta

import pytest

from devstack.objectstore import ObjectStore
from storage import connect
from storage.cli.installation import probe_now
from storage.core.clock import utcnow
from storage.core.model import BucketName
from storage.installation import Installation, open_installation
from storage.lifecycle.document import read
from storage.lifecycle.s3 import S3Lifecycle
from tests.conftest import Place
from tests.support.command_line import Person, environment
from tests.support.operator_rules import OPERATORS
from tests.support.remote_tier import TIER, install
from tests.support.tiered_job import PRICES, fill
from tests.support.transcript import JOB


@pytest.fixture
def person(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Person:
    return Person(monkeypatch, capsys)


@pytest.fixture
def storage(person: Person, place: Place) -> Person:
    """Return the command line on the test environment: ``storage("plan", "reap")``."""
    person.sits_at(environment(place.settings))
    return person


@pytest.fixture
def filled(place: Place, add_job: Callable[..., None]) -> Place:
    """Store a completed job's objects, with every attribute an object can carry, and probe the endpoint."""
    fill(place, add_job)
    probe_now(place.settings)
    return place


@pytest.fixture
def remote(filled: Place, cold_store: ObjectStore) -> Place:
    """Add to ``filled`` a rule that moves objects tagged tier=cold to the second MinIO."""
    install(filled.boto, filled.settings.bucket)
    return replace(filled, settings=replace(filled.settings, tiers=f"cold={TIER}", prices=PRICES))


@pytest.fixture
def stores(place: Place, add_job: Callable[..., None]) -> Iterator[Installation]:
    """Open the stores of the test environment, probed, with one completed job."""
    add_job(JOB, "completed", utcnow() - timedelta(days=200))
    probe_now(place.settings)
    with open_installation(place.settings) as opened:
        yield opened


@pytest.fixture
def rules(place: Place) -> S3Lifecycle:
    return S3Lifecycle(connect.endpoint(place.settings), BucketName(place.settings.bucket))


@pytest.fixture
def operators(rules: S3Lifecycle) -> list[bytes]:
    """Put an operator's two rules; return them as the store answers them."""
    rules.put(OPERATORS)
    found = [piece.raw for piece in read(rules.get()).foreign]
    assert len(found) == 2
    return found
