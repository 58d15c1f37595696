"""A run names its bucket and is carried out in no other; a job decides only the verbs that it names."""

from __future__ import annotations

from dataclasses import replace

import pytest

from storage import catalog
from storage.core.errors import Refused
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
    with pytest.raises(Refused, match="was planned for the bucket .* and this is another"):
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
