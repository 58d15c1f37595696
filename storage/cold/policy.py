"""Policy that compresses objects of completed jobs and moves them to a colder tier, from one listing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice

from storage.cold.actions.compress import CompressObject
from storage.cold.actions.follow import FollowObject
from storage.cold.actions.transition import TransitionObject
from storage.cold.model import ColdRecord, class_of, codec_for
from storage.cold.ports import ColdStores
from storage.cold.tier_targets import TierTargets, tier_targets
from storage.core.model import Job, ObjectInfo, Owned, Prefix, owner_of
from storage.core.tiers import CLASSES, TIERS, ObjectClass, Rule, Tier
from storage.engine.actions import Action, Keep
from storage.engine.policy import LOOK_UP, span, with_jobs

PROCESSED = Prefix("processed/")
TINY = 1 << 10  # bytes; compressing smaller objects saves nothing noticeable
GIB = 1 << 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """Object of a job, with all inputs of the decision. ``targets``: the tier targets of the store."""

    thing: Owned
    rule: Rule
    object_class: ObjectClass
    targets: TierTargets
    record: ColdRecord | None = None
    read_at: datetime | None = None
    pinned: str = ""

    @property
    def info(self) -> ObjectInfo:
        assert isinstance(self.thing.thing, ObjectInfo)
        return self.thing.thing


@dataclass
class Budget:
    """Bytes left to plan in this run. The first object always fits, or a large one would wait forever."""

    bytes: int
    spent: int = 0

    def take(self, size: int) -> bool:
        fits = self.spent == 0 or self.spent + size <= self.bytes
        self.spent += size if fits else 0
        return fits


@dataclass(frozen=True, kw_only=True)
class ColdObjects:
    """Policy for objects of completed jobs that were not read for long: compress, then move.

    The rule of each object's class decides; ``older_than`` excludes younger objects whatever the rules say.
    """

    older_than: timedelta = timedelta()
    classes: tuple[str, ...] = CLASSES
    budget: int = 1 << 60
    steps: tuple[str, ...] = ("compress", "transition")
    prefixes: tuple[Prefix, ...] = field(default=(PROCESSED,))

    def select(self, stores: ColdStores, as_of: datetime) -> Iterator[Candidate | ColdRecord]:
        """Yield the unconfirmed transitions of earlier runs, then the objects of one listing."""
        if "transition" in self.steps:
            yield from stores.cold.moving()
        found = tier_targets(stores)
        for prefix in self.prefixes:
            things = with_jobs(
                stores.objects.scan(prefix), lambda info: owner_of(info.key, PROCESSED), stores
            )
            while chunk := list(islice(things, LOOK_UP)):
                yield from _candidates(chunk, stores, found)

    def plan(
        self, items: Iterable[Candidate | ColdRecord], as_of: datetime
    ) -> Iterator[Action[ColdStores] | Keep]:
        """Plan in chunks, compression before moves, so that an object is smaller when it moves."""
        budget, stream = Budget(self.budget), iter(items)
        while chunk := list(islice(stream, LOOK_UP)):
            moves: list[Action[ColdStores] | Keep] = []
            for item in chunk:
                if isinstance(item, ColdRecord):
                    yield _follow(item)
                    continue
                decided = list(self._decide(item, as_of, budget))
                yield from (one for one in decided if not isinstance(one, TransitionObject))
                moves += [one for one in decided if isinstance(one, TransitionObject)]
            yield from moves

    def _decide(
        self, item: Candidate, as_of: datetime, budget: Budget
    ) -> Iterator[Action[ColdStores] | Keep]:
        """Yield one or two actions, or one Keep."""
        info = item.info
        if why := self._left_alone(item):
            yield Keep(info.key, info.size, why)
            return
        assert item.thing.job
        idle = as_of - _last_use(item)
        why_not_compressed = self._not_compressed(item, idle)
        tier, why_not_moved = self._where(item, idle)
        wanted = (not why_not_compressed) + (not why_not_moved)
        if not wanted:
            why = " and ".join(dict.fromkeys((why_not_compressed, why_not_moved)))
            yield Keep(info.key, info.size, why)
        elif not budget.take(info.size * wanted):
            yield Keep(info.key, info.size, "the bytes allowed for one night are spent")
        else:
            if not why_not_compressed:
                yield _compress(item, item.thing.job, idle)
            if not why_not_moved:
                first = not why_not_compressed
                yield _transition(item, item.thing.job, tier, idle, compress_first=first)

    def _left_alone(self, item: Candidate) -> str:
        """Return why the object is neither compressed nor moved; '' if the rules apply to it."""
        owner, job = item.thing.owner, item.thing.job
        if owner is None:
            return "belongs to no job"
        if job is None:
            return f"job {owner} has no row"
        if job.status != "completed":
            return f"job {owner} is {job.status}"
        if not job.ended:
            return job.unended
        if item.pinned:
            return f"job {owner} is pinned: {item.pinned}"
        return "" if item.object_class in self.classes else f"class {item.object_class} is not selected"

    def _not_compressed(self, item: Candidate, idle: timedelta) -> str:
        """Return why the object is not compressed in this run; '' if it is."""
        info, record, age = item.info, item.record, item.rule.compress
        if "compress" not in self.steps:
            return "compressing is not selected"
        if age is None:
            return f"{item.object_class} is never compressed"
        if idle < (least := max(age, self.older_than)):
            return f"used {span(idle)} ago, compressed after {span(least)}"
        if record and record.etag == info.etag and record.compression:
            return record.skipped or "compressed already"
        if info.size < TINY and not _begun(item):
            return "too small to be compressed"
        return "" if _tier(item) == "hot" else f"in {_tier(item)}, and not read back to compress it"

    def _where(self, item: Candidate, idle: timedelta) -> tuple[Tier, str]:
        """Return the target tier, and why the object does not move there in this run ('' if it does)."""
        info, rule, record = item.info, item.rule, item.record
        wanted = _wanted(rule, idle, self.older_than)
        if "transition" not in self.steps:
            return wanted, "moving is not selected"
        if wanted == "hot":
            return wanted, f"used {span(idle)} ago, not yet moved"
        if TIERS.index(_tier(item)) >= TIERS.index(wanted):
            return wanted, f"{_tier(item)} already"
        if wanted not in item.targets.by_tier:
            return wanted, item.targets.why_not(wanted)
        if record and record.etag == info.etag and record.tier_state in ("asked", "stuck"):
            return wanted, f"on its way to {record.tier}"
        return wanted, f"too small for {wanted}" if info.size < rule.smallest else ""


def _follow(record: ColdRecord) -> FollowObject:
    since = f"{record.asked_at:%Y-%m-%d %H:%M} UTC" if record.asked_at else "in an earlier run"
    return FollowObject(
        key=record.key, size=record.size, tier=record.tier, reason=f"asked to move to {record.tier}, {since}"
    )


def _candidates(chunk: list[Owned], stores: ColdStores, found: TierTargets) -> Iterator[Candidate]:
    keys = [owned.thing.key for owned in chunk if isinstance(owned.thing, ObjectInfo)]
    records, reads = stores.cold.get_records(keys), stores.cold.accessed(keys)
    pins = stores.cold.pins({owned.owner for owned in chunk if owned.owner})
    for owned, key in zip(chunk, keys, strict=True):
        kind = class_of(key)
        yield Candidate(
            thing=owned,
            rule=stores.cold_settings.rules[kind],
            object_class=kind,
            targets=found,
            record=records.get(key),
            read_at=reads.get(key),
            pinned=pins.get(owned.owner, "") if owned.owner else "",
        )


def _last_use(item: Candidate) -> datetime:
    job = item.thing.job
    assert job
    ended = job.completed_at or job.updated_at
    assert ended, "an object of a job without times is left alone"
    return max(ended, item.read_at) if item.read_at else ended


def _begun(item: Candidate) -> bool:
    """Return True if an earlier run began on another form without a result: it may have made this one."""
    record = item.record
    return record is not None and not record.compression and record.etag != item.info.etag


def _tier(item: Candidate) -> Tier:
    """Return the object's current tier, by the storage class the listing shows."""
    return item.targets.tier_of(item.info.storage_class)


