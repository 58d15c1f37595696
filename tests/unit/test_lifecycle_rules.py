"""Declared lifecycle rules, their XML, and what the linter refuses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from minio.commonconfig import ENABLED
from minio.lifecycleconfig import Expiration, LifecycleConfig
from minio.lifecycleconfig import Rule as VendorRule
from minio.xml import marshal, unmarshal

from storage.capabilities import Capabilities
from storage.cold_model import CLASSES, ColdSite, Rule
from storage.lifecycle.document import OURS, Configuration, read
from storage.lifecycle.lint import Finding, bypassing, lint
from storage.lifecycle.plan import difference, effects, foreign, table
from storage.lifecycle.rules import DOCUMENTED, Act, LifecycleRule, declared, due, rule
from storage.lifecycle.xml import parse, render
from storage.model import PROTECTED_PREFIXES, ObjectInfo, ObjectKey, Totals, UploadInfo

NOON = datetime(2026, 3, 8, 12, tzinfo=UTC)
DAY = timedelta(days=1)
MINIO = Capabilities(server="MinIO", storage_classes=("STANDARD", "REDUCED_REDUNDANCY"))
AWS = Capabilities(server="AmazonS3", storage_classes=("STANDARD", "STANDARD_IA", "GLACIER"))
EARLY = ColdSite(rules=dict.fromkeys(CLASSES, Rule(compress=30 * DAY)))
BY_NAME = {one.name: one for one in DOCUMENTED}


def ours(name: str, act: Act, prefix: str = "", **more: Any) -> LifecycleRule:
    return rule(name, act, prefix, why="because", **more)


def said(
    *rules: LifecycleRule,
    beside: Sequence[LifecycleRule] = (),
    site: ColdSite = EARLY,
    capabilities: Capabilities = AWS,
) -> list[str]:
    return [str(one) for one in lint(rules, beside, site, capabilities)]


def document(*rules: LifecycleRule) -> bytes:
    inner = b"".join(map(render, rules))
    return b"<LifecycleConfiguration>" + inner + b"</LifecycleConfiguration>"


# --- what is declared ------------------------------------------------------------------------------
def test_the_documents_three_rules_are_declared_and_only_on_request() -> None:
    assert [(one.name, one.prefix, str(one.acts[0]), one.on_request) for one in DOCUMENTED] == [
        ("delete-temp-files", "temp/", "expire 1 d", True),
        ("delete-failed-jobs", "failed/", "expire 7 d", True),
        ("archive-old-jobs", "processed/", "transition 90 d to GLACIER", True),
    ]


def test_unfinished_uploads_and_older_versions_are_thought_of() -> None:
    """B6: and each names what of the platform does the same where the store does not."""
    named = {one.name: one for one in declared(ColdSite(), AWS, versioned=True)}
    assert named["abort-incomplete-uploads"].acts == (Act("abort", 7),)
    assert named["abort-incomplete-uploads"].instead == "the job abort_uploads"
    assert named["noncurrent-processed"].acts == (Act("noncurrent", 30),)
    assert named["expired-delete-markers"].acts == (Act("markers"),)
    assert all(one.instead and one.why for one in named.values())


def test_what_lifecycle_deletes_is_on_request_for_no_row_learns_of_it() -> None:
    """B6: an expiration outside the engine is never declared by itself."""
    for versioned in (True, False):
        for one in declared(ColdSite(tiers={"cold": "COLD"}), MINIO, versioned):
            assert one.on_request or all(act.verb != "expire" for act in one.acts)
    told = [str(one) for one in bypassing([replace(BY_NAME["delete-temp-files"], id="ops")])]
    assert told == ["ops: expire 1 d below temp/, and no row of the pipeline learns of it"]


def test_old_versions_go_only_where_there_are_versions_and_never_of_protected_folders() -> None:
    without = declared(ColdSite(), AWS, versioned=False)
    assert not [one for one in without if one.acts[0].verb in ("noncurrent", "markers")]
    prefixes = {o.prefix for o in declared(ColdSite(), AWS, versioned=True) if o.acts[0].verb == "noncurrent"}
    assert prefixes == {"processed/", "temp/", "uploads/", "failed/"}


def test_a_remote_tier_has_a_rule_and_a_storage_class_has_none() -> None:
    site = ColdSite(tiers={"warm": "STANDARD_IA", "cold": "COLD"})
    tiers = [one for one in declared(site, AWS, versioned=False) if one.name.startswith("tier-")]
    assert [(o.name, dict(o.tags), o.acts) for o in tiers] == [
        ("tier-cold", {"tier": "cold"}, (Act("transition", 0, "COLD"),))
    ]


@pytest.mark.parametrize("versioned", [True, False])
@pytest.mark.parametrize("capabilities", [AWS, MINIO])
def test_what_is_declared_passes_the_linter(versioned: bool, capabilities: Capabilities) -> None:
    site = ColdSite(tiers={"warm": "WARM", "cold": "COLD"})
    rules = [one for one in declared(site, capabilities, versioned) if not one.on_request]
    assert said(*rules, site=site, capabilities=capabilities) == []


# --- as XML ----------------------------------------------------------------------------------------
prefixes = st.sampled_from(["", "temp/", "a&b/<c>/", "é/"])
tags = st.frozensets(st.tuples(st.text("ab&<> =", min_size=1), st.text("xy&<>")), max_size=3)
sizes = st.one_of(st.none(), st.integers(0, 1 << 40))
actions = st.one_of(
    st.builds(Act, st.sampled_from(["expire", "noncurrent", "abort"]), st.integers(1, 36500)),
    st.builds(Act, st.just("transition"), st.integers(0, 36500), st.sampled_from(["GLACIER", "COLD"])),
    st.just(Act("markers")),
)


@settings(max_examples=300, deadline=None)
@given(prefixes, tags, sizes, sizes, actions, st.booleans())
def test_a_rule_says_the_same_after_xml(
    prefix: str,
    tags: frozenset[tuple[str, str]],
    larger: int | None,
    smaller: int | None,
    act: Act,
    enabled: bool,
) -> None:
    one = LifecycleRule(
        id=f"{OURS}x", acts=(act,), prefix=prefix, tags=tags, larger=larger, smaller=smaller, enabled=enabled
    )
    piece = read(document(one)).ours[one.id]
    assert piece.node is not None
    again = parse(one.id, piece.node)
    assert again.same(one)
    assert again.unknown == ()


def test_a_vendor_s_client_reads_our_filter() -> None:
    """B2: a filter as a dictionary does not even serialise; ours is one that clients understand."""
    broken = VendorRule(ENABLED, rule_filter={"prefix": "temp/"}, expiration=Expiration(days=1))  # type: ignore[arg-type]
    with pytest.raises(AttributeError, match="toxml"):
        marshal(LifecycleConfig([broken]))
    for one in DOCUMENTED:
        seen = unmarshal(LifecycleConfig, document(one).decode()).rules[0]
        assert seen.rule_filter is not None
        assert (seen.rule_id, seen.rule_filter.prefix, seen.status) == (one.id, one.prefix, ENABLED)
        act = seen.expiration or seen.transition
        assert act is not None
        assert act.days == one.acts[0].days


def test_what_is_not_understood_is_a_difference() -> None:
    """A hand that adds an element we do not know to a rule of ours is noticed."""
    one = BY_NAME["delete-temp-files"]
    strange = document(one).replace(
        b"</Rule>", b"<DelMarkerExpiration><Days>1</Days></DelMarkerExpiration></Rule>"
    )
    assert [c.verb for c in difference(read(strange), [one])] == ["change"]
    assert difference(read(document(one)), [one]) == ()


# --- the difference --------------------------------------------------------------------------------
def test_only_our_rules_are_compared() -> None:
    temp, failed = BY_NAME["delete-temp-files"], BY_NAME["delete-failed-jobs"]
    theirs = replace(temp, id="ops-temp")
    changed = replace(failed, acts=(Act("expire", 8),))
    old = ours("old", Act("abort", 3))
    found = difference(read(document(theirs, changed, old)), [temp, failed])
    assert [(c.verb, c.id) for c in found] == [("add", temp.id), ("change", failed.id), ("remove", old.id)]


@pytest.mark.parametrize(
    "drifted",
    [
        {"enabled": False},
        {"prefix": "tem/"},
        {"tags": frozenset({("a", "b")})},
        {"larger": 5},
        {"acts": (Act("expire", 2),)},
    ],
)
def test_any_difference_is_drift(drifted: dict[str, Any]) -> None:
    one = BY_NAME["delete-temp-files"]
    assert [c.verb for c in difference(read(document(replace(one, **drifted))), [one])] == ["change"]


def test_two_rules_of_one_id_are_put_right() -> None:
    one = BY_NAME["delete-temp-files"]
    found = read(document(one, one))
    assert [c.verb for c in difference(found, [one])] == ["change"]
    assert found.with_ours({one.id: render(one)}) == document(one)


COLD = frozenset({("tier", "cold")})


def expires(days: int, prefix: str = "", **more: Any) -> LifecycleRule:
    return ours("x", Act("expire", days), prefix, **more)


def moves(days: int, target: str, prefix: str = "", **more: Any) -> LifecycleRule:
    return ours("x", Act("transition", days, target), prefix, **more)


# --- the linter ------------------------------------------------------------------------------------
expiring = Act("expire", 30)


@pytest.mark.parametrize(
    ("one", "why"),
    [
        (ours("x", expiring, on_request=True), "whole bucket"),
        (ours("x", Act("transition", 30, "GLACIER")), "whole bucket"),
        (ours("x", Act("noncurrent", 30)), "whole bucket"),
        (ours("x", expiring, tags=frozenset({("a", "b")}), on_request=True), "a tag alone"),
        (ours("x", expiring, "temp", on_request=True), "no folder that ends in '/'"),
        (ours("x", expiring, "/", on_request=True), "no folder that ends in '/'"),
        (ours("x", expiring, "a/../b/", on_request=True), "no folder that ends in '/'"),
        (ours("x", Act("abort", 7), "temp"), "no folder that ends in '/'"),
        (ours("x", Act("expire", 0), "temp/", on_request=True), "after 0 days is at once"),
        (ours("x", Act("expire", -1), "temp/", on_request=True), "-1 days"),
        (ours("x", Act("expire", 36_501), "temp/", on_request=True), "36501 days"),
        (ours("x", Act("expire"), "temp/", on_request=True), "whole number of days"),
        (ours("x", Act("expire", 1.5), "temp/", on_request=True), "whole number of days"),  # type: ignore[arg-type]
        (ours("x", Act("expire", True), "temp/", on_request=True), "whole number of days"),
        (ours("x", Act("expire", None, "", "2020-01-01"), "temp/", on_request=True), "whole number of days"),
        (ours("x", Act("abort", 0)), "after 0 days is at once"),
        (ours("x", Act("noncurrent", 0), "temp/"), "after 0 days is at once"),
        (ours("x", Act("transition", 0, "GLACIER"), "temp/"), "moves what was just written"),
        (ours("x", Act("transition", 90, "NOWHERE"), "temp/"), "the tier NOWHERE did not hold"),
        (ours("x", Act("transition", 90, "DEEP_ARCHIVE"), "temp/"), "class DEEP_ARCHIVE did not hold"),
        (ours("x", Act("transition", 90, "cold"), "temp/"), "capitals"),
        (ours("x", Act("transition", 90, ""), "temp/"), "no name of a storage class or tier"),
        (ours("x", expiring, "temp/"), "must be on request"),
        (ours("x", expiring, "processed/"), "must be on request"),
        (ours("x", Act("expire", 6), "failed/", on_request=True), "promised for 7 days"),
        (ours("x" * 300, Act("abort", 7)), "1 to 255 characters"),
        (LifecycleRule(id=f"{OURS}x", acts=(), prefix="temp/"), "does nothing"),
        *((ours("x", expiring, kept, on_request=True), "is protected") for kept in PROTECTED_PREFIXES),
        (ours("x", expiring, "models/old/", on_request=True), "models/ is protected"),
    ],
)  # fmt: skip
def test_refused(one: LifecycleRule, why: str) -> None:
    found = said(one)
    assert any(why in told for told in found), found


def test_a_whole_bucket_by_the_back_door_is_refused() -> None:
    """B3: neither an empty prefix nor an expiration of 0 days, which some clients send without days."""
    one = ours("x", expiring, on_request=True)
    assert b"<Prefix></Prefix>" in render(one)
    assert "whole bucket" in said(one)[0]
    vendor = marshal(LifecycleConfig([VendorRule(ENABLED, rule_id="x", expiration=Expiration(days=0))]))
    assert (
        "<Expiration/>" in vendor.replace(" />", "/>") if isinstance(vendor, str) else b"Expiration" in vendor
    )
    assert said(ours("y", Act("expire", 0), "temp/", on_request=True))


def test_glacier_is_no_class_of_a_minio() -> None:
    """B4: refused before the store is asked, unless a remote tier of that name is set."""
    archive = BY_NAME["archive-old-jobs"]
    assert "GLACIER did not hold when this store was probed" in said(archive, capabilities=MINIO)[0]
    assert "was not probed" in said(archive, capabilities=Capabilities())[0]
    assert said(archive, capabilities=AWS) == []
    assert said(archive, site=replace(EARLY, tiers={"cold": "GLACIER"}), capabilities=MINIO) == []


@pytest.mark.parametrize("foreign_rule", [True, False])
def test_nothing_lives_to_ninety_days_where_all_is_deleted_after_thirty(foreign_rule: bool) -> None:
    """C3: whether the rule of 30 days is ours or somebody else's."""
    everything = LifecycleRule(id="auto-delete", acts=(Act("expire", 30),), on_request=True)
    archive = BY_NAME["archive-old-jobs"]
    found = said(archive, beside=[everything]) if foreign_rule else said(archive, everything)
    assert (
        f"{archive.id}: nothing lives to its 90 days: auto-delete deletes in the whole bucket after 30"
        in found
    )
    assert not said(archive, beside=[replace(everything, enabled=False)])
    assert not said(archive, beside=[replace(everything, acts=(Act("expire", 91),))])
    assert said(archive, beside=[replace(everything, acts=(Act("expire", 90),))])


