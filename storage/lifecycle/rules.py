"""Lifecycle rules as data, and the rules that this platform declares. Pure.

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
#: Verbs that delete objects or noncurrent versions of them.
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
    """Action of a rule, and after how many days; ``date`` instead of days only in rules of others."""

    verb: Verb
    days: int | None = None
    target: str = ""
    date: str = ""

    def __str__(self) -> str:
        when = self.date or ("" if self.days is None else f"{self.days} d")
        return " ".join(word for word in (self.verb, when, self.target and f"to {self.target}") if word)


@dataclass(frozen=True, slots=True, kw_only=True)
class LifecycleRule:
    """Lifecycle rule: its filter and its actions.

    ``larger`` and ``smaller`` bound the size in bytes, both exclusive. ``on_request``: applied only after an
    operator requested it by name. ``instead``: the part of this platform that does the same if the store does
    not. ``unknown``: leaf elements of a rule read back that are not understood.
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
        """Return True if the rule acts on the whole bucket."""
        return not (self.prefix or self.tags)

    def covers(self, other: LifecycleRule) -> bool:
        """Return True if the rule acts on every object the other one acts on."""
        return (
            other.prefix.startswith(self.prefix)
            and self.tags <= other.tags
            and (self.larger is None or (other.larger is not None and other.larger >= self.larger))
            and (self.smaller is None or (other.smaller is not None and other.smaller <= self.smaller))
        )

    def same(self, other: LifecycleRule) -> bool:
        """Return True if both have the same effect on a store, whatever their descriptions."""
        return self._said() == other._said()

    def _said(self) -> LifecycleRule:
        acts = tuple(sorted(self.acts, key=str))
        return replace(self, acts=acts, on_request=False, why="", instead="")


def rule(name: str, act: Act, prefix: str = "", *, why: str, **more: Any) -> LifecycleRule:
    """Create a rule of ours."""
    return LifecycleRule(id=f"{OURS}{name}", acts=(act,), prefix=prefix, why=why, **more)


#: Rules that the pipeline's documents demand. They act outside the engine, so only on request.
DOCUMENTED = (
    rule(
        "delete-temp-files",
        Act("expire", 1),
        "temp/",
        on_request=True,
        why="temp objects are deleted a day after they were written, whether their job still runs or not",
        instead="the job cleanup_temp_objects",
    ),
    rule(
        "delete-failed-jobs",
        Act("expire", 7),
        "failed/",
        on_request=True,
        why="objects under failed/ are deleted after a week; that sets no row to cleaned_up",
        instead="the jobs cleanup_failed_jobs and reap",
    ),
    rule(
        "archive-old-jobs",
        Act("transition", 90, "GLACIER"),
        "processed/",
        on_request=True,
        why="every object is archived 90 days after it was written, whether it is still read or not",
        instead="the DAG cold_storage",
    ),
)


def declared(cold_settings: ColdSettings, capabilities: Capabilities, versioned: bool) -> list[LifecycleRule]:
    """Return every rule for this bucket: those of tiers, of housekeeping, and on request."""
    return [*_tiers(cold_settings, capabilities), *_housekeeping(versioned), *DOCUMENTED]


def _tiers(cold_settings: ColdSettings, capabilities: Capabilities) -> Iterable[LifecycleRule]:
    """Yield a rule for each configured tier that is not a storage class an object can be copied into."""
    for tier, target in sorted(cold_settings.tiers.items()):
        if tier != "hot" and target not in capabilities.storage_classes:
            yield rule(
                f"tier-{tier}",
                Act("transition", 0, target),
                tags=frozenset({(TIER_TAG, tier)}),
                why=f"objects that the DAG cold_storage tags {TIER_TAG}={tier} move to {target}",
                instead=f"nothing: without it there is no tier {tier}",
            )


def _housekeeping(versioned: bool) -> Iterable[LifecycleRule]:
    yield rule(
        "abort-incomplete-uploads",
        Act("abort", ABORT_DAYS),
        why="uploads not completed within a week use space that no listing of objects shows",
        instead="the job abort_uploads",
    )
    if not versioned:
        return
    for prefix in JOB_PREFIXES:  # not the whole bucket: old versions of protected folders stay
        yield rule(
            f"noncurrent-{prefix.rstrip('/')}",
            Act("noncurrent", NONCURRENT_DAYS),
            prefix,
            why="overwritten versions, such as by compressing, are deleted after 30 days",
            instead="nothing: older versions stay",
        )
    yield rule(
        "expired-delete-markers",
        Act("markers"),
        why="delete markers without any version left make every listing slower",
        instead="nothing: they cost time and no space",
    )


def due(since: datetime, days: int) -> datetime:
    """Return when S3 acts on an object ``days`` old: at the midnight after, and after 0 days at once."""
    if not days:
        return since
    then = since + timedelta(days=days + 1)
    return then.replace(hour=0, minute=0, second=0, microsecond=0)
