"""Lifecycle rules on real stores, from the command line, beside an operator's own rules."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from minio import Minio
from minio.commonconfig import ENABLED
from minio.lifecycleconfig import Expiration, LifecycleConfig, Rule

from storage import connect
from storage.lifecycle import configure_lifecycle_policies
from storage.lifecycle.document import OURS
from storage.lifecycle.s3 import S3Lifecycle
from tests.conftest import Place
from tests.support.command_line import Answer, Person, environment, keys, put_aged
from tests.support.operator_rules import ABORT, FAILED, TEMP, TIER, approved, ours, theirs
from tests.support.remote_tier import TIER as REMOTE


# --- round trips -----------------------------------------------------------------------------------
def test_beside_an_operator_s_rules(
    storage: Person, place: Place, rules: S3Lifecycle, operators: list[bytes]
) -> None:
    """B5: our rules are put, changed, removed, rolled back; the operator's keep their bytes at every step."""
    steps: list[Callable[[], Answer]] = [
        lambda: storage("lifecycle", "apply", "--apply"),
        lambda: approved(storage, "--with", "delete-temp-files", "--with", "delete-failed-jobs"),
        lambda: storage("lifecycle", "apply", "--without", "delete-temp-files", "--apply"),
        lambda: storage("lifecycle", "rollback", "1", "--apply"),
    ]
    always = set() if place.kind == "minio" else {ABORT}
    expected = [always, {*always, TEMP, FAILED}, {*always, FAILED}, set()]
    for step, stand in zip(steps, expected, strict=True):
        answer = step()
        assert answer.code == 0, answer.err
        assert theirs(rules) == operators
        assert ours(rules) == stand
        check = storage("lifecycle", "check")
        assert check.code == (0 if stand or place.kind == "minio" else 1), check.out
    states = [one["state"] for one in storage("lifecycle", "history", "--json").document]
    assert states == ["applied"] * 4 + ["found"]


def test_what_the_documents_did_loses_the_operator_s_rules(
    place: Place, storage: Person, rules: S3Lifecycle, operators: list[bytes]
) -> None:
    """B5 reproduced: a client's set replaces all; `check` names our lost rule, `rollback` restores it."""
    assert approved(storage, "--with", "delete-temp-files").code == 0
    number = storage("lifecycle", "history", "--json").document[0]["number"]
    client: Minio = connect.endpoint(place.settings).minio()
    client.set_bucket_lifecycle(
        place.settings.bucket,
        LifecycleConfig([Rule(ENABLED, rule_id="x", expiration=Expiration(days=900))]),
    )
    assert theirs(rules) != operators
    answer = storage("lifecycle", "check")
    assert answer.code == 1
    assert f"add {TEMP}" in " ".join(answer.err.split())
    made = storage("lifecycle", "rollback", str(number), "--json").document
    assert storage("lifecycle", "rollback", str(number), "--approve", made["sha256"]).code == 0
    assert TEMP in ours(rules)
    assert len(theirs(rules)) == 1, "theirs of today, not of that version"


def test_unfinished_uploads_are_the_store_s_or_our_own_job_s(
    storage: Person, place: Place, rules: S3Lifecycle
) -> None:
    """B6: a store's refusal of the rule is reported with the job that replaces it; it is no drift."""
    answer = storage("lifecycle", "apply", "--apply")
    said = " ".join(answer.out.split())
    assert answer.code == 0
    if place.kind == "minio":
        assert f"left out {ABORT}: the store refuses it: InvalidArgument" in said
        assert "Instead: the job abort_uploads." in said
        assert rules.get() is None
    else:
        assert ABORT in ours(rules)
    assert storage("lifecycle", "check").code == 0


def test_older_versions_where_the_bucket_keeps_them(
    storage: Person, place: Place, rules: S3Lifecycle
) -> None:
    """B6: rules for older versions delete objects, so they wait for approval."""
    place.boto.put_bucket_versioning(
        Bucket=place.settings.bucket, VersioningConfiguration={"Status": "Enabled"}
    )
    answer = storage("lifecycle", "apply", "--apply")
    assert answer.code == 4
    assert ours(rules) == set()
    assert approved(storage).code == 0
    assert {f"{OURS}noncurrent-processed", f"{OURS}expired-delete-markers"} <= ours(rules)


