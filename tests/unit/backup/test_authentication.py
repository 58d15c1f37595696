"""Keyed hashes: only a key of the installation makes a document authentic."""

from __future__ import annotations

import json
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from storage.backup import authentication
from storage.backup import manifest as manifests
from storage.backup.authentication import AuthKeys
from storage.backup.errors import BackupDamaged
from storage.core.errors import ConfigError
from tests.unit.backup.test_manifest import of_database

OURS, OLDER, THEIRS = (AuthKeys((bytes([n]) * 32,)) for n in (1, 2, 3))
BOTH = AuthKeys(OURS.secrets + OLDER.secrets)
DATA = b"the document"


def test_only_the_key_that_signed_authenticates() -> None:
    claim = OLDER.sign("manifest", DATA)
    assert OLDER.authenticate("manifest", DATA, claim)
    assert BOTH.authenticate("manifest", DATA, claim), "an older key still verifies"
    for keys in (OURS, THEIRS, AuthKeys()):
        assert not keys.authenticate("manifest", DATA, claim)
    assert BOTH.sign("manifest", DATA) == OURS.sign("manifest", DATA), "the first key signs"


@pytest.mark.parametrize("claim", [None, {}, [], "x", {"key": 1}, {"hmac": "0" * 64}])
def test_a_document_that_names_no_key_of_ours_is_not_authenticated(claim: object) -> None:
    assert not OURS.authenticate("manifest", DATA, claim)  # type: ignore[arg-type]


def test_a_forged_hash_is_damage() -> None:
    """It names our key, but is of other data, of another kind of document, or made with another key."""
    claim = OURS.sign("manifest", DATA)
    for kind, data, said in (
        ("manifest", DATA + b".", claim),
        ("certificate", DATA, claim),
        ("manifest", DATA, {"key": claim["key"], "hmac": THEIRS.sign("manifest", DATA)["hmac"]}),
        ("manifest", DATA, {"key": claim["key"]}),
    ):
        with pytest.raises(BackupDamaged, match="the keyed hash is wrong"):
            OURS.authenticate(kind, data, said)  # type: ignore[arg-type]


def test_a_manifest_keeps_its_authentication() -> None:
    """It is read with and without the key; an edit with every plain hash made right is found by the key."""
    data = manifests.encode(of_database(), OURS)
    assert manifests.decode(data, OURS).authenticated
    assert not manifests.decode(data, THEIRS).authenticated
    assert not manifests.decode(data).authenticated
    assert not manifests.decode(manifests.encode(of_database()), OURS).authenticated
    edited = json.loads(manifests.encode(replace(of_database(), previous="0" * 64)))
    edited["authentication"] = json.loads(data)["authentication"]
    del edited["sha256"]
    forged = manifests.canonical(edited | {"sha256": manifests._digest(edited)})
    assert not manifests.decode(forged).authenticated
    with pytest.raises(BackupDamaged, match="this installation's key"):
        manifests.decode(forged, OURS)


def test_a_file_of_keys(tmp_path: Path) -> None:
    """A new file is for its owner alone; a rotation keeps comments and older keys, the new key signs."""
    path = tmp_path / "auth-key"
    first = authentication.rotate(str(path))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.write_text(f"# kept in the safe\n{path.read_text()}")
    claim = authentication.read(str(path)).sign("manifest", DATA)
    assert claim["key"] == first
    second = authentication.rotate(str(path))
    keys = authentication.read(str(path))
    assert keys.sign("manifest", DATA)["key"] == second != first
    assert keys.authenticate("manifest", DATA, claim)
    assert "# kept in the safe" in path.read_text()
    assert [file.name for file in tmp_path.iterdir()] == ["auth-key"]
    assert repr(keys) == "AuthKeys()"
    assert not authentication.read("")


@pytest.mark.parametrize(
    "text", ["", "\n# no key\n", "storage-auth-key-short\n", "AGE-SECRET-KEY-1QQ", "x" * 99]
)
def test_a_file_without_keys_is_refused(tmp_path: Path, text: str) -> None:
    """Its words are not shown: they may be another secret. A rotation does not replace such a file either."""
    path = tmp_path / "auth-key"
    path.write_text(text)
    with pytest.raises(ConfigError, match="rotate-key") as wrong:
        authentication.read(str(path))
    assert not text.strip() or text.strip() not in str(wrong.value)
    if text:
        with pytest.raises(ConfigError):
            authentication.rotate(str(path))
        assert path.read_text() == text


def test_a_file_that_cannot_be_read_or_written(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        authentication.read(str(tmp_path / "none"))
    with pytest.raises(ConfigError, match="cannot be written"):
        authentication.rotate(str(tmp_path / "no folder" / "key"))
    with pytest.raises(ConfigError, match="is not set"):
        authentication.rotate("")
