"""Bucket and job of a run: it is applied to no other, and its plan holds only verbs of its job."""

from __future__ import annotations

import gzip
import hashlib
from dataclasses import replace

import pytest

from storage import catalog
from storage.core.errors import PlanUnreadable, Refused, UsageError
from storage.engine import apply as engine
from storage.engine import sweep
from storage.engine.actions import FailJob
from storage.testing import MemoryObjects
from tests.support.in_memory import DAY, World
from tests.support.runs import apply

TEMP = "cleanup_temp_objects"


def test_a_run_names_its_bucket(world: World) -> None:
    assert world.plan(TEMP).bucket == world.objects.bucket


def test_a_plan_for_another_bucket_is_refused(world: World) -> None:
    world.put("temp/x.tmp", 2 * DAY)
    planned = world.plan(TEMP)
    other = MemoryObjects(world.now, bucket="another")
    with pytest.raises(Refused, match="was planned for bucket .* and this is another"):
        apply(planned.id, replace(world.stores, objects=other))
    assert world.keys() == ["temp/x.tmp"]


def test_a_run_from_before_buckets_were_named_is_carried_out(world: World) -> None:
    world.put("temp/x.tmp", 2 * DAY)
    planned = world.plan(TEMP)
    world.stores.runs.save(replace(planned, bucket=""))
    assert apply(planned.id, world.stores).done.count == 1


def test_a_verb_that_the_job_does_not_name_is_no_plan(world: World) -> None:
    world.put("temp/x.tmp", 2 * DAY)
    job = replace(catalog.get(TEMP), verbs=(FailJob,))
    with pytest.raises(TypeError, match="DeleteObject, which is not among its verbs"):
        sweep.plan(job, world.stores, world.time)


def test_a_run_of_another_job_is_refused(world: World) -> None:
    world.put("temp/x.tmp", 2 * DAY)
    planned = world.plan(TEMP)
    with pytest.raises(UsageError, match=f"belongs to job {TEMP}, not to reap"):
        engine.apply(catalog.get("reap"), planned.id, world.stores)
    assert world.keys() == ["temp/x.tmp"]


@pytest.mark.parametrize(
    "line",
    [
        b'{"verb":"unheard-of","key":"temp/x.tmp"}',
        b'{"verb":"delete","key":"temp/x.tmp"}',
        b'{"verb":"delete","key":"k","size":1,"etag":"e","last_modified":"today","reason":"r"}',
        b"not json",
    ],
)
def test_a_line_of_another_version_is_named(world: World, line: bytes) -> None:
    world.put("temp/x.tmp", 2 * DAY)
    planned = world.plan(TEMP)
    data = gzip.compress(line + b"\n")
    world.plans.put(planned.plan_uri.partition("//")[2].partition("/")[2], data)
    world.stores.runs.save(replace(planned, plan_sha256=hashlib.sha256(data).hexdigest()))
    with pytest.raises(PlanUnreadable, match="Line 1 of the plan .* plan again"):
        apply(planned.id, world.stores)
    assert world.keys() == ["temp/x.tmp"]
