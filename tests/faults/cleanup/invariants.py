"""Invariants of an environment at every instant, and its required state once a faulted run was repeated."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from tests.faults.cleanup.environment import MARKER, Environment, body
from tests.faults.cleanup.scenarios import Scenario

OPEN = ("condemned", "reaping")


def always(environment: Environment, scenario: Scenario) -> Iterator[str]:
    """Yield violations of the invariants that hold however a run is interrupted."""
    yield from _objects(environment, scenario)
    yield from _files(environment, scenario)
    yield from _uploads(environment, scenario)
    yield from _rows(environment, scenario)
    yield from scenario.at_any_time(environment)


def _objects(environment: Environment, scenario: Scenario) -> Iterator[str]:
    found = environment.listing()
    for key in scenario.world.objects:
        etag = f'"{hashlib.md5(body(key), usedforsecurity=False).hexdigest()}"'
        if key not in found and key not in scenario.gone:
            yield f"object lost: {key}"
        elif found.get(key, etag) != etag:
            yield f"object changed: {key}"
    for key in set(found) - set(scenario.world.objects):
        yield f"object out of nowhere: {key}"


def _files(environment: Environment, scenario: Scenario) -> Iterator[str]:
    """Check that each temp file is where it was, or set aside under a tombstone, or reaped by a due one."""
    if environment.content(MARKER) is None or (environment.victim / "keep.txt").read_bytes() != body(
        "keep.txt"
    ):
        yield "the marker file or something outside the temp folder was touched"
    for name in (*scenario.world.files, *scenario.world.links):
        expected = (
            body(name) if name in scenario.world.files else str(environment.victim / "keep.txt").encode()
        )
        lies = environment.content(name)
        if lies is not None:
            if lies != expected:
                yield f"file changed: {name}"
        elif name not in scenario.gone and scenario.name != "undo":
            yield f"file lost: {name}"
        elif why := _aside(environment, name, expected):
            yield f"file lost: {name}: {why}"


def _aside(environment: Environment, name: str, expected: bytes) -> str | None:
    """Return why a file that is not in its place is unaccounted for; None when it is accounted for."""
    tombstones = environment.sql(
        "SELECT state, held_at, delete_after < now() + interval '1 minute' FROM maintenance.tombstones"
        " WHERE kind = 'file' AND key = %s ORDER BY id DESC",
        name,
    )
    for state, held_at, due in tombstones:
        if environment.content(held_at) == expected:
            return None if state in (*OPEN, "undone") else f"it is at {held_at}, whose tombstone is {state}"
        if state in ("reaping", "reaped") and due:
            return None
    return f"tombstones: {[state for state, _, _ in tombstones]}"


def _uploads(environment: Environment, scenario: Scenario) -> Iterator[str]:
    for key, id in environment.uploads:
        if key not in scenario.gone and not environment.alive(key, id):
            yield f"live upload lost: {key}"


def _rows(environment: Environment, scenario: Scenario) -> Iterator[str]:
    found, before = environment.rows(), {row.id: row.status for row in scenario.world.rows}
    for id, status in found.items():
        if status not in (before.get(id), scenario.then.get(id)):
            yield f"job {id} is {status}"
    for id in {**before, **scenario.then}:
        if id not in found:
            yield f"the row of job {id} is gone"
    for owner, closed, tombstones in environment.sql(
        "SELECT job.id, claim.closed_at IS NOT NULL, (SELECT count(*) FROM maintenance.tombstones AS stone"
        " WHERE stone.owner = job.id AND stone.state IN ('condemned', 'reaping'))"
        " FROM jobs AS job LEFT JOIN maintenance.claims AS claim ON claim.owner = job.id"
        " WHERE job.status = 'cleaned_up'"
    ):
        if closed is None or (closed and tombstones):
            yield (
                f"job {owner} is cleaned up, its claim {'closed' if closed else 'missing'}, {tombstones} open"
            )


def finally_(environment: Environment, scenario: Scenario, *, by_later_nights: bool) -> Iterator[str]:
    """Yield violations of the final state required after the rerun, in addition to ``always``."""
    found, place = environment.listing(), dict(environment.uploads)
    for key in scenario.gone:
        if (
            key in found
            or environment.content(key) is not None
            or (key in place and environment.alive(key, place[key]))
        ):
            yield f"still there: {key}"
    for folder in scenario.gone_folders:
        if (environment.temp / folder).exists():
            yield f"folder still there: {folder}"
    rows = environment.rows()
    for row in scenario.world.rows:
        if rows.get(row.id) != scenario.then.get(row.id, row.status):
            yield f"job {row.id} ended {rows.get(row.id)}"
    tombstones = {
        (kind, key)
        for kind, key in environment.sql(
            "SELECT kind, key FROM maintenance.tombstones WHERE state IN ('condemned', 'reaping')"
        )
    }
    reaped = by_later_nights and len(scenario.nights) > 1
    if tombstones - scenario.condemned or (scenario.condemned - tombstones and not reaped):
        yield f"condemned wrongly {sorted(tombstones ^ scenario.condemned)}"
    yield from _closed(environment)
    yield from _in_place(environment, scenario)
    yield from scenario.at_the_end(environment)


def _closed(environment: Environment) -> Iterator[str]:
    for (owner,) in environment.sql("SELECT owner FROM maintenance.claims WHERE closed_at IS NULL"):
        yield f"the claim on job {owner} is still open"
    for id, planned, ended in environment.sql(
        "SELECT id, planned_count, done_count + skipped_count + failed_count FROM maintenance.runs"
        " WHERE state = 'verified'"
    ):
        if planned != ended:
            yield f"run {id}: {planned} planned, {ended} accounted for"


def _in_place(environment: Environment, scenario: Scenario) -> Iterator[str]:
    if scenario.name == "undo":
        for name in (*scenario.world.files, *scenario.world.links):
            if environment.content(name) is None:
                yield f"not put back: {name}"
