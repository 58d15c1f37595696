"""Commands of ``storage tier``."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, cast

from rich.table import Column, Table

from storage.cli import output
from storage.cli.common import add_group, add_verb, settings, who
from storage.cold import restore as returning
from storage.cold.actions.transition import TransitionObject
from storage.cold.errors import TierMissing
from storage.cold.journal import PROCESSED
from storage.cold.model import ColdRecord, TierTarget, class_of
from storage.cold.restore import ColdObject
from storage.cold.tier_targets import TierTargets, tier_targets
from storage.core.errors import EXIT_FAILED, UsageError
from storage.core.model import JobId, ObjectInfo, ObjectKey, Outcome, Prefix, owner_of
from storage.core.tiers import TIERS, Tier
from storage.engine import guard
from storage.engine.actions import Work
from storage.installation import Installation, open_installation

SHOWN = 20  # objects listed individually


def add_parser(verbs: Any) -> None:
    """Add ``storage tier VERB`` to the command-line parser."""
    about = "storage tiers (hot, warm, cold): show them, move objects by hand, restore them"
    inner = add_group(verbs, "tier", about)
    add_verb(inner, "status", "show the tiers: contents, objects in transition and stuck", status)
    command = add_verb(inner, "set", "move a job's objects, or one object, to a tier", send)
    command.add_argument("subject", metavar="JOB|KEY")
    command.add_argument("tier", choices=TIERS)
    _consent(command)
    command = add_verb(inner, "restore", "restore objects to hot, and show the cost", restore)
    command.add_argument("subjects", nargs="+", metavar="JOB|KEY")
    _consent(command)
    about = "exempt a job's objects from compression and tiering"
    command = add_verb(inner, "pin", about, pin)
    command.add_argument("job", metavar="JOB")
    command.add_argument("--reason", required=True, help="the reason, recorded with the pin")
    command = add_verb(inner, "unpin", "apply the rules to the job's objects again", pin)
    command.add_argument("job", metavar="JOB")
    command.set_defaults(reason="")


def _consent(command: ArgumentParser) -> None:
    command.add_argument(
        "--apply", action="store_true", help="make the changes; without it they are only listed"
    )


def status(args: Namespace) -> int:
    with open_installation(settings()) as stores:
        found, sent = tier_targets(stores), stores.cold.tiers()
        stuck = list(islice((item for item in stores.cold.moving() if item.tier_state == "stuck"), SHOWN))
    rows = []
    for tier in TIERS[1:]:
        counts = {state: sent.get((tier, state)) for state in ("held", "asked", "stuck")}
        totals = {state: {"count": t.count, "bytes": t.bytes} if t else None for state, t in counts.items()}
        rows.append({"tier": tier, "place": _place(found, tier)} | totals)
    if args.json:
        output.emit_json({"tiers": rows, "stuck": [record.key for record in stuck]})
    else:
        _show_status(rows, stuck)
    return 0


def _place(found: TierTargets, tier: Tier) -> str:
    place = found.by_tier.get(tier)
    if place is None:
        return f"none: {found.why_not(tier)}"
    return f"storage class {place.target}" if place.how == "class" else f"remote tier {place.target}, by tag"


def _show_status(rows: Iterable[dict[str, Any]], stuck: Sequence[ColdRecord]) -> None:
    table = Table("tier", Column("target", overflow="fold"), "objects", "bytes", "in transition", "stuck")
    for row in rows:
        held, asked, left = (row[state] or {"count": 0, "bytes": 0} for state in ("held", "asked", "stuck"))
        counts = (
            f"{held['count']:,}",
            output.size(held["bytes"]),
            f"{asked['count']:,}",
            f"{left['count']:,}",
        )
        table.add_row(row["tier"], output.shown(row["place"]), *counts)
    output.out.print(table)
    for record in stuck:
        since = f"{record.asked_at:%Y-%m-%d %H:%M} UTC" if record.asked_at else "an unknown time"
        line = f"stuck: {output.shown(record.key)} in transition to {record.tier} since {since}"
        output.out.print(line, soft_wrap=True)


def send(args: Namespace) -> int:
    """Move objects with the actions of the nightly job, ignoring the rules' minimum ages."""
    if args.tier == "hot":
        args.subjects = [args.subject]
        return restore(args)
    with open_installation(settings()) as stores:
        found = tier_targets(stores)
        if args.tier not in found.by_tier:
            raise TierMissing(found.why_not(args.tier))
        place = found.by_tier[args.tier]
        actions = list(_actions(_objects(stores, args.subject), place, found, stores))
        done = _transition(actions, stores) if args.apply else []
    summary = [{"key": action.key, "size": action.size, "from": action.reason} for action in actions]
    _tell(args, {"tier": args.tier, "target": place.target, "objects": summary}, done)
    return EXIT_FAILED if any(outcome.status == "failed" for _, outcome in done) else 0


def _actions(
    objects: Iterable[ObjectInfo], place: TierTarget, found: TierTargets, stores: Installation
) -> Iterator[TransitionObject]:
    """Yield actions for objects in warmer tiers. Raises TierMissing for a job not completed or pinned."""
    jobs: dict[JobId, Any] = {}
    for info in objects:
        owner = owner_of(info.key, PROCESSED)
        if owner is None:
            raise TierMissing(f"{info.key!r} belongs to no job; only what is below {PROCESSED} is moved")
        if owner not in jobs:
            jobs[owner] = _settled(owner, stores)
        if TIERS.index(found.tier_of(info.storage_class)) < TIERS.index(place.tier):
            yield TransitionObject(
                key=info.key,
                size=info.size,
                etag=info.etag,
                last_modified=info.last_modified,
                object_class=class_of(info.key),
                tier=place.tier,
                how=place.how,
                target=place.target,
                owner=jobs[owner].id,
                owner_updated_at=jobs[owner].updated_at,
                reason=f"asked for by {who()}; was in {info.storage_class}",
            )


