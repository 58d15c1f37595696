"""Hostile keys: a store keeps them byte for byte or refuses them; it never keeps another key instead."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest

from storage.core.deletion import DeleteTarget
from storage.core.errors import StoreRefused
from storage.core.model import ObjectInfo, ObjectKey, Prefix
from storage.core.ports import ObjectStore

FOLDER = Prefix("temp/")
HOSTILE = {
    "space": "a b.ts",
    "trailing-space": "a.ts ",
    "leading-space": " a.ts",
    "only-space": " ",
    "plus": "a+b.ts",
    "percent": "100%.ts",
    "percent-code": "a%2Fb%20c.ts",
    "ampersand": "a&amp;b&c.ts",
    "angle": "<a>b</a>.ts",
    "quotes": 'it\'s "so".ts',
    "hash-question": "a#b?c=d.ts",
    "backslash": "a\\b.ts",
    "newline": "a\nb.ts",
    "return": "a\r\nb.ts",
    "tab": "a\tb.ts",
    "nfc": unicodedata.normalize("NFC", "é\u0301Ångström.ts"),
    "nfd": unicodedata.normalize("NFD", "é\u0301Ångström.ts"),
    "emoji": "🎬🏴‍☠️.mp4",
    "last-code-point": "a\U0010fffd.ts",
    "colon-star": "C:*|.ts",
    "tilde": "~.ts",
    "folder-marker": "dir/",
    "double-slash": "a//b.ts",
    "up": "../up.ts",
    "dot": "./a.ts",
    "dots": "...",
    "sql": "'; DROP TABLE jobs; --",
    "1024-bytes": "/".join(["x" * 202] * 5) + "y" * 5,
    "one-long-part": "é" * 507,
}
#: What each store refuses, by the names above. Every other key has to be kept.
REFUSED: dict[str, set[str]] = {
    "minio": {"double-slash", "up", "dot", "one-long-part"},
    "versitygw": {"folder-marker", "one-long-part"},
    "versitygw_plain": {"folder-marker", "one-long-part"},
}
#: Pairs of look-alikes of which a store takes one only, by the key to be deleted.
ALIKE_REFUSED: dict[str, set[str]] = {
    "minio": {"a//b", "x/../a"},
    "versitygw": {"dir/", "dir"},
    "versitygw_plain": {"dir/", "dir"},
}
TOO_LONG_TAKEN = ("ministack", "versitygw", "versitygw_plain")


@pytest.mark.parametrize("name", HOSTILE)
def test_key_is_kept_byte_for_byte_or_refused(
    name: str, object_store: ObjectStore, put: Callable[..., object], store_kind: str
) -> None:
    key = ObjectKey(FOLDER + HOSTILE[name])
    if not _stored(put, key):
        assert name in REFUSED.get(store_kind, ()) or store_kind == "external"
        assert list(object_store.scan(FOLDER)) == []
        return
    assert name not in REFUSED.get(store_kind, ()), "no longer refused: take it off the list"
    assert [info.key.encode() for info in object_store.scan(FOLDER)] == [key.encode()]
    found = object_store.head(key)
    assert found is not None
    assert (found.key, found.size) == (key, 4)
    with object_store.open(key) as data:
        assert data.read() == b"data"


@pytest.mark.parametrize("name", HOSTILE)
def test_delete_of_a_hostile_key_takes_exactly_it(
    name: str, object_store: ObjectStore, put: Callable[..., object], store_kind: str
) -> None:
    key = ObjectKey(FOLDER + HOSTILE[name])
    bystander = ObjectKey("temp/bystander.ts")
    put(bystander, b"stays")
    if not _stored(put, key):
        assert name in REFUSED.get(store_kind, ()) or store_kind == "external"
        assert _keys(object_store) == [bystander]
        return
    assert object_store.delete([_target(object_store, key)]) == []
    assert _keys(object_store) == [bystander]


@pytest.mark.parametrize(
    ("gone", "stays"),
    [
        ("dir/", "dir"),
        ("dir", "dir/"),
        ("a b", "a+b"),
        ("a%20b", "a b"),
        (HOSTILE["nfc"], HOSTILE["nfd"]),
        (HOSTILE["nfd"], HOSTILE["nfc"]),
        ("a", "a "),
        ("A", "a"),
        ("a_b", "aXb"),
        ("a//b", "a/b"),
        ("x/../a", "a"),
    ],
)
def test_delete_leaves_the_look_alike(
    gone: str, stays: str, object_store: ObjectStore, put: Callable[..., object], store_kind: str
) -> None:
    wanted, other = ObjectKey(FOLDER + gone), ObjectKey(FOLDER + stays)
    stored = {key: _stored(put, key) for key in (other, wanted)}
    if not all(stored.values()):
        assert gone in ALIKE_REFUSED.get(store_kind, ()) or store_kind == "external"
        assert _keys(object_store) == sorted(key for key, kept in stored.items() if kept)
        return
    assert object_store.delete([_target(object_store, wanted)]) == []
    assert _keys(object_store) == [other]


def test_key_of_1025_bytes_is_refused(
    object_store: ObjectStore, put: Callable[..., object], store_kind: str
) -> None:
    """1024 bytes is S3's limit. A store without a limit must keep the whole key."""
    key = "temp/" + "/".join(["x" * 203] * 5) + "y"
    assert len(key) == 1025
    stored = _stored(put, key)
    assert stored is (store_kind in TOO_LONG_TAKEN)
    assert _keys(object_store) == ([key] if stored else [])


def test_key_that_is_not_unicode_is_refused(object_store: ObjectStore, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreRefused):
        object_store.put_file(ObjectKey("temp/\ud800"), tmp_path / "file")
    assert _keys(object_store) == []


def test_listing_is_in_byte_order(object_store: ObjectStore, put: Callable[..., object]) -> None:
    names = ["a", "B", "é", "z", "\uff5e", "😀", "a-b", "a.b", "a0", "~"]
    stored = [FOLDER + name for name in names if _stored(put, FOLDER + name)]
    assert len(stored) == len(names)
    assert _keys(object_store) == sorted(stored, key=str.encode)


def _stored(put: Callable[..., object], key: str) -> bool:
    try:
        put(key, b"data")
    except StoreRefused:
        return False
    return True


def _target(store: ObjectStore, key: ObjectKey) -> DeleteTarget:
    info = store.head(key)
    assert isinstance(info, ObjectInfo)
    return DeleteTarget(key, info.etag, info.versions)


def _keys(store: ObjectStore) -> list[str]:
    return [info.key for info in store.scan(FOLDER)]