def test_what_is_archived_cannot_be_compressed() -> None:
    """C4: archiving at 90 days and compressing at 90 days race; the default rules refuse it."""
    archive = BY_NAME["archive-old-jobs"]
    assert "cannot be read to be compressed" in said(archive, site=ColdSite())[0]
    assert said(archive, site=ColdSite(rules=dict.fromkeys(CLASSES, Rule(compress=89 * DAY)))) == []
    assert said(archive, site=ColdSite(rules=dict.fromkeys(CLASSES, Rule(compress=None)))) == []


@pytest.mark.parametrize(
    ("first", "second", "refused"),
    [
        (expires(3, "temp/"), expires(9, "temp/x/"), True),
        (expires(9, "temp/"), expires(3, "temp/x/"), False),
        (expires(3, "temp/x/"), expires(9, "temp/"), False),
        (expires(3, "temp/", larger=10), expires(9, "temp/"), False),
        (expires(3, "temp/", larger=10), expires(9, "temp/", larger=20), True),
        (expires(3, "temp/", smaller=10), expires(9, "temp/", smaller=5), True),
        (expires(3, "temp/", tags=COLD), expires(9, "temp/"), False),
        (moves(9, "GLACIER", "temp/"), moves(9, "STANDARD_IA", "temp/x/"), True),
        (moves(9, "STANDARD_IA", "temp/"), moves(19, "GLACIER", "temp/"), False),
        (expires(1, "temp/"), moves(0, "GLACIER", tags=COLD), False),
        (expires(3, "temp/"), ours("b", Act("noncurrent", 9), "temp/"), False),
    ],
)
def test_shadowed_and_contradicting(first: LifecycleRule, second: LifecycleRule, refused: bool) -> None:
    both = [replace(one, id=f"{OURS}{n}", on_request=True) for n, one in enumerate((first, second))]
    found: list[Finding] = [one for one in lint(both, [], EARLY, AWS) if one.other]
    assert bool(found) is refused, found


