"""The second MinIO of a stack, and its registration with the first."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from devstack import cold_store, stack
from devstack.errors import DevstackError
from devstack.objectstore import ObjectStore
from tests.conftest import needed


def test_it_is_registered_once(cold_store_: ObjectStore, first: ObjectStore) -> None:
    assert cold_store.register(first, cold_store_) is False


@pytest.mark.parametrize(
    ("tier", "bucket", "words"),
    [("frost", "cold", "must be in uppercase"), ("ICE", "none", "Bucket not found: none")],
)
def test_what_cannot_be_registered_is_said(
    cold_store_: ObjectStore, first: ObjectStore, tier: str, bucket: str, words: str
) -> None:
    with pytest.raises(DevstackError, match=words):
        cold_store.register(first, cold_store_, tier, bucket)


def test_a_stack_has_one_where_it_is_wanted_and_keeps_it(tmp_path: Path, first: ObjectStore) -> None:
    """Once created it is started again with the stack, because the first store reads from it."""
    home = tmp_path / "stack"

    def up(store: str = "minio", cold: bool = False) -> stack.Stack:
        return stack.up(store, airflow=False, home=home, cold=cold, fsync=False, say=lambda words: None)

    try:
        assert up().env().get("STORAGE_TIERS") is None
        made = up(cold=True)
        assert made.env()["STORAGE_TIERS"] == "cold=COLD"
        assert made.cold is not None
        assert made.cold.access_key != made.store.access_key
        assert made.cold.secret_key not in (home / "state.json").read_text()
        made.cold.stop()
        again = up()
        assert again.cold is not None
        assert again.cold.alive()
        assert again.cold.endpoint_url == made.cold.endpoint_url
        stack.down(home, say=lambda words: None)
        assert not again.cold.alive()
        assert up("ministack", cold=True).cold is None
    finally:
        stack.reset(home, say=lambda words: None)
    assert not (home / "cold-store").exists()


@pytest.fixture
def first(store_server: Callable[[str], ObjectStore]) -> ObjectStore:
    return needed("minio", store_server)


@pytest.fixture
def cold_store_(request: pytest.FixtureRequest) -> ObjectStore:
    made: ObjectStore = request.getfixturevalue("cold_store")
    return made
