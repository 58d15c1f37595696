"""What ``storage tier`` does, and its part of the parser."""

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

SHOWN = 20  # objects told of one by one


def add_parser(verbs: Any) -> None:
    """``storage tier VERB``."""
    about = "where objects are kept: hot, warm, cold; move them by hand, bring them back"
    inner = add_group(verbs, "tier", about)
    add_verb(inner, "status", "the tiers there are, what is in them, on its way, or stuck", status)
    one = add_verb(inner, "set", "send a job's objects, or one object, to a tier", send)
    one.add_argument("subject", metavar="JOB|KEY")
    one.add_argument("tier", choices=TIERS)
    _consent(one)
    one = add_verb(inner, "restore", "bring objects back to hot, and what that costs", restore)
    one.add_argument("subjects", nargs="+", metavar="JOB|KEY")
    _consent(one)
    one = add_verb(inner, "pin", "keep a job's objects as they are: neither compressed nor moved", pin)
    one.add_argument("job", metavar="JOB")
    one.add_argument("--reason", required=True, help="why, for those who wonder later")
    one = add_verb(inner, "unpin", "let the rules decide on the job's objects again", pin)
    one.add_argument("job", metavar="JOB")
    one.set_defaults(reason="")


def _consent(one: ArgumentParser) -> None:
    one.add_argument("--apply", action="store_true", help="do it; without, it is only shown")


def status(args: Namespace) -> int:
    with open_installation(settings()) as stores:
        found, sent = tier_targets(stores), stores.cold.tiers()
        stuck = list(islice((one for one in stores.cold.moving() if one.tier_state == "stuck"), SHOWN))
    rows = []
    for tier in TIERS[1:]:
        counts = {state: sent.get((tier, state)) for state in ("held", "asked", "stuck")}
        totals = {state: {"count": t.count, "bytes": t.bytes} if t else None for state, t in counts.items()}
        rows.append({"tier": tier, "place": _place(found, tier)} | totals)
    if args.json:
        output.emit_json({"tiers": rows, "stuck": [one.key for one in stuck]})
    else:
        _show_status(rows, stuck)
    return 0


def _place(found: TierTargets, tier: Tier) -> str:
    place = found.by_tier.get(tier)
    if place is None:
        return f"none: {found.why_not(tier)}"
    return f"storage class {place.target}" if place.how == "class" else f"remote tier {place.target}, by tag"


def _show_status(rows: Iterable[dict[str, Any]], stuck: Sequence[ColdRecord]) -> None:
    table = Table("tier", Column("where", overflow="fold"), "objects", "bytes", "on their way", "stuck")
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
    for one in stuck:
        since = f"{one.asked_at:%Y-%m-%d %H:%M} UTC" if one.asked_at else "an unknown time"
        words = f"stuck: {output.shown(one.key)} on its way to {one.tier} since {since}"
        output.out.print(words, soft_wrap=True)


def send(args: Namespace) -> int:
    """By the same actions as at night, whatever the rules say of ages."""
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
    summary = [{"key": one.key, "size": one.size, "from": one.reason} for one in actions]
    _tell(args, {"tier": args.tier, "target": place.target, "objects": summary}, done)
    return EXIT_FAILED if any(one.status == "failed" for _, one in done) else 0


def _actions(
    objects: Iterable[ObjectInfo], place: TierTarget, found: TierTargets, stores: Installation
) -> Iterator[TransitionObject]:
    """For those that are warmer now. Raises TierMissing for a job that is at work, or pinned."""
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
                owner=owner,
                owner_updated_at=jobs[owner].updated_at,
                reason=f"asked for by {who()}; was in {info.storage_class}",
            )


def _settled(owner: JobId, stores: Installation) -> Any:
    job = stores.jobs.get([owner]).get(owner)
    if job is None or job.status != "completed":
        state = f"is {job.status}" if job else "has no row"
        raise TierMissing(f"job {owner} {state}; only objects of completed jobs are moved")
    if why := stores.cold.pins([owner]).get(owner):
        raise TierMissing(f"job {owner} is pinned: {why}. `storage tier unpin {owner}` lifts that")
    return job


def _transition(actions: Sequence[TransitionObject], stores: Installation) -> list[tuple[str, Outcome]]:
    guard.check_environment(stores, stores.clock())
    stores.audit.record("tier set", "", {"by": who(), "objects": len(actions)})
    done, work, size = [], Work(stores, "tier set", "tier set"), TransitionObject.batch_size.actions
    for first in range(0, len(actions), size):
        batch = actions[first : first + size]
        guard.running(stores)
        done += list(zip((one.key for one in batch), TransitionObject.apply(batch, work), strict=True))
    return done


