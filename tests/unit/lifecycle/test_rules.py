"""Declared lifecycle rules, their XML, and their difference to the rules of a bucket."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from minio.commonconfig import ENABLED
from minio.lifecycleconfig import Expiration, LifecycleConfig
from minio.lifecycleconfig import Rule as VendorRule
from minio.xml import marshal, unmarshal

from storage.core.capabilities import Capabilities
from storage.core.tiers import ColdSettings
from storage.lifecycle.document import OURS, Configuration, read
from storage.lifecycle.lint import bypassing
from storage.lifecycle.plan import difference, foreign
from storage.lifecycle.rules import DOCUMENTED, Act, LifecycleRule, declared
from storage.lifecycle.xml import parse, render
from tests.support.lifecycle_in_memory import AWS, BY_NAME, MINIO, document, ours, said


# --- declared rules --------------------------------------------------------------------------------
def test_the_documents_three_rules_are_declared_and_only_on_request() -> None:
    assert [(one.name, one.prefix, str(one.acts[0]), one.on_request) for one in DOCUMENTED] == [
        ("delete-temp-files", "temp/", "expire 1 d", True),
        ("delete-failed-jobs", "failed/", "expire 7 d", True),
        ("archive-old-jobs", "processed/", "transition 90 d to GLACIER", True),
    ]


def test_unfinished_uploads_and_older_versions_are_thought_of() -> None:
    """B6: each rule names the part of the platform that does the same where the store does not."""
    named = {one.name: one for one in declared(ColdSettings(), AWS, versioned=True)}
    assert named["abort-incomplete-uploads"].acts == (Act("abort", 7),)
    assert named["abort-incomplete-uploads"].instead == "the job abort_uploads"
    assert named["noncurrent-processed"].acts == (Act("noncurrent", 30),)
    assert named["expired-delete-markers"].acts == (Act("markers"),)
    assert all(one.instead and one.why for one in named.values())


def test_what_lifecycle_deletes_is_on_request_for_no_row_learns_of_it() -> None:
    """B6: an expiration outside the engine is never declared without a request."""
    for versioned in (True, False):
        for one in declared(ColdSettings(tiers={"cold": "COLD"}), MINIO, versioned):
            assert one.on_request or all(act.verb != "expire" for act in one.acts)
    answer = [str(one) for one in bypassing([replace(BY_NAME["delete-temp-files"], id="ops")])]
    assert answer == ["ops: expire 1 d below temp/, and the pipeline's rows are not updated"]


def test_old_versions_go_only_where_there_are_versions_and_never_of_protected_folders() -> None:
    without = declared(ColdSettings(), AWS, versioned=False)
    assert not [one for one in without if one.acts[0].verb in ("noncurrent", "markers")]
    prefixes = {
        o.prefix for o in declared(ColdSettings(), AWS, versioned=True) if o.acts[0].verb == "noncurrent"
    }
    assert prefixes == {"processed/", "temp/", "uploads/", "failed/"}


def test_a_remote_tier_has_a_rule_and_a_storage_class_has_none() -> None:
    cold_settings = ColdSettings(tiers={"warm": "STANDARD_IA", "cold": "COLD"})
    tiers = [one for one in declared(cold_settings, AWS, versioned=False) if one.name.startswith("tier-")]
    assert [(o.name, dict(o.tags), o.acts) for o in tiers] == [
        ("tier-cold", {"tier": "cold"}, (Act("transition", 0, "COLD"),))
    ]


@pytest.mark.parametrize("versioned", [True, False])
@pytest.mark.parametrize("capabilities", [AWS, MINIO])
def test_what_is_declared_passes_the_linter(versioned: bool, capabilities: Capabilities) -> None:
    cold_settings = ColdSettings(tiers={"warm": "WARM", "cold": "COLD"})
    rules = [one for one in declared(cold_settings, capabilities, versioned) if not one.on_request]
    assert said(*rules, cold_settings=cold_settings, capabilities=capabilities) == []


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
    """B2: a filter given as a dictionary does not even serialise; clients understand ours."""
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
    """An unknown element that was added to a rule of ours by hand is noticed."""
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
