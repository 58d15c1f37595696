"""Maintenance job of cold data."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from storage.cold.actions.compress import CompressObject
from storage.cold.actions.follow import FollowObject
from storage.cold.actions.transition import TransitionObject
from storage.cold.policy import ColdObjects
from storage.cold.ports import ColdStores
from storage.core.errors import Refused
from storage.core.model import Run
from storage.core.ports import EngineStores
from storage.core.tiers import CLASSES
from storage.engine import guard
from storage.engine.apply import MINUTES
from storage.engine.guard import UNLIMITED
from storage.engine.job import Choices, MaintenanceJob, Parameter, days
from storage.engine.plan import Draft


def replaces(draft: Draft, stores: EngineStores, history: Sequence[Run]) -> None:
    """Refuse to rewrite objects on a store where that could lose a concurrent write."""
    found = stores.control.capabilities()
    if draft.by_verb.get("compress") and not (found.conditional_put and found.conditional_complete):
        raise Refused(
            "conditional-put",
            "no probe has proven that this store honours If-Match on writes, so a concurrent write could be "
            "lost. Run `storage probe`. If the store does not support it, turn compression off: "
            "STORAGE_COLD_RULES='all compress=never'.",
        )


def _night(name: str, default: float, ceiling: float, help: str) -> Parameter:
    return Parameter(name=name, default=default, floor=0.001, ceiling=ceiling, help=help)


JOBS: tuple[MaintenanceJob[ColdStores], ...] = (
    MaintenanceJob(
        name="cold_storage",
        title="Objects unused for long: compressed, then moved to a colder tier",
        resource="objects",
        policy=lambda days_old, classes, budget_gib, budget_minutes: ColdObjects(
            older_than=timedelta(days=days_old), classes=tuple(classes), budget=int(budget_gib * guard.GIB)
        ),
        verbs=(FollowObject, CompressObject, TransitionObject),
        parameters=(
            days(0, "Younger objects are left unchanged; 0: as the rule of each class says.", floor=0),
            Choices(name="classes", among=CLASSES, help="Object classes to process."),
            _night("budget_gib", 500, 100_000, "Bytes (GiB) compressed or moved in one night."),
            _night(MINUTES, 240, 1_320, "Minutes after which a night's run starts no further work."),
        ),
        limits=UNLIMITED,  # no data is lost by it, and the budgets bound each run
        checks=(replaces,),
        steps=(
            ("follow", "follow_up_transitions"),
            ("compress", "compress_cold_objects"),
            ("transition", "transition_tiers"),
        ),
    ),
)