def test_one_id_twice_is_refused() -> None:
    one = ours("a", Act("abort", 7))
    assert any("2 rules have this id" in told for told in said(one, one))


# --- the effect ------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("written", "days", "expected"),
    [
        (datetime(2026, 3, 1, 10, tzinfo=UTC), 1, datetime(2026, 3, 3, tzinfo=UTC)),
        (datetime(2026, 3, 1, tzinfo=UTC), 1, datetime(2026, 3, 3, tzinfo=UTC)),
        (datetime(2026, 3, 1, 23, 59, tzinfo=UTC), 7, datetime(2026, 3, 9, tzinfo=UTC)),
        (datetime(2026, 3, 1, 10, tzinfo=UTC), 0, datetime(2026, 3, 1, 10, tzinfo=UTC)),
    ],
)
def test_days_end_at_midnight(written: datetime, days: int, expected: datetime) -> None:
    assert due(written, days) == expected


def info(
    key: str, age: timedelta, size: int = 10, storage_class: str = "STANDARD", versions: int = 0
) -> ObjectInfo:
    ids = tuple(map(str, range(versions)))
    return ObjectInfo(ObjectKey(key), size, NOON - age, "e", storage_class, ids)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 200 * 86400), st.integers(0, 9)), max_size=20), st.integers(1, 120))
