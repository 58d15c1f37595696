"""One bucket's lifecycle rules in memory, with an operator's among them, and shorthands for rules."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from storage.core.capabilities import Capabilities
from storage.core.tiers import CLASSES, ColdSettings, Rule
from storage.lifecycle.apply import Lifecycle, apply, plan
from storage.lifecycle.document import OURS, read
from storage.lifecycle.lint import lint
from storage.lifecycle.rules import DOCUMENTED, Act, LifecycleRule, rule
from storage.lifecycle.xml import render
from storage.testing.lifecycle import Dialect, MemoryBucketRules, MemoryVersions
from tests.support.in_memory import DAY, World

OPERATORS = (
    b"<Rule><ID>ops</ID><Status>Enabled</Status><Filter><And><Prefix>logs/</Prefix>"
    b"<Tag><Key>k</Key><Value>v &amp; w</Value></Tag><ObjectSizeGreaterThan>5</ObjectSizeGreaterThan></And>"
    b"</Filter><Expiration><Days>3</Days></Expiration></Rule>"
)
TIERED = ColdSettings(tiers={"cold": "COLD"})
ABORT, TIER, TEMP = (
    f"{OURS}{name}" for name in ("abort-incomplete-uploads", "tier-cold", "delete-temp-files")
)
MINIO = Capabilities(server="MinIO", storage_classes=("STANDARD", "REDUCED_REDUNDANCY"))
AWS = Capabilities(server="AmazonS3", storage_classes=("STANDARD", "STANDARD_IA", "GLACIER"))
EARLY = ColdSettings(rules=dict.fromkeys(CLASSES, Rule(compress=30 * DAY)))
BY_NAME = {one.name: one for one in DOCUMENTED}


class Environment:
    """One bucket's rules in memory, with an operator's own rules in it."""

    def __init__(
        self, dialect: Dialect = "ministack", *, cold_settings: ColdSettings | None = None, **store: Any
    ) -> None:
        self.world = World()
        stores = self.world.stores
        stores.control.save_capabilities(
            Capabilities(server="x", storage_classes=("STANDARD", "GLACIER", "STANDARD_IA"))
        )
        self.rules, self.versions = MemoryBucketRules(dialect, **store), MemoryVersions()
        self.pauses: list[float] = []
        self.manager = Lifecycle(
            stores=stores,
            tiers=cold_settings or ColdSettings(),
            rules=self.rules,
            versions=self.versions,
            pause=self.pauses.append,
        )
        self.put(OPERATORS)

    def put(self, *rules: bytes) -> None:
        """Replace all rules, as an operator does with another client."""
        inner = b"".join(rules)
        self.rules.document = b"<LifecycleConfiguration>" + inner + b"</LifecycleConfiguration>"

    def apply(self, *names: str, drop: tuple[str, ...] = ()) -> Any:
        made = plan(self.manager, names, drop)
        return apply(self.manager, made, "somebody", made.sha256)

    @property
    def ids(self) -> list[str]:
        return [rule.id for rule in read(self.rules.document).rules]

    def at(self, request: str, does: Callable[[], None], times: int = 1) -> None:
        """Call ``does`` before each of the next ``times`` requests of that name."""
        left = [times]

        def before(name: str) -> None:
            if name == request and left[0]:
                left[0] -= 1
                does()

        self.rules.traffic.before = before


def fails(error: BaseException) -> Callable[[], None]:
    def raising() -> None:
        raise error

    return raising


def ours(name: str, act: Act, prefix: str = "", **more: Any) -> LifecycleRule:
    return rule(name, act, prefix, why="because", **more)


def said(
    *rules: LifecycleRule,
    beside: Sequence[LifecycleRule] = (),
    cold_settings: ColdSettings = EARLY,
    capabilities: Capabilities = AWS,
) -> list[str]:
    return [str(one) for one in lint(rules, beside, cold_settings, capabilities)]


def document(*rules: LifecycleRule) -> bytes:
    inner = b"".join(map(render, rules))
    return b"<LifecycleConfiguration>" + inner + b"</LifecycleConfiguration>"