def _settled(owner: JobId, stores: Installation) -> Any:
    job = stores.jobs.get([owner]).get(owner)
    if job is None or job.status != "completed":
        state = f"is {job.status}" if job else "has no row"
        raise TierMissing(f"job {owner} {state}; only objects of completed jobs are moved")
    if why := stores.cold.pins([job.id]).get(job.id):
        raise TierMissing(f"job {job.id} is pinned: {why}. Run `storage tier unpin {job.id}` to unpin it")
    return job


def _transition(actions: Sequence[TransitionObject], stores: Installation) -> list[tuple[str, Outcome]]:
    guard.check_environment(stores, stores.clock())
    stores.audit.record("tier set", "", {"by": who(), "objects": len(actions)})
    done, work, size = [], Work(stores, "tier set", "tier set"), TransitionObject.batch_size.actions
    for first in range(0, len(actions), size):
        batch = actions[first : first + size]
        guard.running(stores)
        done += list(zip((action.key for action in batch), TransitionObject.apply(batch, work), strict=True))
    return done


def restore(args: Namespace) -> int:
    with open_installation(settings()) as stores:
        objects = {info.key: info for subject in args.subjects for info in _objects(stores, subject)}
        found = list(returning.stays(objects.values(), stores, stores.clock()))
        done = _bring_back(found, stores) if args.apply else []
        currency, now = stores.cold_settings.currency, stores.clock()
    if not args.json:
        _show_stays(found, currency, now)
    early = sum(item.early for item in found)
    summary = {
        "objects": found,
        "bytes": sum(item.size for item in found),
        "early": early,
        "currency": currency,
    }
    _tell(args, summary, done)
    return EXIT_FAILED if any(outcome.status == "failed" for _, outcome in done) else 0


def _bring_back(found: Sequence[ColdObject], stores: Installation) -> list[tuple[str, Outcome]]:
    guard.check_environment(stores, stores.clock())
    stores.audit.record("tier restore", "", {"by": who(), "objects": len(found)})
    back = returning.bring_back([item.key for item in found], stores, "tier restore")
    return [(str(key), outcome) for key, outcome in back]


def _objects(stores: Installation, subject: str) -> Iterator[ObjectInfo]:
    """Yield one object by its key, or all objects of a job. Raises UsageError if there are none."""
    if "/" in subject:
        found = stores.objects.head(ObjectKey(subject))
        if found is None:
            raise UsageError(f"There is no object {subject!r}.")
        yield found
        return
    empty = True
    for info in stores.objects.scan(Prefix(f"{PROCESSED}{JobId(subject)}/")):
        empty = False
        yield info
    if empty:
        raise UsageError(
            f"There are no objects below {PROCESSED}{subject}/; name a job, or an object's full key."
        )


def _show_stays(found: Sequence[ColdObject], currency: str, now: Any) -> None:
    table = Table("tier", "objects", "bytes", "held", "minimum duration", "archived", "early-deletion cost")
    for tier in TIERS[1:]:
        some = [item for item in found if item.tier == tier]
        if not some:
            continue
        ages = [f"{(now - item.since).days} days" if item.since else "unknown" for item in some]
        held = ages[0] if len(set(ages)) == 1 else f"{min(ages)} to {max(ages)}"
        archived = sum(item.archived for item in some)
        cost = f"{sum(item.early for item in some):,.2f} {currency}".rstrip()
        least = f"{some[0].minimum.days} days" if some[0].minimum else "none set"
        size = output.size(sum(item.size for item in some))
        table.add_row(tier, f"{len(some):,}", size, held, least, f"{archived:,}", cost)
    output.out.print(table if table.row_count else "All objects are hot.")


def _tell(args: Namespace, summary: dict[str, Any], done: Sequence[tuple[str, Outcome]]) -> None:
    """Report the planned changes, or the outcomes of the applied ones."""
    outcomes = [{"key": key, "status": outcome.status, "detail": outcome.detail} for key, outcome in done]
    if args.json:
        output.emit_json(summary | {"applied": args.apply, "outcomes": outcomes})
        return
    count = len(cast(Sequence[Any], summary["objects"]))
    if not args.apply:
        output.out.print(f"{count:,} objects. Nothing was changed; --apply makes the changes.")
        return
    moved = [outcome for _, outcome in done if outcome.status == "done"]
    asked = sum(outcome.detail.startswith("asked") for outcome in moved)
    later = f", {asked:,} of them still in transition" if asked else ""
    output.out.print(f"{len(moved):,} of {count:,} objects{later}.")
    for key, outcome in [(key, outcome) for key, outcome in done if outcome.status != "done"][:SHOWN]:
        output.out.print(
            f"  {outcome.status}: {output.shown(key)}: {output.shown(outcome.detail)}", soft_wrap=True
        )


def pin(args: Namespace) -> int:
    job = JobId(args.job)
    with open_installation(settings()) as stores:
        row = stores.jobs.get([job]).get(job)
        if args.reason and row is None:
            raise UsageError(f"There is no job {job}.")
        job = row.id if row else job  # as the row spells it
        stores.cold.pin(job, args.reason, who())
        stores.audit.record("pin" if args.reason else "unpin", "", {"job": job, "reason": args.reason})
    text = f"job {job} is pinned: {args.reason}" if args.reason else f"job {job} is no longer pinned"
    if args.json:
        output.emit_json({"job": job, "pinned": args.reason})
    else:
        output.out.print(output.shown(text), soft_wrap=True)
    return 0
