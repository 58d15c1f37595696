-- name: condemn
-- Skips keys that have an open tombstone, and keys whose owner has changed since the plan. Returns for each key
-- the reason it was skipped, '' if it is condemned by this run.
WITH wanted AS (
    SELECT * FROM jsonb_to_recordset(CAST(:tombstones AS jsonb)) AS tombstone (
        run_id text, job text, kind text, place text, key text, size bigint, seen text, reason text,
        delete_after timestamptz, owner text, owner_updated_at timestamptz, goes_with_job boolean, held_at text, notice_seconds float8)
), row_now AS (
    SELECT wanted.*, job.id AS owner_row, job.status AS owner_status, job.updated_at AS owner_now
    FROM wanted LEFT JOIN maintenance.jobs AS job ON job.id = wanted.owner
), verdict AS (
    SELECT row_now.*, CASE
        WHEN owner IS NULL THEN ''
        WHEN owner_updated_at IS NULL AND owner_row IS NULL THEN ''
        WHEN owner_updated_at IS NULL THEN 'job ' || owner || ' has appeared since the plan'
        WHEN owner_row IS NULL THEN 'the row of job ' || owner || ' is gone'
        WHEN owner_now IS DISTINCT FROM owner_updated_at
            OR owner_status NOT IN ('completed', 'failed', 'cleaned_up')
            OR ((goes_with_job OR kind = 'job') AND owner_status <> 'failed')
            THEN 'job ' || owner || ' has moved on since the plan (now ' || owner_status || ')'
        ELSE '' END AS why
    FROM row_now
), written AS (
    INSERT INTO maintenance.tombstones
        (run_id, job, kind, place, key, size, seen, reason, delete_after, owner, owner_updated_at, goes_with_job,
         held_at)
    SELECT run_id, job, kind, place, key, size, seen, reason,
        greatest(delete_after, now() + make_interval(secs => nullif(notice_seconds, 0))),  -- full notice for an old plan too
        owner, owner_updated_at, goes_with_job, held_at
    FROM verdict WHERE why = ''
    ON CONFLICT (kind, place, md5(key)) WHERE state IN ('condemned', 'reaping') DO NOTHING
    RETURNING kind, key
)
SELECT verdict.key, CASE
    WHEN verdict.why <> '' THEN verdict.why
    WHEN written.key IS NOT NULL OR earlier.run_id = verdict.run_id THEN ''
    ELSE 'already condemned by ' || coalesce(earlier.run_id, 'a run at the same time') END AS why
FROM verdict LEFT JOIN written ON written.kind = verdict.kind AND written.key = verdict.key
LEFT JOIN maintenance.tombstones AS earlier
    ON earlier.kind = verdict.kind AND earlier.place = verdict.place AND md5(earlier.key) = md5(verdict.key)
    AND earlier.state IN ('condemned', 'reaping');

-- name: due
-- Tombstones that go with a job wait until the job's own tombstone is due or claimed, or the job has changed.
SELECT * FROM maintenance.tombstones AS tombstone
WHERE (state = 'reaping' OR state = 'condemned' AND delete_after <= :as_of)
  AND place = ANY(CAST(:containers AS text[]))
  AND (NOT goes_with_job OR state = 'reaping'
    OR EXISTS (SELECT FROM maintenance.claims AS claim WHERE claim.owner = tombstone.owner AND closed_at IS NULL)
    OR EXISTS (SELECT FROM maintenance.tombstones AS of_job
        WHERE of_job.kind = 'job' AND of_job.owner = tombstone.owner AND of_job.delete_after <= :as_of
          AND of_job.state IN ('condemned', 'reaping'))
    OR NOT EXISTS (SELECT FROM maintenance.jobs AS job
        WHERE job.id = tombstone.owner AND job.status = 'failed' AND job.updated_at = tombstone.owner_updated_at))
  AND (CASE kind WHEN 'job' THEN 0 WHEN 'object' THEN 1 ELSE 2 END, key COLLATE "C", id)
    > (:last_rank, CAST(:last_key AS text) COLLATE "C", :last_id)
ORDER BY CASE kind WHEN 'job' THEN 0 WHEN 'object' THEN 1 ELSE 2 END, key COLLATE "C", id LIMIT :page;

