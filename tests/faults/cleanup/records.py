"""Old records of the campaign: a run that deleted two objects three months ago, and closed rows."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Iterator

from storage.engine.sweep import HISTORY
from storage.records.search import deleted
from tests.faults.cleanup.environment import Environment

RUN, JOB = "of-old", "cleanup_temp_objects"
DELETED, SKIPPED = ("temp/gone/a.ts", "temp/gone/b.ts"), "temp/gone/c.ts"
PLAN = f"plans/{JOB}/{RUN}.jsonl.gz"
_AGO = "now() - interval '91 days'"
_ROWS = f"""
INSERT INTO maintenance.runs (id, job, as_of, state, plan_uri, plan_sha256, planned_count, done_count,
    skipped_count, started_at, finished_at)
    VALUES (%s, %s, {_AGO}, 'verified', %s, %s, 3, 2, 1, {_AGO}, {_AGO});
INSERT INTO maintenance.batches (run_id, plan_sha256, number, done_count, done_bytes, skipped_count,
    skipped_bytes, failed_count, failed_bytes, not_done, details, first_line)
    VALUES (%s, %s, 0, 2, 0, 1, 0, 0, 0, '{{2}}', '[]', 0);
INSERT INTO maintenance.runs (id, job, as_of, state, started_at)
    SELECT 'newer-' || n, %s, now(), 'verified', now() FROM generate_series(1, {HISTORY}) AS n;
INSERT INTO maintenance.tombstones (run_id, job, kind, place, key, size, seen, reason, delete_after, state,
    changed_at)
    SELECT 'older', 'j', 'object', 'b', 'k' || n, 1, '', '', {_AGO}, 'reaped', {_AGO}
    FROM generate_series(1, 3) AS n;
INSERT INTO maintenance.claims (owner, run_id, closed_at) VALUES ('older', 'older', {_AGO});
INSERT INTO maintenance.uploads (upload_id, bucket, key, closed_at) VALUES ('older', 'b', 'k', {_AGO});
INSERT INTO maintenance.audit (at, event) VALUES (now() - interval '401 days', 'ancient');
"""
_LEFT = """
SELECT 'run', count(*) FROM maintenance.runs WHERE id = %s UNION ALL
SELECT 'batch', count(*) FROM maintenance.batches WHERE run_id = %s UNION ALL
SELECT 'tombstone', count(*) FROM maintenance.tombstones UNION ALL
SELECT 'claim', count(*) FROM maintenance.claims UNION ALL
SELECT 'upload', count(*) FROM maintenance.uploads UNION ALL
SELECT 'audit', count(*) FROM maintenance.audit WHERE event = 'ancient'
"""


def lay(environment: Environment) -> None:
    """Write the old records anew; logs of earlier trials are removed."""
    place = {"Bucket": environment.settings.maintenance_bucket}
    for one in environment.boto.list_objects_v2(**place, Prefix="deletions/").get("Contents", ()):
        environment.boto.delete_object(**place, Key=one["Key"])
    actions = [
        {"verb": "delete", "key": key, "size": 1, "etag": "e", "reason": "r"} for key in (*DELETED, SKIPPED)
    ]
    data = gzip.compress("".join(json.dumps(action) + "\n" for action in actions).encode(), mtime=0)
    sha256 = hashlib.sha256(data).hexdigest()
    environment.boto.put_object(**place, Key=PLAN, Body=data)
    uri = f"s3://{environment.settings.maintenance_bucket}/{PLAN}"
    environment.sql(_ROWS, RUN, JOB, uri, sha256, RUN, sha256, JOB)


def known(environment: Environment) -> Iterator[str]:
    """Check that what was deleted can be asked for, and nothing else is said to be deleted."""
    for key in (*DELETED, SKIPPED):
        found, unreadable = deleted(key, environment.stores)
        named = [(one.run, one.outcome) for one in found]
        if named != ([(RUN, "done")] if key in DELETED else []) or unreadable:
            yield f"of {key} it is said: {named}, {unreadable}"


def pruned(environment: Environment) -> Iterator[str]:
    """Check that all old records are gone."""
    for table, count in environment.sql(_LEFT, RUN, RUN):
        if count:
            yield f"old records left: {count} {table}"
    listed = environment.boto.list_objects_v2(Bucket=environment.settings.maintenance_bucket, Prefix=PLAN)
    if listed.get("Contents"):
        yield "the plan is still there"