def restore(args: Namespace) -> int:
    with open_installation(settings()) as stores:
        objects = {info.key: info for subject in args.subjects for info in _objects(stores, subject)}
        found = list(returning.stays(objects.values(), stores, stores.clock()))
        done = _bring_back(found, stores) if args.apply else []
        currency, now = stores.cold_settings.currency, stores.clock()
    if not args.json:
        _show_stays(found, currency, now)
    early = sum(one.early for one in found)
    summary = {
        "objects": found,
        "bytes": sum(one.size for one in found),
        "early": early,
        "currency": currency,
    }
    _tell(args, summary, done)
    return EXIT_FAILED if any(one.status == "failed" for _, one in done) else 0


def _bring_back(found: Sequence[ColdObject], stores: Installation) -> list[tuple[str, Outcome]]:
    guard.check_environment(stores, stores.clock())
    stores.audit.record("tier restore", "", {"by": who(), "objects": len(found)})
    back = returning.bring_back([one.key for one in found], stores, "tier restore")
    return [(str(key), outcome) for key, outcome in back]


def _objects(stores: Installation, subject: str) -> Iterator[ObjectInfo]:
    """One object by its key, or all of a job. Raises UsageError where there is none."""
    if "/" in subject:
        one = stores.objects.head(ObjectKey(subject))
        if one is None:
            raise UsageError(f"There is no object {subject!r}.")
        yield one
        return
    none = True
    for info in stores.objects.scan(Prefix(f"{PROCESSED}{JobId(subject)}/")):
        none = False
        yield info
    if none:
        raise UsageError(
            f"There is nothing below {PROCESSED}{subject}/; name a job, or an object's whole key."
        )


def _show_stays(found: Sequence[ColdObject], currency: str, now: Any) -> None:
    table = Table("tier", "objects", "bytes", "held", "least time", "to be asked back", "early leave costs")
    for tier in TIERS[1:]:
        some = [one for one in found if one.tier == tier]
        if not some:
            continue
        ages = [f"{(now - one.since).days} days" if one.since else "unknown" for one in some]
        held = ages[0] if len(set(ages)) == 1 else f"{min(ages)} to {max(ages)}"
        archived = sum(one.archived for one in some)
        cost = f"{sum(one.early for one in some):,.2f} {currency}".rstrip()
        least = f"{some[0].minimum.days} days" if some[0].minimum else "none set"
        size = output.size(sum(one.size for one in some))
        table.add_row(tier, f"{len(some):,}", size, held, least, f"{archived:,}", cost)
    output.out.print(table if table.row_count else "All of it is hot.")


def _tell(args: Namespace, summary: dict[str, Any], done: Sequence[tuple[str, Outcome]]) -> None:
    """What would be done, or was."""
    outcomes = [{"key": key, "status": one.status, "detail": one.detail} for key, one in done]
    if args.json:
        output.emit_json(summary | {"applied": args.apply, "outcomes": outcomes})
        return
    count = len(cast(Sequence[Any], summary["objects"]))
    if not args.apply:
        output.out.print(f"{count:,} objects. Nothing was changed; --apply does it.")
        return
    moved = [one for _, one in done if one.status == "done"]
    asked = sum(one.detail.startswith("asked") for one in moved)
    later = f", {asked:,} of them still on their way" if asked else ""
    output.out.print(f"{len(moved):,} of {count:,} objects{later}.")
    for key, one in [(key, one) for key, one in done if one.status != "done"][:SHOWN]:
        output.out.print(f"  {one.status}: {output.shown(key)}: {output.shown(one.detail)}", soft_wrap=True)


def pin(args: Namespace) -> int:
    job = JobId(args.job)
    with open_installation(settings()) as stores:
        if args.reason and job not in stores.jobs.get([job]):
            raise UsageError(f"There is no job {job}.")
        stores.cold.pin(job, args.reason, who())
        stores.audit.record("pin" if args.reason else "unpin", "", {"job": job, "reason": args.reason})
    words = f"job {job} stays as it is: {args.reason}" if args.reason else f"job {job} is no longer pinned"
    if args.json:
        output.emit_json({"job": job, "pinned": args.reason})
    else:
        output.out.print(output.shown(words), soft_wrap=True)
    return 0
