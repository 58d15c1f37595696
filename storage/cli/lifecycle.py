"""Commands of ``storage lifecycle``."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from typing import Any

from storage.cli import output
from storage.cli import output_lifecycle as shows
from storage.cli.common import add_group, add_verb, settings, who
from storage.core.errors import EXIT_REFUSED, EXIT_WAITS, UsageError
from storage.lifecycle.apply import Lifecycle, apply, effect, findings, plan, rollback
from storage.lifecycle.connect import lifecycle
from storage.lifecycle.document import read
from storage.lifecycle.errors import LifecycleDrifted
from storage.lifecycle.lint import Finding, bypassing
from storage.lifecycle.plan import Plan, digest, foreign, table
from storage.lifecycle.rules import LifecycleRule
from storage.lifecycle.xml import parse


def add_parser(verbs: Any) -> None:
    """Add ``storage lifecycle VERB`` to the command-line parser."""
    about = "compare, apply and roll back the bucket's lifecycle rules"
    inner = add_group(verbs, "lifecycle", about)
    add_verb(inner, "show", "list the bucket's rules: ours and others'", show)
    about = "dry run: show what apply would change, and the objects each rule would affect"
    command = add_verb(inner, "plan", about, plan_it)
    _choice(command)
    command.add_argument("--no-effect", action="store_true", help="skip the bucket listing")
    command = add_verb(inner, "apply", "show the plan; --apply or --approve applies it", apply_it)
    _choice(command)
    _consent(command)
    add_verb(
        inner, "check", "drift check: exit 1 when the bucket's rules differ from the declared ones", check
    )
    add_verb(inner, "history", "list every configuration that was applied", history)
    about = "restore our rules of a version; keep others' current rules"
    command = add_verb(inner, "rollback", about, roll_back)
    command.add_argument("version", type=int, metavar="N")
    _consent(command)


def _choice(command: ArgumentParser) -> None:
    command.add_argument(
        "--with", dest="add", action="append", default=[], metavar="RULE", help="add this optional rule"
    )
    command.add_argument(
        "--without",
        dest="drop",
        action="append",
        default=[],
        metavar="RULE",
        help="remove this optional rule",
    )
    command.add_argument(
        "--again", action="store_true", help="retry the rules this store has rejected before"
    )


def _consent(command: ArgumentParser) -> None:
    command.add_argument("--apply", action="store_true", help="apply the plan if none of its rules deletes")
    command.add_argument("--approve", default="", metavar="SHA256", help="apply exactly this plan")


def show(args: Namespace) -> int:
    with lifecycle(settings()) as manager:
        document = manager.rules.get()
    current = read(document)
    ours = [parse(id, piece.node) for id, piece in current.ours.items() if piece.node is not None]
    if args.json:
        rules = {
            "ours": [shows.plain(rule) for rule in ours],
            "others": [_raw(piece.raw) for piece in current.foreign],
        }
        output.emit_json(rules | {"bucket": manager.rules.bucket, "sha256": digest(document)})
        return 0
    shows.show_rules(ours, foreign(current))
    shows.show_bypassing(bypassing(foreign(current)))
    return 0


def _raw(rule: bytes) -> str:
    return rule.decode("utf-8", "backslashreplace")


def plan_it(args: Namespace) -> int:
    with lifecycle(settings()) as manager:
        made = plan(manager, args.add, args.drop, again=args.again)
        tell(manager, made, args.json, with_effect=not args.no_effect)
    return _code(made)


def tell(manager: Lifecycle, made: Plan, as_json: bool, *, with_effect: bool = True) -> None:
    """Show the plan and the objects each rule would affect, rules on request included."""
    offers = offered(manager, made)
    rules = [rule for rule in manager.declared() if rule.id in made.wanted or rule.name in offers]
    hits = effect(manager, rules) if with_effect else []
    others = list(bypassing(foreign(made.configuration)))
    if as_json:
        output.emit_json(
            summary(made, offers) | {"effect": list(table(hits)), "beside": list(map(str, others))}
        )
        return
    shows.show_plan(made, offers)
    shows.show_effects(hits)
    shows.show_bypassing(others)


def offered(manager: Lifecycle, made: Plan) -> dict[str, list[Finding]]:
    """Return the rules on request that were not requested, each with the linter's findings on it."""
    wanted, current = list(made.wanted.values()), made.configuration
    optional = [rule for rule in manager.declared() if rule.on_request and rule.id not in made.wanted]
    return {
        rule.name: [
            finding
            for finding in findings(manager, [*wanted, rule], current)
            if rule.id in (finding.id, finding.other)
        ]
        for rule in optional
    }


