"""Handling of lifecycle configurations by fake and real stores, and the log of their versions."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any

import pytest

from storage.core.errors import StoreRefused
from storage.core.login import Login
from storage.core.model import BucketName
from storage.lifecycle.document import read
from storage.lifecycle.plan import digest
from storage.lifecycle.ports import BucketRules, LeftOut, Version, VersionLog
from storage.lifecycle.postgres import PostgresVersions
from storage.lifecycle.readback import compared
from storage.lifecycle.s3 import S3Lifecycle
from storage.stores.s3.client import Endpoint
from storage.testing.lifecycle import MemoryBucketRules, MemoryVersions
from tests.conftest import needed

EXPIRES = "<Expiration><Days>3</Days></Expiration>"
ABORT = "AbortIncompleteMultipartUpload"
ABORTS = f"<{ABORT}><DaysAfterInitiation>7</DaysAfterInitiation></{ABORT}>"
AND = (
    "<And><Prefix>x/</Prefix><Tag><Key>k</Key><Value>v &amp; w</Value></Tag><Tag><Key>l</Key><Value/></Tag>"
    "<ObjectSizeGreaterThan>5</ObjectSizeGreaterThan><ObjectSizeLessThan>500</ObjectSizeLessThan></And>"
)
NONCURRENT = "<NoncurrentVersionExpiration><NoncurrentDays>30</NoncurrentDays></NoncurrentVersionExpiration>"
MARKERS = "<Expiration><ExpiredObjectDeleteMarker>true</ExpiredObjectDeleteMarker></Expiration>"


def one_rule(id: str, *acts: str, inside: str = "<Prefix>temp/</Prefix>") -> str:
    return f"<Rule><ID>{id}</ID><Filter>{inside}</Filter><Status>Enabled</Status>{''.join(acts)}</Rule>"


def document(*rules: str) -> bytes:
    return f"<LifecycleConfiguration>{''.join(rules)}</LifecycleConfiguration>".encode()


@pytest.fixture(params=["fake-minio", "fake-ministack", "ministack", "minio"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def rules(kind: str, request: pytest.FixtureRequest) -> BucketRules:
    """Return the lifecycle rules of a new bucket."""
    if kind.startswith("fake-"):
        return MemoryBucketRules(kind.removeprefix("fake-"))  # type: ignore[arg-type]
    server = needed(kind, request.getfixturevalue("store_server"))
    endpoint = Endpoint(
        url=server.endpoint_url,
        region=server.region,
        login=Login(access_key=server.access_key, secret_key=server.secret_key),
    )
    bucket = BucketName(f"lifecycle-{secrets.token_hex(6)}")
    endpoint.boto().create_bucket(Bucket=bucket)
    return S3Lifecycle(endpoint, bucket)


def test_none_then_one_then_none(rules: BucketRules) -> None:
    assert rules.get() is None
    rules.clear()
    rules.put(document(one_rule("a", EXPIRES)))
    assert [rule.id for rule in read(rules.get()).rules] == ["a"]
    rules.put(document(one_rule("b", EXPIRES)))
    assert [rule.id for rule in read(rules.get()).rules] == ["b"], "all of it is replaced"
    rules.clear()
    assert rules.get() is None
    assert rules.versioned() is False


@pytest.mark.parametrize(
    "rule",
    [
        one_rule("a", EXPIRES),
        one_rule("a", EXPIRES, inside=AND),
        one_rule("a", NONCURRENT),
        one_rule("a", MARKERS, inside="<Prefix></Prefix>"),
        one_rule("a", "<Expiration><Date>2030-01-01T00:00:00Z</Date></Expiration>"),
        one_rule("a", EXPIRES).replace("Enabled", "Disabled"),
    ],
    ids=["days", "and", "noncurrent", "markers", "date", "disabled"],
)
def test_what_is_kept(rules: BucketRules, rule: str) -> None:
    """A rule read back means the same; putting back the bytes as read leaves them unchanged."""
    rules.put(document(rule, one_rule("z", EXPIRES, inside="<Prefix>z/</Prefix>")))
    found = rules.get()
    assert compared(document(rule, one_rule("z", EXPIRES, inside="<Prefix>z/</Prefix>")), found, {}).well
    assert found is not None
    rules.put(found)
    assert rules.get() == found


def test_what_nobody_knows_is_dropped_silently(rules: BucketRules) -> None:
    sent = document(one_rule("a", EXPIRES, "<Fancy><Deep>1</Deep></Fancy>"))
    rules.put(sent)
    back = compared(sent, rules.get(), {})
    assert back.foreign == {"a": "lost Fancy/Deep=1"}


def test_a_rule_that_only_aborts(rules: BucketRules, kind: str) -> None:
    """MinIO refuses the whole configuration for it; beside another action it silently drops the abort."""
    rules.put(document(one_rule("first", EXPIRES)))
    sent = document(one_rule("first", EXPIRES), one_rule("a", ABORTS))
    if kind.endswith("minio"):
        with pytest.raises(StoreRefused, match="InvalidArgument"):
            rules.put(sent)
        assert [rule.id for rule in read(rules.get()).rules] == ["first"], "nothing has changed"
        sent = document(one_rule("a", EXPIRES, ABORTS))
        rules.put(sent)
        assert "DaysAfterInitiation=7" in compared(sent, rules.get(), {}).foreign["a"]
    else:
        rules.put(sent)
        assert compared(sent, rules.get(), {}).well


@pytest.mark.parametrize("target", ["GLACIER", "NOBODYS"])
def test_a_class_or_tier_that_is_not_there(rules: BucketRules, kind: str, target: str) -> None:
    """B4: MinIO has no GLACIER, and no store accepts an unregistered name."""
    moves = f"<Transition><Days>90</Days><StorageClass>{target}</StorageClass></Transition>"
    if target == "GLACIER" and kind.endswith("ministack"):
        rules.put(document(one_rule("a", moves)))
        return
    with pytest.raises(StoreRefused):
        rules.put(document(one_rule("a", moves)))
    assert rules.get() is None


def test_days_0_is_refused(rules: BucketRules) -> None:
    with pytest.raises(StoreRefused):
        rules.put(document(one_rule("a", "<Expiration><Days>0</Days></Expiration>")))
    assert rules.get() is None


# --- versions --------------------------------------------------------------------------------------
@pytest.fixture(params=["fake", "postgres"])
def logs(request: pytest.FixtureRequest) -> Callable[[str], VersionLog]:
    if request.param == "fake":
        made: dict[str, Any] = {}
        return lambda bucket: made.setdefault(bucket, MemoryVersions())
    engine = request.getfixturevalue("engine")
    return lambda bucket: PostgresVersions(engine, BucketName(bucket))


def version(state: str, document: bytes = b"", **more: Any) -> Version:
    return Version(state=state, document=document, sha256=digest(document), by="somebody", **more)  # type: ignore[arg-type]


def test_versions_are_numbered_for_each_bucket(logs: Callable[[str], VersionLog]) -> None:
    one, other = logs("bucket-a"), logs("bucket-b")
    assert (one.latest(), one.get(1), list(one.all())) == (None, None, [])
    assert [one.add(version("found")), one.add(version("applied")), other.add(version("found"))] == [1, 2, 1]
    assert [kept.number for kept in one.all()] == [2, 1]
    assert [kept.number for kept in one.all(limit=1)] == [2]


def test_a_version_is_read_as_it_was_written(logs: Callable[[str], VersionLog]) -> None:
    log, raw = logs("bucket-a"), b"<a>\x00\xff'%:x</a>"
    left = {"x": LeftOut("it's 100 % refused", "f")}
    number = log.add(version("begun", raw, plan_sha256="p", requested=("b", "a"), left_out=left, note="n"))
    kept = log.get(number)
    assert kept is not None
    assert (kept.document, kept.sha256, kept.plan_sha256) == (raw, digest(raw), "p")
    assert (kept.requested, kept.left_out, kept.note, kept.by) == (("b", "a"), left, "n", "somebody")


def test_what_ended_keeps_what_was_asked(logs: Callable[[str], VersionLog]) -> None:
    log = logs("bucket-a")
    number = log.add(version("begun", b"sent", plan_sha256="p", requested=("a",)))
    log.end(version("applied", b"stands", number=number, left_out={"x": LeftOut("y", "z")}, note="n"))
    kept = log.latest()
    assert kept is not None
    assert (kept.number, kept.state, kept.document, kept.sha256) == (
        number,
        "applied",
        b"stands",
        digest(b"stands"),
    )
    assert (kept.plan_sha256, kept.requested, kept.note) == ("p", ("a",), "n")
    assert kept.left_out == {"x": LeftOut("y", "z")}


def test_what_failed_or_was_only_found_is_none_of_ours(logs: Callable[[str], VersionLog]) -> None:
    log = logs("bucket-a")
    log.add(version("applied", b"1"))
    for state in ("failed", "found"):
        log.add(version(state, b"2"))
    latest = log.latest()
    assert latest is not None
    assert latest.document == b"1"
    log.add(version("begun", b"3"))
    latest = log.latest()
    assert latest is not None
    assert latest.document == b"3"
