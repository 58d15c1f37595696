"""How lifecycle rules, plans and effects look."""

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
    """What a rule acts on, in a few words."""
    words = [rule.prefix] if rule.prefix else []
    words += [f"{key}={value}" for key, value in sorted(rule.tags)]
    words += [f"> {size(rule.larger)}"] if rule.larger is not None else []
    words += [f"< {size(rule.smaller)}"] if rule.smaller is not None else []
    return " ".join(words) or "the whole bucket"


def acts(rule: LifecycleRule) -> str:
    said = ", ".join(map(str, rule.acts)) or "nothing known"
    return f"{said} (disabled)" if not rule.enabled else said


def show_rules(ours: Iterable[LifecycleRule], foreign: Iterable[LifecycleRule]) -> None:
    table = Table("rule", "whose", Column("acts on", overflow="fold"), Column("does", overflow="fold"))
    for whose, rules in (("ours", ours), ("others", foreign)):
        for one in rules:
            table.add_row(shown(one.id or "(no id)"), whose, shown(reach(one)), shown(acts(one)))
    if table.row_count:
        out.print(table)
    else:
        out.print("The bucket has no lifecycle rules.")


def show_plan(plan: Plan, offered: Mapping[str, Sequence[Finding]]) -> None:
    """Changes, what the linter refuses, what this store does not take, and what may be asked for."""
    table = Table("would", "rule", Column("acts on", overflow="fold"), Column("does", overflow="fold"))
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
        said = f"would be refused: {'; '.join(one.why for one in why)}" if why else f"--with {name} adds it"
        out.print(f"on request {shown(name)}: {shown(said)}", soft_wrap=True)
    out.print(f"found   {digest(plan.found)}\nsha256  {plan.sha256}", soft_wrap=True)


def show_left_out(left_out: Mapping[str, LeftOut], rules: Mapping[str, LifecycleRule]) -> None:
    for id, one in left_out.items():
        instead = f" Instead: {rules[id].instead}." if id in rules and rules[id].instead else ""
        out.print(f"[yellow]left out[/] {shown(id)}: {shown(one.why)}.{shown(instead)}", soft_wrap=True)


def show_bypassing(found: Iterable[Finding]) -> None:
    for one in found:
        out.print(f"[yellow]beside the platform[/] {shown(str(one))}", soft_wrap=True)


def show_effects(found: Sequence[Effect]) -> None:
    table = Table(
        Column("rule", overflow="fold"),
        "does",
        "tonight",
        "in 30 days",
        "in 90 days",
        Column("note", overflow="fold"),
    )
    for one in found:
        hits = (f"{hit.count:,} ({size(hit.bytes)})" for hit in one.hits)
        table.add_row(shown(one.id), shown(one.does), *hits, one.note)
    if found:
        out.print(table)


def show_applied(done: Applied, rules: Mapping[str, LifecycleRule]) -> None:
    if done.changed:
        out.print(
            f"Lifecycle policies configured: {', '.join(map(shown, done.changed))} (version {done.number})"
        )
    else:
        out.print("Lifecycle policies configured: nothing was to change.")
    show_left_out(done.left_out, rules)
    if done.reordered:
        out.print("The store answers the rules in another order than they were sent in.")


def show_versions(versions: Iterable[Version]) -> None:
    table = Table("version", "state", "at (UTC)", "by", "sha256", Column("note", overflow="fold"))
    for one in versions:
        at = f"{one.at:%Y-%m-%d %H:%M:%S}" if one.at else "-"
        note = one.note or ", ".join(one.requested)
        table.add_row(
            str(one.number),
            one.state,
            at,
            shown(one.by),
            one.sha256[:12] if one.document else "none",
            shown(note),
        )
    if table.row_count:
        out.print(table)
    else:
        out.print("No version yet: `storage lifecycle apply` makes the first.")


def plain(rule: LifecycleRule) -> dict[str, Any]:
    """A rule for programs."""
    return {
        "id": rule.id, "acts_on": reach(rule), "does": [str(act) for act in rule.acts], "why": rule.why,
        "enabled": rule.enabled, "on_request": rule.on_request, "instead": rule.instead,
    }  # fmt: skip
