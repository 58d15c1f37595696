"""Difference between the declared rules and those of the bucket, and the effect of applying it. Pure."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from storage.core.model import ObjectInfo, Totals, UploadInfo
from storage.lifecycle.document import Configuration, Node
from storage.lifecycle.lint import Finding
from storage.lifecycle.ports import LeftOut
from storage.lifecycle.rules import DAY, Act, LifecycleRule
from storage.lifecycle.xml import parse, render

HORIZONS = (0, 30, 90)  # days from tonight


@dataclass(frozen=True, slots=True)
class Change:
    """Rule of ours that is added to, changed in, or removed from the bucket."""

    verb: Literal["add", "change", "remove"]
    id: str
    rule: LifecycleRule | None = None
    was: LifecycleRule | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Changes to apply, and the configuration they start from (``found``, as it was read).

    ``left_out``: declared rules that this store did not accept or keep when they were last tried.
    """

    bucket: str
    found: bytes | None
    configuration: Configuration
    wanted: Mapping[str, LifecycleRule]
    changes: tuple[Change, ...]
    findings: tuple[Finding, ...] = ()
    left_out: Mapping[str, LeftOut] = field(default_factory=dict)
    requested: tuple[str, ...] = ()

    @property
    def deletes(self) -> bool:
        """Return True if an added or changed rule deletes objects or versions."""
        return any(change.rule is not None and change.rule.deletes for change in self.changes)

    @property
    def sha256(self) -> str:
        """Hash the bucket, the configuration found and every change: an approval holds for exactly these."""
        changes = [[one.verb, one.id, render(one.rule).decode() if one.rule else ""] for one in self.changes]
        said = json.dumps([self.bucket, digest(self.found), changes, list(self.requested)])
        return hashlib.sha256(said.encode()).hexdigest()

    def raw(self, without: Iterable[str] = ()) -> dict[str, bytes]:
        """Return our rules as they are to be stored, by id; an unchanged rule keeps its bytes.

        Rules in ``without`` keep their current form, or stay absent.
        """
        there, changed = self.configuration.ours, {change.id for change in self.changes} - set(without)
        stand: dict[str, bytes] = {}
        for id in [*there, *(id for id in self.wanted if id not in there)]:
            if id in changed and id in self.wanted:
                stand[id] = render(self.wanted[id], self.configuration.space)
            elif id not in changed and id in there:
                stand[id] = there[id].raw
        return stand


def digest(document: bytes | None) -> str:
    return hashlib.sha256(document or b"").hexdigest()


def form(rule: LifecycleRule) -> str:
    """Hash a rule's XML, which is what a store accepts or refuses."""
    return digest(render(rule))


def difference(
    configuration: Configuration, wanted: Sequence[LifecycleRule], untouched: Iterable[str] = ()
) -> tuple[Change, ...]:
    """Return the changes that bring our rules in the bucket to the declared ones, in declaration order."""
    current = {id: parse(id, _node(piece.node)) for id, piece in configuration.ours.items()}
    twice = {id for id, count in Counter(rule.id for rule in configuration.rules).items() if count > 1}
    changes = [
        Change("change" if one.id in current else "add", one.id, one, current.get(one.id))
        for one in wanted
        if one.id not in current or not current[one.id].same(one) or one.id in twice
    ]
    keep = {one.id for one in wanted} | set(untouched)
    return (*changes, *(Change("remove", id, None, was) for id, was in current.items() if id not in keep))


def foreign(configuration: Configuration) -> list[LifecycleRule]:
    """Parse the rules of others, as far as they are understood."""
    return [parse(piece.id, _node(piece.node)) for piece in configuration.foreign]


def _node(node: Node | None) -> Node:
    assert node is not None
    return node


# --- effect of the rules ---------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Effect:
    """Part of today's bucket that a rule would affect by tonight (UTC midnight), and 30 and 90 days later.

    ``note`` says what the listing does not show.
    """

    id: str
    does: str
    hits: tuple[Totals, ...]
    note: str = ""


def effects(
    rules: Sequence[LifecycleRule],
    listing: Iterable[ObjectInfo],
    uploads: Iterable[UploadInfo],
    as_of: datetime,
) -> list[Effect]:
    """Compute the effects of all rules in one pass over the listing."""
    tonight = as_of.replace(hour=0, minute=0, second=0, microsecond=0) + DAY
    counters = [_Counter(one, act, tonight) for one in rules if one.enabled for act in one.acts]
    of_objects = [one for one in counters if one.act.verb in ("expire", "transition", "noncurrent")]
    for info in listing:
        for counter in of_objects:
            counter.see(info)
    of_uploads = [one for one in counters if one.act.verb == "abort"]
    for upload in uploads if of_uploads else ():
        for counter in of_uploads:
            counter.count(upload.initiated, 0, 1)
    return [counter.effect() for counter in counters]


_NOTES: Mapping[str, str] = {
    "noncurrent": "at most: a listing shows neither their age nor their size",
    "abort": "their size is unknown",
    "markers": "delete markers are not counted",
}


class _Counter:
    """Counter of one action's effect: an object is due if it is older than the horizon less the days."""

    def __init__(self, rule: LifecycleRule, act: Act, tonight: datetime) -> None:
        self.rule, self.act = rule, act
        days = 0 if act.days is None or act.verb == "noncurrent" else act.days
        self._cuts = [tonight + DAY * (ahead - days) for ahead in HORIZONS]
        self._counts, self._bytes = [0] * len(HORIZONS), [0] * len(HORIZONS)

    def see(self, info: ObjectInfo) -> None:
        rule, size = self.rule, info.size
        if not info.key.startswith(rule.prefix) or info.storage_class == self.act.target:
            return
        if (rule.larger is not None and size <= rule.larger) or (
            rule.smaller is not None and size >= rule.smaller
        ):
            return
        if self.act.verb == "noncurrent":
            self.count(info.last_modified, 0, max(0, len(info.versions) - 1))
        else:
            self.count(info.last_modified, size, 1)

    def count(self, since: datetime, size: int, things: int) -> None:
        for number, cut in enumerate(self._cuts):
            if since < cut:
                self._counts[number] += things
                self._bytes[number] += size

    def effect(self) -> Effect:
        hits = tuple(map(Totals, self._counts, self._bytes))
        note = "at most: a listing shows no tags" if self.rule.tags else _NOTES.get(self.act.verb, "")
        return Effect(self.rule.id, str(self.act), hits, note)


def table(found: Iterable[Effect]) -> Iterator[dict[str, Any]]:
    """Yield effects as plain values, for programs."""
    for one in found:
        hits = {
            f"in_{ahead}_days" if ahead else "tonight": {"objects": hit.count, "bytes": hit.bytes}
            for ahead, hit in zip(HORIZONS, one.hits, strict=True)
        }
        yield {"rule": one.id, "does": one.does, "note": one.note} | hits
