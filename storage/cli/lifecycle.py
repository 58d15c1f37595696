"""What ``storage lifecycle`` does, and its part of the parser."""

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
    """``storage lifecycle VERB``."""
    about = "the bucket's lifecycle rules: declared, compared, applied, put back"
    inner = add_group(verbs, "lifecycle", about)
    add_verb(inner, "show", "the rules the bucket has, ours and others'", show)
    one = add_verb(inner, "plan", "what apply would change, and what the rules would hit", plan_it)
    _choice(one)
    one.add_argument("--no-effect", action="store_true", help="without listing the bucket")
    one = add_verb(inner, "apply", "show the plan; --apply or --approve makes it so", apply_it)
    _choice(one)
    _consent(one)
    add_verb(inner, "check", "exit 1 when the bucket's rules are not the declared ones", check)
    add_verb(inner, "history", "every configuration that stood", history)
    one = add_verb(inner, "rollback", "put our rules of a version back, beside others' of today", roll_back)
    one.add_argument("version", type=int, metavar="N")
    _consent(one)


def _choice(one: ArgumentParser) -> None:
    one.add_argument("--with", dest="add", action="append", default=[], metavar="RULE", help="also this one")
    one.add_argument("--without", dest="drop", action="append", default=[], metavar="RULE", help="not it")
    one.add_argument("--again", action="store_true", help="try again what this store did not take")


def _consent(one: ArgumentParser) -> None:
    one.add_argument("--apply", action="store_true", help="make it so, where nothing is deleted by it")
    one.add_argument("--approve", default="", metavar="SHA256", help="make exactly this plan so")


def show(args: Namespace) -> int:
    with lifecycle(settings()) as manager:
        document = manager.rules.get()
    there = read(document)
    ours = [parse(id, piece.node) for id, piece in there.ours.items() if piece.node is not None]
    if args.json:
        rules = {"ours": [shows.plain(one) for one in ours], "others": [_raw(p.raw) for p in there.foreign]}
        output.emit_json(rules | {"bucket": manager.rules.bucket, "sha256": digest(document)})
        return 0
    shows.show_rules(ours, foreign(there))
    shows.show_bypassing(bypassing(foreign(there)))
    return 0


def _raw(rule: bytes) -> str:
    return rule.decode("utf-8", "backslashreplace")


def plan_it(args: Namespace) -> int:
    with lifecycle(settings()) as manager:
        made = plan(manager, args.add, args.drop, again=args.again)
        tell(manager, made, args.json, with_effect=not args.no_effect)
    return _code(made)


def tell(manager: Lifecycle, made: Plan, as_json: bool, *, with_effect: bool = True) -> None:
    """The plan, with what each rule would hit, those on request too."""
    offers = offered(manager, made)
    asked = [one for one in manager.declared() if one.id in made.wanted or one.name in offers]
    hits = effect(manager, asked) if with_effect else []
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
    """The rules on request that nobody asked for, and what the linter would say to each."""
    wanted, there = list(made.wanted.values()), made.configuration
    open_ones = [one for one in manager.declared() if one.on_request and one.id not in made.wanted]
    return {
        one.name: [why for why in findings(manager, [*wanted, one], there) if one.id in (why.id, why.other)]
        for one in open_ones
    }


def summary(made: Plan, offers: Mapping[str, list[Finding]]) -> dict[str, Any]:
    """A plan for programs."""

    def named(rule: LifecycleRule | None) -> dict[str, Any] | None:
        return shows.plain(rule) if rule else None

    changes = [
        {"would": one.verb, "id": one.id, "rule": named(one.rule), "was": named(one.was)}
        for one in made.changes
    ]
    return {
        "bucket": made.bucket, "found_sha256": digest(made.found), "sha256": made.sha256,
        "deletes": made.deletes, "findings": list(map(str, made.findings)), "requested": made.requested,
        "changes": changes, "left_out": {id: one.why for id, one in made.left_out.items()},
        "on_request": {name: [one.why for one in why] for name, why in offers.items()},
    }  # fmt: skip


def apply_it(args: Namespace) -> int:
    with lifecycle(settings()) as manager:
        return _act(manager, plan(manager, args.add, args.drop, again=args.again), args)


def roll_back(args: Namespace) -> int:
    if args.version < 1:
        raise UsageError(f"Version {args.version}: they are numbered from 1.")
    with lifecycle(settings()) as manager:
        return _act(manager, rollback(manager, args.version), args)


def _act(manager: Lifecycle, made: Plan, args: Namespace) -> int:
    """Only show it, unless a person said what to do."""
    if not (args.apply or args.approve):
        tell(manager, made, args.json)
        if made.changes and not made.findings:
            output.err.print(f"Nothing was changed. To make it so: {_how(made, args)}", soft_wrap=True)
        return _code(made)
    done = apply(manager, made, who(), args.approve)
    if args.json:
        left_out = {id: one.why for id, one in done.left_out.items()}
        output.emit_json({"version": done.number, "changed": done.changed, "left_out": left_out})
    else:
        shows.show_applied(done, {one.id: one for one in manager.declared()})
    return 0


def _code(made: Plan) -> int:
    return EXIT_REFUSED if made.findings else EXIT_WAITS if made.deletes else 0


def _how(made: Plan, args: Namespace) -> str:
    """The same command once more, with the consent it needs."""
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
    """Show how the bucket differs from what is declared. Raises LifecycleDrifted where it does."""
    made = plan(manager)
    if not as_json:
        shows.show_plan(made, {})
        shows.show_bypassing(bypassing(foreign(made.configuration)))
    if made.changes:
        raise LifecycleDrifted(", ".join(f"{one.verb} {one.id}" for one in made.changes))
    if as_json:
        output.emit_json(summary(made, {}))


def history(args: Namespace) -> int:
    with lifecycle(settings()) as manager:
        versions = manager.versions.all()
    if args.json:
        output.emit_json([_version(one) for one in versions])
    else:
        shows.show_versions(versions)
    return 0


def _version(one: Any) -> dict[str, Any]:
    return {
        "number": one.number, "state": one.state, "at": one.at, "by": one.by, "sha256": one.sha256,
        "plan_sha256": one.plan_sha256, "requested": one.requested, "note": one.note,
        "left_out": {id: left.why for id, left in one.left_out.items()}, "document": _raw(one.document),
    }  # fmt: skip
