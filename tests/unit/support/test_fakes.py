"""Behaviour of the fake store beyond the contract: versions, injected failures, back-dating, counting."""

from __future__ import annotations

import hashlib

import pytest

from storage.core.deletion import DeleteTarget
from storage.core.errors import ObjectMissing, StoreRefused
from storage.core.model import ObjectKey, Prefix
from storage.testing import MemoryObjects
from tests.support.in_memory import DAY, NOW

TEMP = Prefix("temp/")
A = ObjectKey("temp/a")


def versioned() -> MemoryObjects:
    store = MemoryObjects(lambda: NOW, versioned=True)
    for data in (b"one", b"two", b"three"):
        store.put(A, data)
    return store


def test_versions_are_listed_newest_first() -> None:
    store = versioned()
    [info] = store.scan(TEMP)
    assert (info.size, len(info.versions), list(info.versions)) == (5, 3, sorted(info.versions, reverse=True))
    assert store.head(A) == info


def test_delete_without_versions_leaves_a_marker_and_frees_nothing() -> None:
    store = versioned()
    before = store.head(A)
    assert before and store.delete([DeleteTarget(A, before.etag)]) == []
    assert (store.head(A), list(store.scan(TEMP))) == (None, [])
    with pytest.raises(ObjectMissing), store.open(A):
        pytest.fail("a delete marker has no bytes")
    store.put(A, b"four")
    after = store.head(A)
    assert after and len(after.versions) == 5
    assert after.versions[2:] == before.versions


def test_delete_with_versions_takes_exactly_those() -> None:
    store = versioned()
    info = store.head(A)
    store.put(A, b"later")
    assert info and store.delete([DeleteTarget(A, info.etag, info.versions)]) == []
    left = store.head(A)
    assert left and left.size == 5 and len(left.versions) == 1
    assert store.delete([DeleteTarget(A, left.etag, left.versions)]) == []
    assert store.head(A) is None


def test_one_key_fails_and_the_rest_goes() -> None:
    store = MemoryObjects(lambda: NOW)
    store.put("temp/a", b"")
    store.put("temp/b", b"")
    store.failing["temp/a"] = "AccessDenied"
    targets = [DeleteTarget(ObjectKey(key), "") for key in ("temp/a", "temp/b")]
    assert [(one.key, one.code) for one in store.delete(targets)] == [("temp/a", "AccessDenied")]
    assert [info.key for info in store.scan(TEMP)] == ["temp/a"]


def test_more_than_a_thousand_are_refused() -> None:
    with pytest.raises(StoreRefused):
        MemoryObjects(lambda: NOW).delete([DeleteTarget(A, "")] * 1001)


def test_times_may_be_of_the_past_and_etags_are_md5() -> None:
    store = MemoryObjects(lambda: NOW)
    info = store.put("temp/a", b"x", NOW - DAY)
    assert (info.last_modified, info.etag) == (NOW - DAY, hashlib.md5(b"x").hexdigest())


def test_requests_are_counted_and_can_be_stopped() -> None:
    store = MemoryObjects(lambda: NOW)
    store.put("temp/a", b"x")
    list(store.scan(TEMP))

    def refuse(name: str) -> None:
        raise TimeoutError(name)

    store.traffic.before = refuse
    with pytest.raises(TimeoutError):
        store.head(A)
    assert store.requests == {"put": 1, "list": 1}
