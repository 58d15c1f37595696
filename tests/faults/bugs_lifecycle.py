"""Bugs in lifecycle rules that must not get past the tests; as :mod:`tests.faults.bugs`."""

from __future__ import annotations

from tests.faults.bugs import Bug

_RULES, _DOCUMENT, _LINT, _EFFECT, _APPLY, _FAILURES, _ODD = (
    f"tests/unit/test_lifecycle_{name}.py"
    for name in ("rules", "document", "lint", "effect", "apply", "failures", "odd_stores")
)
BUGS = (
    Bug(
        "B5: the new configuration holds our rules alone",
        "storage/lifecycle/document.py",
        "            if not piece.ours:\n                kept.append(piece.raw)",
        "            if not piece.ours:\n                pass",
        f"{_APPLY}::test_an_operator_s_rule_stays",
    ),
    Bug(
        "whoever's id merely holds our prefix is ours",
        "storage/lifecycle/document.py",
        "return self.id.startswith(OURS)",
        "return OURS.strip(':') in self.id",
        f"{_DOCUMENT}::test_an_id_that_is_nearly_ours_is_somebody_else_s",
    ),
    Bug(
        "a '>' within quotes ends a tag",
        "storage/lifecycle/document.py",
        "            quote = char\n",
        "            quote = b''\n",
        f"{_DOCUMENT}::test_every_byte_of_others_goes_from_the_get_to_the_put",
    ),
    Bug(
        "B3: a rule for the whole bucket passes the linter",
        "storage/lifecycle/lint.py",
        "    if one.everything:\n",
        "    if one.everything and not one.acts:\n",
        f"{_LINT}::test_a_whole_bucket_by_the_back_door_is_refused",
    ),
    Bug(
        "B4: a storage class nobody has passes the linter",
        "storage/lifecycle/lint.py",
        "    elif act.target not in known:\n",
        "    elif act.target not in known and act.target not in S3_CLASSES:\n",
        f"{_LINT}::test_glacier_is_no_class_of_a_minio",
    ),
    Bug(
        "C3: rules of others shadow nothing",
        "storage/lifecycle/lint.py",
        "active = [one for one in (*rules, *foreign) if one.enabled]",
        "active = [one for one in rules if one.enabled]",
        f"{_LINT}::test_nothing_lives_to_ninety_days_where_all_is_deleted_after_thirty",
    ),
    Bug(
        "C4: archiving and compressing at the same age race",
        "storage/lifecycle/lint.py",
        "rule.compress >= timedelta(days=days)",
        "rule.compress > timedelta(days=days)",
        f"{_LINT}::test_what_is_archived_cannot_be_compressed",
    ),
    Bug(
        "a protected folder's subfolder is not protected",
        "storage/lifecycle/lint.py",
        "if one.prefix.startswith(kept) or kept.startswith(one.prefix):",
        "if kept.startswith(one.prefix):",
        f"{_LINT}::test_refused",
    ),
    Bug(
        "what deletes needs nobody's approval",
        "storage/lifecycle/apply.py",
        "if wanted.deletes and not approved:",
        "if wanted.deletes and approved is None:",
        f"{_APPLY}::test_what_deletes_waits_for_the_approval_of_this_very_plan",
    ),
    Bug(
        "an approval holds for any plan",
        "storage/lifecycle/apply.py",
        "if approved and approved != wanted.sha256:",
        "if approved and not wanted.sha256:",
        f"{_APPLY}::test_an_approval_ends_when_an_operator_changes_something",
    ),
    Bug(
        "what is there is not read again before the put",
        "storage/lifecycle/apply.py",
        "if (now := site.rules.get()) != wanted.found:",
        "if (now := wanted.found) != wanted.found:",
        f"{_APPLY}::test_what_others_change_between_the_plan_and_the_put_is_seen",
    ),
    Bug(
        "what was put is not read back",
        "storage/lifecycle/apply.py",
        "        back = compared(sent, site.rules.get(), wanted.wanted)\n",
        "        back = compared(sent, sent or None, wanted.wanted)\n",
        f"{_ODD}::test_a_store_that_alters_our_rule_does_not_keep_it",
    ),
    Bug(
        "after a failure the new rules stay half applied",
        "storage/lifecycle/apply.py",
        "        _restore(site, wanted.found, error)\n",
        "",
        f"{_FAILURES}::test_after_any_failure_the_rules_of_before_stand",
    ),
    Bug(
        "an operator's edit of the last moment is undone",
        "storage/lifecycle/apply.py",
        "    if back.somebody:\n",
        "    if back.somebody and not back.ours:\n",
        f"{_APPLY}::test_what_others_change_right_after_the_put_is_theirs",
    ),
    Bug(
        "our rule that a store refuses to change is lost",
        "storage/lifecycle/plan.py",
        "            elif id not in changed and id in there:\n",
        "            elif id not in changed and id in there and not without:\n",
        f"{_ODD}::test_what_is_refused_does_not_lose_what_was_there",
    ),
    Bug(
        "what a store refused is drift every night",
        "storage/lifecycle/apply.py",
        "memory = latest.left_out if latest and not again else {}",
        "memory = latest.left_out if latest and again else {}",
        f"{_ODD}::test_a_store_that_refuses_one_rule_gets_the_others",
    ),
    Bug(
        "a disabled rule is no drift",
        "storage/lifecycle/xml.py",
        'enabled = _text(node, "Status") == "Enabled"',
        'enabled = bool(_text(node, "Status"))',
        f"{_RULES}::test_any_difference_is_drift",
    ),
    Bug(
        "MinIO's transition without days is another rule",
        "storage/lifecycle/xml.py",
        '    if verb == "transition" and not number and "Date" not in said:\n',
        '    if verb == "transition" and not number and not said:\n',
        f"{_ODD}::test_a_store_that_refuses_one_rule_gets_the_others",
    ),
    Bug(
        "the effect is a day early",
        "storage/lifecycle/plan.py",
        "            if since < cut:\n",
        "            if since < cut + DAY:\n",
        f"{_EFFECT}::test_the_effect_is_what_is_due",
    ),
)