-- name: begin
UPDATE maintenance.tombstones SET state = 'reaping', changed_at = now()
WHERE id = ANY(CAST(:ids AS bigint[])) AND state IN ('condemned', 'reaping')
RETURNING *;

-- name: finish
UPDATE maintenance.tombstones SET state = :state, note = :note, changed_at = now()
WHERE id = ANY(CAST(:ids AS bigint[])) AND state IN ('condemned', 'reaping');

-- name: postpone
UPDATE maintenance.tombstones SET state = 'condemned', delete_after = :until, note = :note, changed_at = now()
WHERE id = ANY(CAST(:ids AS bigint[])) AND state = 'reaping';

-- name: clean_job
UPDATE maintenance.jobs SET status = 'cleaned_up', updated_at = now()
WHERE id = :owner AND status = 'failed' AND updated_at = :seen
RETURNING status;

-- name: still_failed
SELECT id FROM maintenance.jobs WHERE id = :owner AND status = 'failed' AND updated_at = :seen;

-- name: claim
INSERT INTO maintenance.claims (owner, run_id) VALUES (:owner, :run_id)
ON CONFLICT (owner) DO UPDATE SET run_id = excluded.run_id, claimed_at = now(), closed_at = NULL;

-- name: claimed
SELECT owner FROM maintenance.claims WHERE owner = ANY(CAST(:owners AS text[])) AND closed_at IS NULL;

-- name: claim_stands
SELECT claim.owner FROM maintenance.claims AS claim JOIN maintenance.jobs AS job ON job.id = claim.owner
WHERE claim.owner = :owner AND claim.closed_at IS NULL AND job.status = 'cleaned_up';

-- name: finish_job_stone
UPDATE maintenance.tombstones SET state = 'reaped', changed_at = now() WHERE id = :id;

-- name: close_claims
UPDATE maintenance.claims AS claim SET closed_at = now()
WHERE closed_at IS NULL AND NOT EXISTS (
    SELECT FROM maintenance.tombstones AS tombstone
    WHERE tombstone.owner = claim.owner AND tombstone.state IN ('condemned', 'reaping') AND tombstone.goes_with_job);

-- name: of_run
SELECT * FROM maintenance.tombstones WHERE run_id = :run_id AND id > :last_id ORDER BY id LIMIT :page;

-- name: undo_jobs
-- A separate statement, run first: it waits for a reap that is starting on the job.
UPDATE maintenance.tombstones SET state = 'undone', changed_at = now()
WHERE id = ANY(CAST(:ids AS bigint[])) AND state = 'condemned' AND kind = 'job'
RETURNING id;

-- name: undo_others
-- Tombstones that go with a job stay condemned once reap has begun on the job: all of them or none are undone.
UPDATE maintenance.tombstones AS tombstone SET state = 'undone', changed_at = now()
WHERE id = ANY(CAST(:ids AS bigint[])) AND state = 'condemned' AND kind <> 'job'
  AND NOT (goes_with_job AND (
    EXISTS (SELECT FROM maintenance.claims AS claim WHERE claim.owner = tombstone.owner AND closed_at IS NULL)
    OR EXISTS (SELECT FROM maintenance.tombstones AS of_job
        WHERE of_job.kind = 'job' AND of_job.owner = tombstone.owner AND of_job.state = 'reaping')))
RETURNING id;

-- name: open_keys
SELECT key FROM maintenance.tombstones
WHERE place = :place AND key = ANY(CAST(:keys AS text[])) AND state IN ('condemned', 'reaping');

-- name: open
SELECT kind, count(*) AS count, coalesce(sum(size), 0)::bigint AS bytes FROM maintenance.tombstones
WHERE state IN ('condemned', 'reaping') GROUP BY kind;

-- name: record_upload
INSERT INTO maintenance.uploads (upload_id, bucket, key) VALUES (:upload_id, :bucket, :key)
ON CONFLICT (upload_id) DO UPDATE SET heartbeat_at = now();

-- name: open_uploads
SELECT upload_id, key, initiated_at FROM maintenance.uploads WHERE bucket = :bucket AND closed_at IS NULL
ORDER BY key, upload_id;

-- name: heartbeats
SELECT upload_id, heartbeat_at FROM maintenance.uploads WHERE upload_id = ANY(CAST(:ids AS text[]));

-- name: close_upload
UPDATE maintenance.uploads SET closed_at = now() WHERE upload_id = :upload_id AND closed_at IS NULL;
