"""Failures and kills while applying lifecycle rules: the old rules stay, or the next apply completes it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from storage.core.errors import AccessDenied, JobBusy, Unreachable
from storage.lifecycle.apply import Lifecycle, apply, plan
from storage.lifecycle.errors import LifecycleNotRestored
from storage.testing.lifecycle import MemoryVersions
from tests.support.in_memory import Killed
from tests.support.lifecycle_in_memory import ABORT, TEMP, TIER, TIERED, Environment, fails

#: More requests than a whole apply makes to the store and the version log: the last points kill nothing.
REQUESTS = 16


@pytest.mark.parametrize(
    "error", [Unreachable("store", "gone"), AccessDenied("store", "no"), KeyboardInterrupt()]
)
@pytest.mark.parametrize("point", ["put", "put done"])
def test_after_any_failure_the_rules_of_before_stand(
    environment: Environment, point: str, error: BaseException
) -> None:
    before = environment.rules.document
    environment.at(point, fails(error))
    with pytest.raises(type(error)):
        environment.apply("delete-temp-files")
    assert environment.rules.document == before if point == "put" else environment.ids == ["ops"]
    assert environment.versions.rows[-1].state == "failed"
    environment.rules.traffic.before = lambda name: None
    assert set(environment.apply("delete-temp-files").changed) == {ABORT, TEMP}


def test_it_is_said_when_the_rules_of_before_could_not_be_put_back(environment: Environment) -> None:
    made = plan(environment.manager)
    left = [1]

    def before(name: str) -> None:
        if name == "put done" or (name in ("get", "put") and not left[0]):
            left[0] = 0
            raise Unreachable("The object store", "no route")

    environment.rules.traffic.before = before
    with pytest.raises(LifecycleNotRestored, match="no route"):
        apply(environment.manager, made, "somebody")


@pytest.mark.parametrize("point", range(REQUESTS))
def test_killed_at_any_point_the_next_one_ends_it(point: int) -> None:
    """The foreign rule is there at every instant; the next apply ends with the same rules and one record."""
    environment = Environment("minio", cold_settings=TIERED, tiers=("COLD",))
    steps = [0]

    def step(name: str = "") -> None:
        assert "ops" in environment.ids
        if steps[0] == point:
            raise Killed
        steps[0] += 1

    dead = _killable(environment, step)
    try:
        made = plan(dead, ["delete-temp-files"])
        apply(dead, made, "somebody", made.sha256)
        assert REQUESTS // 2 < steps[0] <= point, "every request was some round's last"
    except Killed:
        assert point < REQUESTS - 1
    environment.rules.traffic.before = lambda name: None
    environment.world.database.locks.clear()  # the server frees the lock of a process that died
    environment.apply("delete-temp-files")
    assert environment.ids == ["ops", TIER, TEMP]
    latest = environment.versions.latest()
    assert latest is not None
    assert (latest.state, latest.document) == ("applied", environment.rules.document)
    assert latest.requested == ("delete-temp-files",)
    assert plan(environment.manager).changes == ()


def _killable(environment: Environment, step: Callable[[str], None]) -> Lifecycle:
    """Return the manager with ``step`` before each request; once killed, no request gets through."""
    environment.rules.traffic.before = step
    inner = environment.versions

    class Log(MemoryVersions):
        def add(self, version: Any) -> int:
            step("")
            return inner.add(version)

        def end(self, version: Any) -> None:
            step("")
            inner.end(version)

        def latest(self) -> Any:
            return inner.latest()

    return replace(environment.manager, versions=Log())


def test_two_at_once_do_not_meet(environment: Environment) -> None:
    made = plan(environment.manager)
    with environment.manager.stores.runs.lock("lifecycle"), pytest.raises(JobBusy):
        apply(environment.manager, made, "somebody")
    assert not environment.rules.puts
