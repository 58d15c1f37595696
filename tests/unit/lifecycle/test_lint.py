"""Lifecycle rules that the linter refuses, alone and beside other rules."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from storage.core.capabilities import Capabilities
from storage.core.model import PROTECTED_PREFIXES
from storage.core.tiers import CLASSES, ColdSettings, Rule
from storage.lifecycle.document import OURS
from storage.lifecycle.lint import Finding, lint
from storage.lifecycle.rules import Act, LifecycleRule
from storage.lifecycle.xml import render
from tests.support.in_memory import DAY
from tests.support.lifecycle_in_memory import AWS, BY_NAME, EARLY, MINIO, ours, said

COLD = frozenset({("tier", "cold")})
expiring = Act("expire", 30)


def expires(days: int, prefix: str = "", **more: Any) -> LifecycleRule:
    return ours("x", Act("expire", days), prefix, **more)


def moves(days: int, target: str, prefix: str = "", **more: Any) -> LifecycleRule:
    return ours("x", Act("transition", days, target), prefix, **more)


@pytest.mark.parametrize(
    ("one", "why"),
    [
        (ours("x", expiring, on_request=True), "whole bucket"),
        (ours("x", Act("transition", 30, "GLACIER")), "whole bucket"),
        (ours("x", Act("noncurrent", 30)), "whole bucket"),
        (ours("x", expiring, tags=frozenset({("a", "b")}), on_request=True), "a tag alone"),
        (ours("x", expiring, "temp", on_request=True), "not a folder that ends in '/'"),
        (ours("x", expiring, "/", on_request=True), "not a folder that ends in '/'"),
        (ours("x", expiring, "a/../b/", on_request=True), "not a folder that ends in '/'"),
        (ours("x", Act("abort", 7), "temp"), "not a folder that ends in '/'"),
        (ours("x", Act("expire", 0), "temp/", on_request=True), "after 0 days is at once"),
        (ours("x", Act("expire", -1), "temp/", on_request=True), "-1 days"),
        (ours("x", Act("expire", 36_501), "temp/", on_request=True), "36501 days"),
        (ours("x", Act("expire"), "temp/", on_request=True), "whole number of days"),
        (ours("x", Act("expire", 1.5), "temp/", on_request=True), "whole number of days"),  # type: ignore[arg-type]
        (ours("x", Act("expire", True), "temp/", on_request=True), "whole number of days"),
        (ours("x", Act("expire", None, "", "2020-01-01"), "temp/", on_request=True), "whole number of days"),
        (ours("x", Act("abort", 0)), "after 0 days is at once"),
        (ours("x", Act("noncurrent", 0), "temp/"), "after 0 days is at once"),
        (ours("x", Act("transition", 0, "GLACIER"), "temp/"), "moves objects that were just written"),
        (ours("x", Act("transition", 90, "NOWHERE"), "temp/"), "the tier NOWHERE was not proven"),
        (ours("x", Act("transition", 90, "DEEP_ARCHIVE"), "temp/"), "class DEEP_ARCHIVE was not proven"),
        (ours("x", Act("transition", 90, "cold"), "temp/"), "use upper case"),
        (ours("x", Act("transition", 90, ""), "temp/"), "not a name of a storage class or tier"),
        (ours("x", expiring, "temp/"), "must be on request"),
        (ours("x", expiring, "processed/"), "must be on request"),
        (ours("x", Act("expire", 6), "failed/", on_request=True), "promised for 7 days"),
        (ours("x" * 300, Act("abort", 7)), "1 to 255 characters"),
        (LifecycleRule(id=f"{OURS}x", acts=(), prefix="temp/"), "has no action"),
        *((ours("x", expiring, kept, on_request=True), "is protected") for kept in PROTECTED_PREFIXES),
        (ours("x", expiring, "models/old/", on_request=True), "models/ is protected"),
    ],
)  # fmt: skip
def test_refused(one: LifecycleRule, why: str) -> None:
    found = said(one)
    assert any(why in answer for answer in found), found


def test_a_whole_bucket_by_the_back_door_is_refused() -> None:
    """B3: an empty prefix and an expiration of 0 days, which some clients send without days, are refused."""
    one = ours("x", expiring, on_request=True)
    assert b"<Prefix></Prefix>" in render(one)
    assert "whole bucket" in said(one)[0]
    assert said(ours("y", Act("expire", 0), "temp/", on_request=True))


def test_glacier_is_no_class_of_a_minio() -> None:
    """B4: the class is refused before the store is asked, unless a remote tier of that name is set."""
    archive = BY_NAME["archive-old-jobs"]
    assert "GLACIER was not proven by the probe of this store" in said(archive, capabilities=MINIO)[0]
    assert "was not probed" in said(archive, capabilities=Capabilities())[0]
    assert said(archive, capabilities=AWS) == []
    assert said(archive, cold_settings=replace(EARLY, tiers={"cold": "GLACIER"}), capabilities=MINIO) == []


@pytest.mark.parametrize("foreign_rule", [True, False])
def test_nothing_lives_to_ninety_days_where_all_is_deleted_after_thirty(foreign_rule: bool) -> None:
    """C3: the linter refuses it whether the rule of 30 days is ours or foreign."""
    everything = LifecycleRule(id="auto-delete", acts=(Act("expire", 30),), on_request=True)
    archive = BY_NAME["archive-old-jobs"]
    found = said(archive, beside=[everything]) if foreign_rule else said(archive, everything)
    assert (
        f"{archive.id}: no object lives to its 90 days: auto-delete deletes in the whole bucket after 30"
        in found
    )
    assert not said(archive, beside=[replace(everything, enabled=False)])
    assert not said(archive, beside=[replace(everything, acts=(Act("expire", 91),))])
    assert said(archive, beside=[replace(everything, acts=(Act("expire", 90),))])


def test_what_is_archived_cannot_be_compressed() -> None:
    """C4: archiving at 90 days and compressing at 90 days race; with the default rules it is refused."""
    archive = BY_NAME["archive-old-jobs"]
    assert "cannot be read to be compressed" in said(archive, cold_settings=ColdSettings())[0]
    assert (
        said(archive, cold_settings=ColdSettings(rules=dict.fromkeys(CLASSES, Rule(compress=89 * DAY)))) == []
    )
    assert said(archive, cold_settings=ColdSettings(rules=dict.fromkeys(CLASSES, Rule(compress=None)))) == []


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
    assert any("2 rules have this id" in answer for answer in said(one, one))
