"""Applying lifecycle rules: nothing of others is touched, what deletes waits, and every version is kept."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings

from storage.core.errors import Paused, PlanChanged
from storage.core.tiers import CLASSES, ColdSite, Rule
from storage.lifecycle.apply import apply, effect, plan, rollback
from storage.lifecycle.document import read
from storage.lifecycle.errors import (
    LifecycleChanged,
    LifecycleNotApproved,
    NoSuchRule,
    NoSuchVersion,
    RulesRefused,
)
from storage.lifecycle.plan import Plan
from tests.support.in_memory import DAY
from tests.support.lifecycle_in_memory import ABORT, OPERATORS, TEMP, TIER, TIERED, Ground
from tests.unit.lifecycle.test_document import documents


# --- beside others ---------------------------------------------------------------------------------
def test_an_operator_s_rule_stays(ground: Ground) -> None:
    """B5: the whole configuration is replaced, and nothing of theirs is."""
    done = ground.apply()
    assert done.changed == (ABORT,)
    assert ground.ids == ["ops", ABORT]
    assert OPERATORS in ground.rules.puts[-1]
    assert ground.apply().number == 0, "a second time there is nothing to do"
    assert len(ground.rules.puts) == 1


@settings(max_examples=60, deadline=None)
@given(documents())
def test_any_bytes_of_others_go_from_the_get_to_the_put(document: bytes) -> None:
    ground = Ground("exact", site=TIERED)
    ground.rules.document = document
    before = [piece.raw for piece in read(document).foreign]
    made = plan(ground.site, ["delete-temp-files"])
    apply(ground.site, made, "somebody", made.sha256)
    after = read(ground.rules.document)
    assert [piece.raw for piece in after.foreign] == before
    assert set(after.ours) == {ABORT, TIER, TEMP}


def test_what_others_change_between_the_plan_and_the_put_is_seen(ground: Ground) -> None:
    made = plan(ground.site)
    ground.put(OPERATORS, OPERATORS.replace(b"ops", b"ops2"))
    with pytest.raises(LifecycleChanged, match="is another by now"):
        apply(ground.site, made, "somebody")
    assert ground.ids == ["ops", "ops2"]
    assert not ground.rules.puts
    assert ground.apply().changed == (ABORT,)


def test_what_others_change_right_after_the_put_is_theirs(ground: Ground) -> None:
    newer = OPERATORS.replace(b"<Days>3<", b"<Days>4<")
    made = plan(ground.site)
    ground.at("put done", lambda: ground.put(newer))
    with pytest.raises(LifecycleChanged, match="somebody else changed ops"):
        apply(ground.site, made, "somebody")
    assert newer in (ground.rules.document or b""), "nobody undoes what they did"


# --- consent ---------------------------------------------------------------------------------------
def test_what_deletes_waits_for_the_approval_of_this_very_plan(ground: Ground) -> None:
    made = plan(ground.site, ["delete-temp-files"])
    assert made.deletes
    with pytest.raises(LifecycleNotApproved, match=made.sha256):
        apply(ground.site, made, "somebody")
    with pytest.raises(PlanChanged):
        apply(ground.site, made, "somebody", "0" * 64)
    other = plan(ground.site, ["delete-temp-files", "delete-failed-jobs"])
    with pytest.raises(PlanChanged):
        apply(ground.site, other, "somebody", made.sha256)
    assert not ground.rules.puts
    assert apply(ground.site, made, "somebody", made.sha256).changed == (ABORT, TEMP)


def test_an_approval_ends_when_an_operator_changes_something(ground: Ground) -> None:
    made = plan(ground.site, ["delete-temp-files"])
    ground.put(OPERATORS.replace(b"3", b"4"))
    with pytest.raises(PlanChanged):
        apply(ground.site, plan(ground.site, ["delete-temp-files"]), "somebody", made.sha256)


def test_without_a_request_the_documents_rules_are_not_there(ground: Ground) -> None:
    assert [change.id for change in plan(ground.site).changes] == [ABORT]
    ground.apply("delete-temp-files")
    assert plan(ground.site).changes == (), "asked for once, declared from then on"
    assert [(c.verb, c.id) for c in plan(ground.site, drop=["delete-temp-files"]).changes] == [
        ("remove", TEMP)
    ]


def test_a_rule_of_ours_that_nobody_asked_for_is_drift(ground: Ground) -> None:
    """Put there by hand under our name: it deletes, and nobody approved it."""
    ground.apply()
    rules = [piece.raw for piece in read(ground.rules.document).rules]
    ground.put(*rules, f"<Rule><ID>{TEMP}</ID><Status>Enabled</Status></Rule>".encode())
    assert [(c.verb, c.id) for c in plan(ground.site).changes] == [("remove", TEMP)]


def refuse(made: Plan, ground: Ground) -> None:
    with pytest.raises(RulesRefused):
        apply(ground.site, made, "somebody", made.sha256)
    assert not ground.rules.puts


def test_what_the_linter_refuses_is_not_put(ground: Ground) -> None:
    refuse(plan(ground.site, ["archive-old-jobs"]), ground)  # C4, with the default rules
    early = ColdSite(rules=dict.fromkeys(CLASSES, Rule(compress=None)))
    site = replace(ground.site, tiers=early)
    assert plan(site, ["archive-old-jobs"]).findings == ()
    ground.put(b"<Rule><ID>all</ID><Status>Enabled</Status><Expiration><Days>30</Days></Expiration></Rule>")
    (finding,) = plan(site, ["archive-old-jobs"]).findings  # C3, by somebody else's rule
    assert finding.other == "all"


def test_unknown_names_and_a_pause(ground: Ground) -> None:
    with pytest.raises(NoSuchRule):
        plan(ground.site, ["delete-everything"])
    with pytest.raises(NoSuchRule):
        plan(ground.site, ["abort-incomplete-uploads"])
    with pytest.raises(NoSuchVersion):
        rollback(ground.site, 7)
    ground.site.stores.control.write("paused", "by hand")
    with pytest.raises(Paused):
        ground.apply()
    assert not ground.rules.puts


# --- versions --------------------------------------------------------------------------------------
def test_every_configuration_that_stood_is_kept(ground: Ground) -> None:
    before = ground.rules.document
    ground.apply()
    rules = [piece.raw for piece in read(ground.rules.document).rules]
    ground.put(*rules, OPERATORS.replace(b"ops", b"late"))
    between = ground.rules.document
    ground.apply("delete-temp-files")
    kept = [(one.state, one.document) for one in ground.versions.rows]
    assert [state for state, _ in kept] == ["found", "applied", "found", "applied"]
    assert (kept[0][1], kept[2][1], kept[3][1]) == (before, between, ground.rules.document)
    assert ground.world.database.audit[-1][0] == "lifecycle"


def test_rolled_back_are_our_rules_and_nobody_else_s(ground: Ground) -> None:
    first = ground.apply("delete-temp-files").number
    ground.apply("delete-failed-jobs", drop=("delete-temp-files",))
    rules = [piece.raw for piece in read(ground.rules.document).rules if piece.id != "ops"]
    ground.put(*rules, OPERATORS.replace(b"ops", b"late"))
    made = rollback(ground.site, first)
    assert made.deletes
    with pytest.raises(LifecycleNotApproved):
        apply(ground.site, made, "somebody")
    apply(ground.site, made, "somebody", made.sha256)
    assert sorted(ground.ids) == sorted(["late", ABORT, TEMP])
    assert plan(ground.site).changes == ()


def test_rolled_back_to_before_the_first_the_bucket_is_as_it_was(ground: Ground) -> None:
    ground.apply()
    apply(ground.site, rollback(ground.site, 1), "somebody")
    assert ground.ids == ["ops"]


def test_where_no_rule_is_left_the_configuration_is_cleared(ground: Ground) -> None:
    ground.rules.document = None
    ground.apply()
    apply(ground.site, rollback(ground.site, 1), "somebody")
    assert ground.rules.document is None


# --- what it would hit -----------------------------------------------------------------------------
def test_the_effect_is_told_from_one_listing(ground: Ground) -> None:
    for number in range(3):
        ground.world.put(f"temp/{number}", 5 * DAY)
    ground.world.count_from_here()
    made = plan(ground.site, ["delete-temp-files"])
    found = {one.id: one.hits[0].count for one in effect(ground.site, list(made.wanted.values()))}
    assert found[TEMP] == 3
    assert ground.world.objects.requests["list"] == 1
