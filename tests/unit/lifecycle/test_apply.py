"""Applying lifecycle rules: foreign rules stay, deletions wait for approval, and every version is kept."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings

from storage.core.errors import Paused, PlanChanged
from storage.core.tiers import CLASSES, ColdSettings, Rule
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
from tests.support.lifecycle_in_memory import ABORT, OPERATORS, TEMP, TIER, TIERED, Environment
from tests.unit.lifecycle.test_document import documents


# --- foreign rules ---------------------------------------------------------------------------------
def test_an_operator_s_rule_stays(environment: Environment) -> None:
    """B5: a put replaces the whole configuration, and still keeps the operator's rule."""
    done = environment.apply()
    assert done.changed == (ABORT,)
    assert environment.ids == ["ops", ABORT]
    assert OPERATORS in environment.rules.puts[-1]
    assert environment.apply().number == 0, "a second time there is nothing to do"
    assert len(environment.rules.puts) == 1


@settings(max_examples=60, deadline=None)
@given(documents())
def test_any_bytes_of_others_go_from_the_get_to_the_put(document: bytes) -> None:
    environment = Environment("exact", cold_settings=TIERED)
    environment.rules.document = document
    before = [piece.raw for piece in read(document).foreign]
    made = plan(environment.manager, ["delete-temp-files"])
    apply(environment.manager, made, "somebody", made.sha256)
    after = read(environment.rules.document)
    assert [piece.raw for piece in after.foreign] == before
    assert set(after.ours) == {ABORT, TIER, TEMP}


def test_what_others_change_between_the_plan_and_the_put_is_seen(environment: Environment) -> None:
    made = plan(environment.manager)
    environment.put(OPERATORS, OPERATORS.replace(b"ops", b"ops2"))
    with pytest.raises(LifecycleChanged, match="Another client has changed"):
        apply(environment.manager, made, "somebody")
    assert environment.ids == ["ops", "ops2"]
    assert not environment.rules.puts
    assert environment.apply().changed == (ABORT,)


def test_what_others_change_right_after_the_put_is_theirs(environment: Environment) -> None:
    newer = OPERATORS.replace(b"<Days>3<", b"<Days>4<")
    made = plan(environment.manager)
    environment.at("put done", lambda: environment.put(newer))
    with pytest.raises(LifecycleChanged, match="another client changed ops"):
        apply(environment.manager, made, "somebody")
    assert newer in (environment.rules.document or b""), "nobody undoes what they did"


# --- approval --------------------------------------------------------------------------------------
def test_what_deletes_waits_for_the_approval_of_this_very_plan(environment: Environment) -> None:
    made = plan(environment.manager, ["delete-temp-files"])
    assert made.deletes
    with pytest.raises(LifecycleNotApproved, match=made.sha256):
        apply(environment.manager, made, "somebody")
    with pytest.raises(PlanChanged):
        apply(environment.manager, made, "somebody", "0" * 64)
    other = plan(environment.manager, ["delete-temp-files", "delete-failed-jobs"])
    with pytest.raises(PlanChanged):
        apply(environment.manager, other, "somebody", made.sha256)
    assert not environment.rules.puts
    assert apply(environment.manager, made, "somebody", made.sha256).changed == (ABORT, TEMP)


def test_an_approval_ends_when_an_operator_changes_something(environment: Environment) -> None:
    made = plan(environment.manager, ["delete-temp-files"])
    environment.put(OPERATORS.replace(b"3", b"4"))
    with pytest.raises(PlanChanged):
        apply(environment.manager, plan(environment.manager, ["delete-temp-files"]), "somebody", made.sha256)


def test_without_a_request_the_documents_rules_are_not_there(environment: Environment) -> None:
    assert [change.id for change in plan(environment.manager).changes] == [ABORT]
    environment.apply("delete-temp-files")
    assert plan(environment.manager).changes == (), "asked for once, declared from then on"
    assert [(c.verb, c.id) for c in plan(environment.manager, drop=["delete-temp-files"]).changes] == [
        ("remove", TEMP)
    ]