# --- tiers -----------------------------------------------------------------------------------------
@pytest.mark.parametrize("place", ["minio"], indirect=True)
def test_a_registered_tier_gets_its_rule_and_the_rule_moves(
    person: Person, place: Place, rules: S3Lifecycle, operators: list[bytes], cold_store: Any
) -> None:
    person.sits_at(environment(place.settings, tiers=f"cold={REMOTE}"))
    answer = person("lifecycle", "apply", "--apply")
    assert answer.code == 0, answer.err
    assert ours(rules) == {TIER}, answer.out
    assert theirs(rules) == operators
    place.put("processed/a/raw/x.mp4", b"film")
    place.put("processed/b/raw/x.mp4", b"film")
    place.boto.put_object_tagging(
        Bucket=place.settings.bucket,
        Key="processed/a/raw/x.mp4",
        Tagging={"TagSet": [{"Key": "tier", "Value": "cold"}]},
    )
    assert _class_within(60, place, "processed/a/raw/x.mp4") == REMOTE
    assert _class_within(0, place, "processed/b/raw/x.mp4") == "STANDARD"


def _class_within(seconds: float, place: Place, key: str) -> str:
    until = time.monotonic() + seconds
    while True:
        answer = place.boto.head_object(Bucket=place.settings.bucket, Key=key)
        found = str(answer.get("StorageClass", "STANDARD"))
        if found != "STANDARD" or time.monotonic() > until:
            return found
        time.sleep(0.5)


@pytest.mark.parametrize("place", ["minio"], indirect=True)
def test_a_tier_nobody_registered(
    person: Person, place: Place, rules: S3Lifecycle, operators: list[bytes]
) -> None:
    """B4: the store refuses the tier; its rule is left out and reported, and the rest is applied."""
    person.sits_at(environment(place.settings, tiers="cold=NOBODYS"))
    answer = approved(person, "--with", "delete-temp-files")
    assert answer.code == 0
    assert f"left out {TIER}: the store refuses it: InvalidStorageClass" in " ".join(answer.out.split())
    assert ours(rules) == {TEMP}
    assert theirs(rules) == operators


# --- predicted effect ------------------------------------------------------------------------------
@pytest.mark.parametrize("place", ["minio"], indirect=True)
def test_the_effect_is_shown_before(storage: Person, place: Place) -> None:
    for key, days in (("temp/old", 5), ("temp/new", 0), ("temperature/old", 300), ("failed/a/x", 6)):
        put_aged(place, key, timedelta(days=days))
    made = storage("lifecycle", "plan", "--with", "delete-temp-files", "--json")
    assert made.code == 4
    hits = {one["rule"]: one for one in made.document["effect"]}
    assert hits[TEMP]["tonight"] == {"objects": 1, "bytes": 1}
    assert hits[TEMP]["in_30_days"] == {"objects": 2, "bytes": 2}
    assert hits[FAILED]["tonight"]["objects"] == 0, "offered ones are shown too"
    assert hits[FAILED]["in_30_days"]["objects"] == 1
    assert keys(place) >= {"temp/old", "failed/a/x"}


# --- the documents' function -----------------------------------------------------------------------
def test_the_documents_function(place: Place, rules: S3Lifecycle, operators: list[bytes]) -> None:
    done = configure_lifecycle_policies(place.settings)
    assert not done.waits
    assert "Lifecycle policies configured" in str(done)
    asked = configure_lifecycle_policies(place.settings, include=["delete-temp-files", "delete-failed-jobs"])
    assert asked.waits
    assert "wait for approval" in str(asked)
    assert not ours(rules) & {TEMP, FAILED}
    done = configure_lifecycle_policies(
        place.settings, include=["delete-temp-files", "delete-failed-jobs"], approve=asked.waits
    )
    assert set(done.changed) == {TEMP, FAILED}
    assert ours(rules) >= {TEMP, FAILED}
    assert theirs(rules) == operators
