"""Terminal output of lifecycle rules, plans, effects and versions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.table import Column, Table

from storage.cli.output import out, shown, size
from storage.lifecycle.apply import Applied
from storage.lifecycle.lint import Finding
from storage.lifecycle.plan import Effect, Plan, digest
from storage.lifecycle.ports import LeftOut, Version
from storage.lifecycle.rules import LifecycleRule

_COLOURS = {"add": "green", "change": "yellow", "remove": "red"}


def reach(rule: LifecycleRule) -> str:
    """Describe the filter of a rule: prefix, tags, sizes."""
    words = [rule.prefix] if rule.prefix else []
    words += [f"{key}={value}" for key, value in sorted(rule.tags)]
    words += [f"> {size(rule.larger)}"] if rule.larger is not None else []
    words += [f"< {size(rule.smaller)}"] if rule.smaller is not None else []
    return " ".join(words) or "the whole bucket"


def acts(rule: LifecycleRule) -> str:
    actions = ", ".join(map(str, rule.acts)) or "unknown actions"
    return f"{actions} (disabled)" if not rule.enabled else actions


def show_rules(ours: Iterable[LifecycleRule], foreign: Iterable[LifecycleRule]) -> None:
    table = Table("rule", "owner", Column("filter", overflow="fold"), Column("actions", overflow="fold"))
    for owner, rules in (("ours", ours), ("others", foreign)):
        for rule in rules:
            table.add_row(shown(rule.id or "(no id)"), owner, shown(reach(rule)), shown(acts(rule)))
    if table.row_count:
        out.print(table)
    else:
        out.print("The bucket has no lifecycle rules.")


def show_plan(plan: Plan, offered: Mapping[str, Sequence[Finding]]) -> None:
    """Print the changes, the linter's findings, the rules this store rejects and the rules on request."""
    table = Table("change", "rule", Column("filter", overflow="fold"), Column("actions", overflow="fold"))
    for change in plan.changes:
        rule = change.rule or change.was
        colour = _COLOURS[change.verb]
        about = (shown(reach(rule)), shown(acts(rule))) if rule else ("", "")
        table.add_row(f"[{colour}]{change.verb}[/]", shown(change.id), *about)
    if table.row_count:
        out.print(table)
    else:
        out.print("The bucket's rules are the declared ones: nothing to change.")
    for finding in plan.findings:
        out.print(f"[red]refused[/] {shown(str(finding))}", soft_wrap=True)
    show_left_out(plan.left_out, plan.wanted)
    for name, why in offered.items():
        text = (
            f"would be refused: {'; '.join(finding.why for finding in why)}"
            if why
            else f"--with {name} adds it"
        )
        out.print(f"on request {shown(name)}: {shown(text)}", soft_wrap=True)
    out.print(f"found   {digest(plan.found)}\nsha256  {plan.sha256}", soft_wrap=True)


def show_left_out(left_out: Mapping[str, LeftOut], rules: Mapping[str, LifecycleRule]) -> None:
    for id, omission in left_out.items():
        instead = f" Instead: {rules[id].instead}." if id in rules and rules[id].instead else ""
        out.print(f"[yellow]left out[/] {shown(id)}: {shown(omission.why)}.{shown(instead)}", soft_wrap=True)


def show_bypassing(found: Iterable[Finding]) -> None:
    for finding in found:
        out.print(f"[yellow]bypasses the platform[/] {shown(str(finding))}", soft_wrap=True)


def show_effects(found: Sequence[Effect]) -> None:
    table = Table(
        Column("rule", overflow="fold"),
        "action",
        "tonight",
        "in 30 days",
        "in 90 days",
        Column("note", overflow="fold"),
    )
    for effect in found:
        hits = (f"{hit.count:,} ({size(hit.bytes)})" for hit in effect.hits)
        table.add_row(shown(effect.id), shown(effect.does), *hits, effect.note)
    if found:
        out.print(table)


def show_applied(done: Applied, rules: Mapping[str, LifecycleRule]) -> None:
    if done.changed:
        out.print(
            f"Lifecycle policies configured: {', '.join(map(shown, done.changed))} (version {done.number})"
        )
    else:
        out.print("Lifecycle policies configured: no changes were needed.")
    show_left_out(done.left_out, rules)
    if done.reordered:
        out.print("The store returns the rules in a different order than they were sent.")


def show_versions(versions: Iterable[Version]) -> None:
    table = Table("version", "state", "at (UTC)", "by", "sha256", Column("note", overflow="fold"))
    for version in versions:
        at = f"{version.at:%Y-%m-%d %H:%M:%S}" if version.at else "-"
        note = version.note or ", ".join(version.requested)
        table.add_row(
            str(version.number),
            version.state,
            at,
            shown(version.by),
            version.sha256[:12] if version.document else "none",
            shown(note),
        )
    if table.row_count:
        out.print(table)
    else:
        out.print("No version yet: `storage lifecycle apply` creates the first.")


def plain(rule: LifecycleRule) -> dict[str, Any]:
    """Return a rule as plain data for JSON output."""
    return {
        "id": rule.id, "acts_on": reach(rule), "does": [str(act) for act in rule.acts], "why": rule.why,
        "enabled": rule.enabled, "on_request": rule.on_request, "instead": rule.instead,
    }  # fmt: skip