def _wanted(rule: Rule, idle: timedelta, older_than: timedelta) -> Tier:
    ages: Mapping[Tier, timedelta | None] = {"cold": rule.cold, "warm": rule.warm}
    for tier, age in ages.items():
        if age is not None and idle >= max(age, older_than):
            return tier
    return "hot"


def _compress(item: Candidate, job: Job, idle: timedelta) -> CompressObject:
    info = item.info
    return CompressObject(
        key=info.key,
        size=info.size,
        etag=info.etag,
        last_modified=info.last_modified,
        codec=codec_for(info.key, item.rule),
        level=item.rule.level,
        object_class=item.object_class,
        owner=job.id,
        owner_updated_at=job.updated_at,
        reason=f"{item.object_class} of a job completed and not read for {span(idle)}",
    )


def _transition(
    item: Candidate, job: Job, tier: Tier, idle: timedelta, *, compress_first: bool
) -> TransitionObject:
    info, place = item.info, item.targets.by_tier[tier]
    return TransitionObject(
        key=info.key,
        size=info.size,
        etag=info.etag,
        last_modified=info.last_modified,
        object_class=item.object_class,
        tier=tier,
        how=place.how,
        target=place.target,
        owner=job.id,
        owner_updated_at=job.updated_at,
        compress_first=compress_first,
        reason=f"{item.object_class} of a job completed and not read for {span(idle)}",
    )