def summary(made: Plan, offers: Mapping[str, list[Finding]]) -> dict[str, Any]:
    """Return a plan as plain data for JSON output."""

    def named(rule: LifecycleRule | None) -> dict[str, Any] | None:
        return shows.plain(rule) if rule else None

    changes = [
        {"would": change.verb, "id": change.id, "rule": named(change.rule), "was": named(change.was)}
        for change in made.changes
    ]
    return {
        "bucket": made.bucket, "found_sha256": digest(made.found), "sha256": made.sha256,
        "deletes": made.deletes, "findings": list(map(str, made.findings)), "requested": made.requested,
        "changes": changes, "left_out": {id: omission.why for id, omission in made.left_out.items()},
        "on_request": {name: [finding.why for finding in why] for name, why in offers.items()},
    }  # fmt: skip


def apply_it(args: Namespace) -> int:
    with lifecycle(settings()) as manager:
        return _act(manager, plan(manager, args.add, args.drop, again=args.again), args)


def roll_back(args: Namespace) -> int:
    if args.version < 1:
        raise UsageError(f"There is no version {args.version}: versions are numbered from 1.")
    with lifecycle(settings()) as manager:
        return _act(manager, rollback(manager, args.version), args)


def _act(manager: Lifecycle, made: Plan, args: Namespace) -> int:
    """Apply the plan if --apply or --approve was given; otherwise only show it."""
    if not (args.apply or args.approve):
        tell(manager, made, args.json)
        if made.changes and not made.findings:
            output.err.print(f"Nothing was changed. To apply the plan: {_how(made, args)}", soft_wrap=True)
        return _code(made)
    done = apply(manager, made, who(), args.approve)
    if args.json:
        left_out = {id: omission.why for id, omission in done.left_out.items()}
        output.emit_json({"version": done.number, "changed": done.changed, "left_out": left_out})
    else:
        shows.show_applied(done, {rule.id: rule for rule in manager.declared()})
    return 0


def _code(made: Plan) -> int:
    return EXIT_REFUSED if made.findings else EXIT_WAITS if made.deletes else 0


def _how(made: Plan, args: Namespace) -> str:
    """Return the command to run next: the same command with the consent option it needs."""
    words = [f"rollback {args.version}"] if hasattr(args, "version") else ["apply"]
    words += [f"--with {name}" for name in getattr(args, "add", ())]
    words += [f"--without {name}" for name in getattr(args, "drop", ())]
    words.append(f"--approve {made.sha256}" if made.deletes else "--apply")
    return " ".join(["storage lifecycle", *words])


def check(args: Namespace) -> int:
    with lifecycle(settings()) as manager:
        drift(manager, args.json)
    return 0


def drift(manager: Lifecycle, as_json: bool = False) -> None:
    """Show how the bucket's rules differ from the declared ones. Raises LifecycleDrifted if they do."""
    made = plan(manager)
    if not as_json:
        shows.show_plan(made, {})
        shows.show_bypassing(bypassing(foreign(made.configuration)))
    if made.changes:
        raise LifecycleDrifted(", ".join(f"{change.verb} {change.id}" for change in made.changes))
    if as_json:
        output.emit_json(summary(made, {}))


def history(args: Namespace) -> int:
    with lifecycle(settings()) as manager:
        versions = manager.versions.all()
    if args.json:
        output.emit_json([_version(version) for version in versions])
    else:
        shows.show_versions(versions)
    return 0


def _version(version: Any) -> dict[str, Any]:
    return {
        "number": version.number, "state": version.state, "at": version.at, "by": version.by,
        "sha256": version.sha256, "plan_sha256": version.plan_sha256, "requested": version.requested,
        "note": version.note, "left_out": {id: left.why for id, left in version.left_out.items()},
        "document": _raw(version.document),
    }  # fmt: skip