def test_the_effect_is_what_is_due(things: list[tuple[int, int]], days: int) -> None:
    listing = [info(f"temp/{n}", timedelta(seconds=age), size) for n, (age, size) in enumerate(things)]
    (found,) = effects([ours("x", Act("expire", days), "temp/")], listing, [], NOON)
    tonight = NOON.replace(hour=0) + DAY
    for ahead, hit in zip((0, 30, 90), found.hits, strict=True):
        due_then = [one for one in listing if due(one.last_modified, days) <= tonight + ahead * DAY]
        assert hit == Totals(len(due_then), sum(one.size for one in due_then))


def test_the_effect_of_each_kind_of_rule() -> None:
    listing = [
        info("temp/old", 3 * DAY, 100),
        info("temp/new", DAY / 2, 7),
        info("temperature/old", 300 * DAY, 1000),
        info("processed/a/raw/x", 100 * DAY, 50, versions=3),
        info("processed/b/raw/x", 100 * DAY, 50, "GLACIER", versions=1),
    ]
    uploads = [UploadInfo(ObjectKey("temp/u"), "1", NOON - 8 * DAY), UploadInfo(ObjectKey("u"), "2", NOON)]
    rules = [
        BY_NAME["delete-temp-files"],
        BY_NAME["archive-old-jobs"],
        ours("n", Act("noncurrent", 30), "processed/"),
        ours("a", Act("abort", 7)),
        ours("t", Act("transition", 0, "COLD"), tags=frozenset({("tier", "cold")})),
    ]
    found = {one.id.removeprefix(OURS): one for one in effects(rules, iter(listing), iter(uploads), NOON)}
    assert found["delete-temp-files"].hits == (Totals(1, 100), Totals(2, 107), Totals(2, 107))
    assert found["archive-old-jobs"].hits[0] == Totals(1, 50), "what is there already does not move"
    assert found["n"].hits[0] == Totals(2, 0)
    assert found["a"].hits == (Totals(1, 0), Totals(2, 0), Totals(2, 0))
    assert found["t"].hits[0].count == 5
    assert "at most" in found["t"].note
    assert next(table(found.values()))["tonight"] == {"objects": 1, "bytes": 100}