def test_a_rule_of_ours_that_nobody_asked_for_is_drift(environment: Environment) -> None:
    """The rule was put there by hand under our name: it deletes, and no operator approved it."""
    environment.apply()
    rules = [piece.raw for piece in read(environment.rules.document).rules]
    environment.put(*rules, f"<Rule><ID>{TEMP}</ID><Status>Enabled</Status></Rule>".encode())
    assert [(c.verb, c.id) for c in plan(environment.manager).changes] == [("remove", TEMP)]


def refuse(made: Plan, environment: Environment) -> None:
    with pytest.raises(RulesRefused):
        apply(environment.manager, made, "somebody", made.sha256)
    assert not environment.rules.puts


def test_what_the_linter_refuses_is_not_put(environment: Environment) -> None:
    refuse(plan(environment.manager, ["archive-old-jobs"]), environment)  # C4, with the default rules
    early = ColdSettings(rules=dict.fromkeys(CLASSES, Rule(compress=None)))
    manager = replace(environment.manager, tiers=early)
    assert plan(manager, ["archive-old-jobs"]).findings == ()
    environment.put(
        b"<Rule><ID>all</ID><Status>Enabled</Status><Expiration><Days>30</Days></Expiration></Rule>"
    )
    (finding,) = plan(manager, ["archive-old-jobs"]).findings  # C3, by a foreign rule
    assert finding.other == "all"


def test_unknown_names_and_a_pause(environment: Environment) -> None:
    with pytest.raises(NoSuchRule):
        plan(environment.manager, ["delete-everything"])
    with pytest.raises(NoSuchRule):
        plan(environment.manager, ["abort-incomplete-uploads"])
    with pytest.raises(NoSuchVersion):
        rollback(environment.manager, 7)
    environment.manager.stores.control.write("paused", "by hand")
    with pytest.raises(Paused):
        environment.apply()
    assert not environment.rules.puts


# --- versions --------------------------------------------------------------------------------------
def test_every_configuration_that_stood_is_kept(environment: Environment) -> None:
    before = environment.rules.document
    environment.apply()
    rules = [piece.raw for piece in read(environment.rules.document).rules]
    environment.put(*rules, OPERATORS.replace(b"ops", b"late"))
    between = environment.rules.document
    environment.apply("delete-temp-files")
    kept = [(one.state, one.document) for one in environment.versions.rows]
    assert [state for state, _ in kept] == ["found", "applied", "found", "applied"]
    assert (kept[0][1], kept[2][1], kept[3][1]) == (before, between, environment.rules.document)
    assert environment.world.database.audit[-1][0] == "lifecycle"


def test_rolled_back_are_our_rules_and_nobody_else_s(environment: Environment) -> None:
    first = environment.apply("delete-temp-files").number
    environment.apply("delete-failed-jobs", drop=("delete-temp-files",))
    rules = [piece.raw for piece in read(environment.rules.document).rules if piece.id != "ops"]
    environment.put(*rules, OPERATORS.replace(b"ops", b"late"))
    made = rollback(environment.manager, first)
    assert made.deletes
    with pytest.raises(LifecycleNotApproved):
        apply(environment.manager, made, "somebody")
    apply(environment.manager, made, "somebody", made.sha256)
    assert sorted(environment.ids) == sorted(["late", ABORT, TEMP])
    assert plan(environment.manager).changes == ()


def test_rolled_back_to_before_the_first_the_bucket_is_as_it_was(environment: Environment) -> None:
    environment.apply()
    apply(environment.manager, rollback(environment.manager, 1), "somebody")
    assert environment.ids == ["ops"]


def test_where_no_rule_is_left_the_configuration_is_cleared(environment: Environment) -> None:
    environment.rules.document = None
    environment.apply()
    apply(environment.manager, rollback(environment.manager, 1), "somebody")
    assert environment.rules.document is None


# --- effect ----------------------------------------------------------------------------------------
def test_the_effect_is_reported_from_one_listing(environment: Environment) -> None:
    for number in range(3):
        environment.world.put(f"temp/{number}", 5 * DAY)
    environment.world.count_from_here()
    made = plan(environment.manager, ["delete-temp-files"])
    found = {one.id: one.hits[0].count for one in effect(environment.manager, list(made.wanted.values()))}
    assert found[TEMP] == 3
    assert environment.world.objects.requests["list"] == 1
