"""Linter for a set of lifecycle rules, run before any store receives it. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta

from storage.core.capabilities import Capabilities
from storage.core.errors import InvalidName
from storage.core.model import PROTECTED_PREFIXES, Prefix
from storage.core.tiers import ARCHIVED, ColdSettings
from storage.lifecycle.rules import S3_CLASSES, Act, LifecycleRule

MOST_DAYS, LONGEST_ID = 36_500, 255
FAILED_DAYS = 7  # the documents promise to keep a failed job's files for as long
#: Verbs that affect no object: only parts of unfinished uploads, and expired delete markers.
_HARMLESS = ("abort", "markers")


@dataclass(frozen=True, slots=True)
class Finding:
    """Reason why a rule is refused. ``other``: the id of the rule it conflicts with."""

    id: str
    why: str
    other: str = ""

    def __str__(self) -> str:
        return f"{self.id}: {self.why}"


def lint(
    rules: Sequence[LifecycleRule],
    foreign: Sequence[LifecycleRule],
    cold_settings: ColdSettings,
    capabilities: Capabilities,
) -> list[Finding]:
    """Return all findings on ``rules``: each alone, in combination, and beside those of others."""
    found = [Finding(one.id, why) for one in rules for why in _alone(one, cold_settings, capabilities)]
    found += _twice(rules)
    active = [one for one in (*rules, *foreign) if one.enabled]
    for one in rules:
        found += [
            Finding(one.id, why, other.id)
            for other in active
            if other is not one
            for why in _together(other, one)
        ]
    return found


def bypassing(foreign: Iterable[LifecycleRule]) -> Iterator[Finding]:
    """Yield others' rules that delete job files without the platform's knowledge; they are not refused."""
    for one in foreign:
        acts = [act for act in one.acts if act.verb in ("expire", "noncurrent")]
        if one.enabled and acts:
            where = f"below {one.prefix}" if one.prefix else "in the whole bucket"
            yield Finding(one.id or "(no id)", f"{acts[0]} {where}, and the pipeline's rows are not updated")


def _alone(one: LifecycleRule, cold_settings: ColdSettings, capabilities: Capabilities) -> Iterator[str]:
    if not one.id or len(one.id) > LONGEST_ID:
        yield f"an id must have 1 to {LONGEST_ID} characters"
    if not one.acts:
        yield "it has no action"
    yield from _where(one)
    for act in one.acts:
        yield from _days(one, act)
        if act.verb == "transition":
            yield from _target(one, act, cold_settings, capabilities)
        if act.verb == "expire":
            yield from _promises(one, act)


def _where(one: LifecycleRule) -> Iterator[str]:
    verbs = {act.verb for act in one.acts}
    if verbs <= set(_HARMLESS) and not one.prefix:
        return
    if one.everything:
        yield "without prefix and tag it acts on the whole bucket"
    elif not one.prefix and verbs != {"transition"}:
        yield "a tag alone, which any client may set, is not enough to delete by: name a prefix"
    if one.prefix:
        try:
            Prefix(one.prefix)
        except InvalidName:
            yield f"the prefix {one.prefix!r} is not a folder that ends in '/': it also matches longer names"
    if one.prefix:
        for kept in PROTECTED_PREFIXES:
            if one.prefix.startswith(kept) or kept.startswith(one.prefix):
                yield f"{kept} is protected"


def _days(one: LifecycleRule, act: Act) -> Iterator[str]:
    if act.verb == "markers":
        return
    days = act.days
    if act.date or not isinstance(days, int) or isinstance(days, bool):
        yield f"{act.verb} needs a whole number of days"
    elif days < 0 or days > MOST_DAYS:
        yield f"{days} days: it must be 0 to {MOST_DAYS}"
    elif days == 0 and act.verb != "transition":
        yield f"{act.verb} after 0 days is at once, and some clients omit the days for it"
    elif days == 0 and not one.tags:
        yield "a transition after 0 days and without a tag moves objects that were just written"


def _target(
    one: LifecycleRule, act: Act, cold_settings: ColdSettings, capabilities: Capabilities
) -> Iterator[str]:
    known = set(capabilities.storage_classes) | set(cold_settings.tiers.values())
    if not re.fullmatch(r"[A-Z0-9_-]{1,64}", act.target):
        yield f"{act.target!r} is not a name of a storage class or tier: use upper case, digits, '_' and '-'"
    elif act.target not in known:
        kind = "storage class" if act.target in S3_CLASSES else "tier"
        seen = "was not proven by the probe of this store" if capabilities.server else "was not probed yet"
        yield f"the {kind} {act.target} {seen}, and STORAGE_TIERS does not name it"
    if act.target in ARCHIVED and not one.tags and act.days is not None:
        yield from _archives_uncompressed(one, act.days, cold_settings)


def _archives_uncompressed(one: LifecycleRule, days: int, cold_settings: ColdSettings) -> Iterator[str]:
    """Refuse to archive before compressing: an archived object cannot be read, and so not compressed."""
    late = sorted(
        name
        for name, rule in cold_settings.rules.items()
        if rule.compress is not None and rule.compress >= timedelta(days=days)
    )
    if late and ("processed/".startswith(one.prefix) or one.prefix.startswith("processed/")):
        yield (
            f"it archives after {days} days classes that are compressed no sooner ({', '.join(late)}), and "
            "archived objects cannot be read to be compressed. Set compress= earlier, or never, in "
            "STORAGE_COLD_RULES"
        )


def _promises(one: LifecycleRule, act: Act) -> Iterator[str]:
    if not one.on_request:
        yield "it deletes objects outside the engine (no re-check, no undo): it must be on request"
    if one.prefix.startswith("failed/") and act.days is not None and act.days < FAILED_DAYS:
        yield f"files of failed jobs are promised for {FAILED_DAYS} days, but it deletes after {act.days}"


def _twice(rules: Sequence[LifecycleRule]) -> Iterator[Finding]:
    for id, count in Counter(one.id for one in rules).items():
        if count > 1:
            yield Finding(id, f"{count} rules have this id")


def _together(other: LifecycleRule, one: LifecycleRule) -> Iterator[str]:
    """Yield why ``one`` never acts, or conflicts with ``other``."""
    for theirs in other.acts:
        for mine in one.acts:
            if theirs.date or theirs.days is None or mine.days is None:
                continue
            if _shadows(other, theirs, one, mine):
                where = f"below {other.prefix}" if other.prefix else "in the whole bucket"
                first = f"{other.id} deletes {where} after {theirs.days}"
                yield f"no object lives to its {mine.days} days: {first}"
            elif _contradicts(other, theirs, one, mine):
                yield f"{other.id} moves the same objects to {theirs.target} after the same {mine.days} days"


def _shadows(other: LifecycleRule, theirs: Act, one: LifecycleRule, mine: Act) -> bool:
    assert theirs.days is not None and mine.days is not None
    return (
        theirs.verb == "expire"
        and mine.verb in ("expire", "transition")
        and other.covers(one)
        and theirs.days <= mine.days
        and (mine.verb, mine.days) != ("transition", 0)
    )


def _contradicts(other: LifecycleRule, theirs: Act, one: LifecycleRule, mine: Act) -> bool:
    both = theirs.verb == mine.verb == "transition" and theirs.target != mine.target
    return both and theirs.days == mine.days and (other.covers(one) or one.covers(other))
