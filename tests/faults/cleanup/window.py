"""Window between the re-check and the delete: its length, and the store features that close it."""

from __future__ import annotations

import io
from contextlib import suppress

from storage import connect
from storage.core.errors import ActionsFailed
from storage.stores.s3.probe import probe
from tests.faults.cleanup.environment import World
from tests.faults.cleanup.races import TEMP, TEMP_JOB
from tests.faults.effects import Kind
from tests.faults.race import RaceHarness, Report
from tests.support.runs import apply

NEW = b"written between the second look and the delete"


def overwritten_inside(harness: RaceHarness, report: Report, number: int) -> None:
    """Overwrite an object at the worst instant; a loss is counted as ``open``, a survival as ``won``."""
    environment = harness.environment
    environment.lay(TEMP)
    run_id = harness.decide(TEMP_JOB, f"inside{number}")
    key, client = TEMP.objects[2], connect.endpoint(environment.settings).minio()

    def strike(kind: Kind, what: str) -> None:
        if what.startswith("POST BUCKET?delete"):
            client.put_object(environment.settings.bucket, key, io.BytesIO(NEW), len(NEW))

    harness.instead = strike
    with suppress(ActionsFailed):  # a store that honours the etag reports that it did not delete this object
        apply(run_id, harness.stores)
    found = environment.listing()
    if key not in found:
        report.open += 1
    elif environment.boto.get_object(Bucket=environment.settings.bucket, Key=key)["Body"].read() != NEW:
        report.violations.append("the object is there, but not what was written last")
    else:
        report.won += 1
    report.violations += [
        f"{other} was not deleted" for other in TEMP.objects[:5] if other in found and other != key
    ]


def with_versions(harness: RaceHarness, report: Report, number: int) -> None:
    """Do the same in a bucket that keeps versions: the versions that were seen are deleted by their ids."""
    name = harness.environment.settings.bucket
    harness.environment.boto.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    overwritten_inside(harness, report, number)


def with_conditions(harness: RaceHarness, report: Report, number: int) -> None:
    """Do the same where the probe proved that a bulk delete honours the etag it is sent."""
    stores = harness.environment.stores
    found = probe(stores.plans, stores.objects, True)  # type: ignore[arg-type]
    stores.control.save_capabilities(found)
    if not found.conditional_bulk_delete:
        report.violations.append("this store does not honour a condition on a bulk delete")
    overwritten_inside(harness, report, number)


def of_a_full_batch(harness: RaceHarness, report: Report, number: int) -> None:
    """Measure the window for the largest batch, a thousand objects."""
    environment = harness.environment
    environment.lay(World(objects=tuple(f"temp/{one:04}.ts" for one in range(1000))))
    harness.contest(harness.decide(TEMP_JOB, f"full{number}"), [])
    window = harness.window()
    report.windows += [window[1] - window[0]] if window else []
