"""Lifecycle rules as data, and those this platform declares. Pure.

Ages are whole days as S3 counts them: a rule is due at the midnight (UTC) after them, one of 0 days at once.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Literal

from storage.core.capabilities import Capabilities
from storage.core.model import JOB_PREFIXES
from storage.core.tiers import TIER_TAG, ColdSettings
from storage.lifecycle.document import OURS

Verb = Literal["expire", "transition", "noncurrent", "abort", "markers"]
#: What takes objects or older versions of them away.
DELETING: tuple[Verb, ...] = ("expire", "noncurrent")
#: Every storage class S3 defines; any other name is a remote tier of the store.
S3_CLASSES = (
    "STANDARD", "REDUCED_REDUNDANCY", "STANDARD_IA", "ONEZONE_IA", "INTELLIGENT_TIERING", "GLACIER_IR",
    "GLACIER", "DEEP_ARCHIVE", "OUTPOSTS", "SNOW", "EXPRESS_ONEZONE",
)  # fmt: skip
DAY = timedelta(days=1)
ABORT_DAYS, NONCURRENT_DAYS = 7, 30


@dataclass(frozen=True, slots=True)
class Act:
    """What a rule does, and after how many days; ``date`` instead of days only in rules of others."""

    verb: Verb
    days: int | None = None
    target: str = ""
    date: str = ""

    def __str__(self) -> str:
        when = self.date or ("" if self.days is None else f"{self.days} d")
        return " ".join(word for word in (self.verb, when, self.target and f"to {self.target}") if word)


@dataclass(frozen=True, slots=True, kw_only=True)
class LifecycleRule:
    """One rule: what it acts on, and what it does.

    ``larger`` and ``smaller`` bound the size in bytes, both exclusive. ``on_request``: applied only once a
    person asked for it by name. ``instead``: what of this platform does the same where the store does not.
    ``unknown``: leaves of a rule read back that mean nothing to us.
    """

    id: str
    acts: tuple[Act, ...]
    prefix: str = ""
    tags: frozenset[tuple[str, str]] = frozenset()
    larger: int | None = None
    smaller: int | None = None
    enabled: bool = True
    on_request: bool = False
    why: str = ""
    instead: str = ""
    unknown: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return self.id.removeprefix(OURS)

    @property
    def deletes(self) -> bool:
        return self.enabled and any(act.verb in DELETING for act in self.acts)

    @property
    def everything(self) -> bool:
        """Whether it acts on the whole bucket."""
        return not (self.prefix or self.tags)

    def covers(self, other: LifecycleRule) -> bool:
        """Whether it acts on every object the other one acts on."""
        return (
            other.prefix.startswith(self.prefix)
            and self.tags <= other.tags
            and (self.larger is None or (other.larger is not None and other.larger >= self.larger))
            and (self.smaller is None or (other.smaller is not None and other.smaller <= self.smaller))
        )

    def same(self, other: LifecycleRule) -> bool:
        """Whether a store does the same by both, whatever we say of them."""
        return self._said() == other._said()

    def _said(self) -> LifecycleRule:
        acts = tuple(sorted(self.acts, key=str))
        return replace(self, acts=acts, on_request=False, why="", instead="")


def rule(name: str, act: Act, prefix: str = "", *, why: str, **more: Any) -> LifecycleRule:
    """A rule of ours."""
    return LifecycleRule(id=f"{OURS}{name}", acts=(act,), prefix=prefix, why=why, **more)


#: What the pipeline's documents ask of the store. They act outside the engine, so only on request.
DOCUMENTED = (
    rule(
        "delete-temp-files",
        Act("expire", 1),
        "temp/",
        on_request=True,
        why="temp objects are gone a day after they came, whether their job still runs or not",
        instead="the job cleanup_temp_objects",
    ),
    rule(
        "delete-failed-jobs",
        Act("expire", 7),
        "failed/",
        on_request=True,
        why="what lies under failed/ is gone after a week; no row is turned to cleaned_up by that",
        instead="the jobs cleanup_failed_jobs and reap",
    ),
    rule(
        "archive-old-jobs",
        Act("transition", 90, "GLACIER"),
        "processed/",
        on_request=True,
        why="every object is archived 90 days after it was written, whether anybody still reads it or not",
        instead="the DAG cold_storage",
    ),
)


def declared(cold_settings: ColdSettings, capabilities: Capabilities, versioned: bool) -> list[LifecycleRule]:
    """Every rule for this bucket: the tiers', the housekeeping, and those on request."""
    return [*_tiers(cold_settings, capabilities), *_housekeeping(versioned), *DOCUMENTED]


def _tiers(cold_settings: ColdSettings, capabilities: Capabilities) -> Iterable[LifecycleRule]:
    """A rule for each tier that is set, and is no storage class an object can be copied into."""
    for tier, target in sorted(cold_settings.tiers.items()):
        if tier != "hot" and target not in capabilities.storage_classes:
            yield rule(
                f"tier-{tier}",
                Act("transition", 0, target),
                tags=frozenset({(TIER_TAG, tier)}),
                why=f"what the DAG cold_storage tags {TIER_TAG}={tier} moves to {target}",
                instead=f"nothing: without it there is no tier {tier}",
            )


def _housekeeping(versioned: bool) -> Iterable[LifecycleRule]:
    yield rule(
        "abort-incomplete-uploads",
        Act("abort", ABORT_DAYS),
        why="uploads nobody finished within a week hold space that no listing of objects shows",
        instead="the job abort_uploads",
    )
    if not versioned:
        return
    for prefix in JOB_PREFIXES:  # not the whole bucket: old versions of protected folders stay
        yield rule(
            f"noncurrent-{prefix.rstrip('/')}",
            Act("noncurrent", NONCURRENT_DAYS),
            prefix,
            why="versions that were written over, such as by compressing, go after 30 days",
            instead="nothing: older versions stay",
        )
    yield rule(
        "expired-delete-markers",
        Act("markers"),
        why="delete markers with nothing left behind them make every listing slower",
        instead="nothing: they cost time and no space",
    )


def due(since: datetime, days: int) -> datetime:
    """When S3 acts on what is ``days`` old: at the midnight after, and after 0 days at once."""
    if not days:
        return since
    then = since + timedelta(days=days + 1)
    return then.replace(hour=0, minute=0, second=0, microsecond=0)