def test_size_bounds_are_exclusive() -> None:
    one = ours("x", Act("expire", 1), "temp/", larger=10, smaller=20)
    listing = [info(f"temp/{size}", 9 * DAY, size) for size in (10, 11, 19, 20)]
    assert effects([one], listing, [], NOON)[0].hits[0] == Totals(2, 30)


def test_rules_of_others_are_read_as_far_as_they_are_understood() -> None:
    text = (
        "<LifecycleConfiguration><Rule><ID>ops</ID><Status>Enabled</Status><Filter><And><Prefix>x/</Prefix>"
        "<Tag><Key>k</Key><Value>v</Value></Tag><ObjectSizeGreaterThan>5</ObjectSizeGreaterThan></And></Filter>"
        "<Expiration><Date>2030-01-01T00:00:00Z</Date></Expiration><Fancy>1</Fancy></Rule>"
        "<Rule><Prefix>old/</Prefix><Status>Disabled</Status></Rule></LifecycleConfiguration>"
    )
    first, second = foreign(read(text.encode()))
    assert (first.prefix, first.tags, first.larger) == ("x/", frozenset({("k", "v")}), 5)
    assert first.acts[0].date == "2030-01-01T00:00:00Z"
    assert first.unknown == ("Fancy=1",)
    assert (second.id, second.prefix, second.enabled) == ("", "old/", False)
    assert foreign(Configuration()) == []
