"""Lifecycle changes with wrong input or settings, unreachable, not permitted or outdated: no effect."""

from __future__ import annotations

import secrets

import pytest
from minio import MinioAdmin
from minio.credentials.providers import StaticProvider

from storage.lifecycle.s3 import S3Lifecycle
from tests.conftest import Place
from tests.support.command_line import Person, environment
from tests.support.operator_rules import OPERATORS, ours, theirs


def test_bad_input_changes_nothing(
    storage: Person, place: Place, rules: S3Lifecycle, operators: list[bytes]
) -> None:
    before = rules.get()
    sha256 = storage("lifecycle", "plan", "--with", "delete-temp-files", "--json").document["sha256"]
    for code, words, said in (
        (2, ("apply", "--with", "delete-everything", "--apply"), "no rule 'delete-everything'"),
        (2, ("apply", "--with", "", "--apply"), "no rule ''"),
        (2, ("rollback", "0"), "numbered from 1"),
        (2, ("rollback", "-1"), "numbered from 1"),
        (2, ("rollback", "99", "--apply"), "no version 99"),
        (2, ("rollback", "one"), "invalid int value"),
        (2, ("mend",), "invalid choice"),
        (3, ("apply", "--approve", "0" * 64), "is not the one that was made"),
        (3, ("apply", "--with", "delete-failed-jobs", "--approve", sha256), "is not the one that was made"),
        (3, ("apply", "--with", "archive-old-jobs", "--apply"), "cannot be read to be compressed"),
        (3, ("plan", "--with", "archive-old-jobs"), ""),
        (4, ("apply", "--with", "delete-temp-files", "--apply"), "waits for approval"),
        (4, ("apply", "--with", "delete-temp-files"), "--approve"),
    ):
        answer = storage("lifecycle", *words)
        text = " ".join(answer.err.split())
        assert answer.code == code, (words, text)
        assert said in text, (words, text)
        assert "Traceback" not in text
        assert rules.get() == before, words
    assert theirs(rules) == operators


@pytest.mark.parametrize("place", ["ministack"], indirect=True)
@pytest.mark.parametrize(
    ("setting", "code", "said"),
    [
        ({"tiers": "cold=ice-cold"}, 3, "not a name of a storage class or tier"),
        ({"tiers": "cold"}, 2, "STORAGE_TIERS"),
        ({"tiers": "frozen=ICE"}, 2, "STORAGE_TIERS"),
        ({"cold_rules": "all compress=-1"}, 2, "STORAGE_COLD_RULES"),
    ],
)
def test_wrong_settings(
    person: Person, place: Place, rules: S3Lifecycle, setting: dict[str, str], code: int, said: str
) -> None:
    person.sits_at(environment(place.settings, **setting))
    answer = person("lifecycle", "apply", "--apply")
    assert answer.code == code, answer.err
    assert said in " ".join(answer.err.split())
    assert rules.get() is None


@pytest.mark.parametrize("place", ["minio"], indirect=True)
def test_out_of_reach_or_not_let_in(
    person: Person, place: Place, rules: S3Lifecycle, operators: list[bytes]
) -> None:
    for wrong in (
        {"endpoint_url": "http://127.0.0.1:9"},
        {"secret_key": "wrong-secret"},
        {"bucket": "no-such"},
    ):
        person.sits_at(environment(place.settings, **wrong))
        for words in (("plan",), ("apply", "--apply"), ("check",), ("show",)):
            answer = person("lifecycle", *words)
            assert answer.code == 6, (wrong, words, answer.err)
            assert "wrong-secret" not in answer.err
    assert theirs(rules) == operators


@pytest.mark.parametrize("place", ["minio"], indirect=True)
def test_a_key_that_may_look_and_not_change(
    person: Person, place: Place, rules: S3Lifecycle, operators: list[bytes]
) -> None:
    """The missing permission is reported with exit code 6, and the operator's rules stay."""
    looker = _service_account(place, ["s3:Get*", "s3:List*"])
    person.sits_at(environment(place.settings, access_key=looker[0], secret_key=looker[1]))
    assert person("lifecycle", "plan").code == 0
    answer = person("lifecycle", "apply", "--apply")
    assert answer.code == 6
    assert "AccessDenied" in answer.err
    assert theirs(rules) == operators
    person.sits_at(environment(place.settings))
    assert person("lifecycle", "history", "--json").document[0]["state"] == "failed"


def _service_account(place: Place, actions: list[str]) -> tuple[str, str]:
    """Create a service account of the root user that allows only these actions; return its keys."""
    settings = place.settings
    keys = StaticProvider(settings.access_key, settings.secret_key)
    host = settings.endpoint_url.removeprefix("http://")
    admin = MinioAdmin(endpoint=host, credentials=keys, secure=False, region=settings.region)
    name, secret = f"looker{settings.bucket[-8:]}", secrets.token_hex(16)
    statement = {"Effect": "Allow", "Action": actions, "Resource": ["arn:aws:s3:::*"]}
    policy = {"Version": "2012-10-17", "Statement": [statement]}
    admin.add_service_account(access_key=name, secret_key=secret, policy=policy)
    return name, secret


def test_two_keys_at_once(storage: Person, place: Place, rules: S3Lifecycle, operators: list[bytes]) -> None:
    """An operator's edit between plan and apply invalidates the approval."""
    sha256 = storage("lifecycle", "plan", "--with", "delete-temp-files", "--json").document["sha256"]
    rules.put(OPERATORS.replace(b"400", b"401"))
    answer = storage("lifecycle", "apply", "--with", "delete-temp-files", "--approve", sha256)
    assert answer.code == 3
    assert ours(rules) == set()
    assert b"401" in theirs(rules)[0]
