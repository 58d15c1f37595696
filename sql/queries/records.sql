-- Old records of the platform itself. Every statement walks an index from its oldest end.

-- name: old_runs
SELECT run.*,
    -- With LIMIT, so that each is a look-up: a planner may hash the whole table for EXISTS.
    coalesce((SELECT true FROM maintenance.tombstones AS tombstone WHERE tombstone.run_id = run.id LIMIT 1),
        (SELECT true FROM maintenance.claims AS claim WHERE claim.run_id = run.id AND claim.closed_at IS NULL LIMIT 1),
        false) AS marked,
    run.id = ANY (ARRAY(SELECT newer.id FROM maintenance.runs AS newer
        WHERE newer.job = run.job AND newer.state = run.state
        ORDER BY newer.started_at DESC NULLS LAST, newer.id DESC LIMIT :newest)) AS recent
FROM maintenance.runs AS run
WHERE started_at < :before AND coalesce(finished_at, started_at) < :before
  AND state NOT IN ('applying', 'waiting')
  AND (started_at, id) > (CAST(:last_started_at AS timestamptz), :last_id)
ORDER BY started_at, id LIMIT :page;

-- name: batches
SELECT number, first_line, done_count + skipped_count + failed_count AS count, not_done, finished_at,
    details @> '[["skipped", "already gone"]]' AS some_gone
FROM maintenance.batches WHERE run_id = :run_id AND plan_sha256 = :sha256 ORDER BY number;

-- name: hold_run
SELECT id FROM maintenance.runs AS run
WHERE id = :id AND state = :state AND plan_sha256 = :sha256 AND coalesce(finished_at, started_at) < :before
  AND NOT EXISTS (SELECT FROM maintenance.tombstones AS tombstone WHERE tombstone.run_id = run.id)
  AND NOT EXISTS (SELECT FROM maintenance.claims AS claim WHERE claim.run_id = run.id AND claim.closed_at IS NULL)
FOR UPDATE OF run;

-- name: delete_batches
DELETE FROM maintenance.batches WHERE run_id = :id;

-- name: delete_run
DELETE FROM maintenance.runs WHERE id = :id;

-- name: acted
SELECT * FROM maintenance.runs
WHERE state IN ('applying', 'verified', 'failed') AND plan_uri <> ''
  AND (started_at, id) > (CAST(:last_started_at AS timestamptz), :last_id)
ORDER BY started_at, id LIMIT :page;

-- name: deleted_alone
SELECT run_id AS run, '' AS bucket, detail ->> 'verb' AS verb, detail ->> 'key' AS key, '' AS version, 0 AS size, at,
    detail ->> 'reason' AS reason FROM maintenance.audit
WHERE event = 'acted' AND detail ->> 'key' = :key AND detail ->> 'status' = 'done'
  AND detail ->> 'verb' <> ALL (CAST(:nothing AS text[]))
ORDER BY id;

-- name: old_tombstones
-- Not those of files that were put back: they tell where a file lies that could not be.
SELECT changed_at AS at, id FROM maintenance.tombstones
WHERE state IN ('reaped', 'undone', 'kept') AND (kind <> 'file' OR state = 'reaped') AND changed_at < :before
  AND (changed_at, id) > (CAST(:last_at AS timestamptz), CAST(:last_id AS bigint))
ORDER BY changed_at, id LIMIT :page;

-- name: delete_tombstones
DELETE FROM maintenance.tombstones
WHERE state IN ('reaped', 'undone', 'kept') AND (kind <> 'file' OR state = 'reaped')
  AND changed_at < :before AND changed_at >= :since AND (changed_at, id) <= (:until, CAST(:last_id AS bigint))
RETURNING 1;

-- name: left_tombstones
-- Ordered, so that the index is walked: a planner that expects a row soon would read the table whole.
SELECT FROM maintenance.tombstones
WHERE state IN ('reaped', 'undone', 'kept') AND (kind <> 'file' OR state = 'reaped')
  AND changed_at < :before AND changed_at >= :since AND (changed_at, id) <= (:until, CAST(:last_id AS bigint)) ORDER BY changed_at, id LIMIT 1;

-- name: old_claims
SELECT closed_at AS at, owner AS id FROM maintenance.claims
WHERE closed_at < :before AND (closed_at, owner) > (CAST(:last_at AS timestamptz), :last_id)
ORDER BY closed_at, owner LIMIT :page;

-- name: delete_claims
DELETE FROM maintenance.claims
WHERE closed_at < :before AND closed_at >= :since AND (closed_at, owner) <= (:until, :last_id) RETURNING 1;

-- name: left_claims
SELECT FROM maintenance.claims
WHERE closed_at < :before AND closed_at >= :since AND (closed_at, owner) <= (:until, :last_id)
ORDER BY closed_at, owner LIMIT 1;

-- name: old_uploads
SELECT closed_at AS at, upload_id AS id FROM maintenance.uploads
WHERE closed_at < :before AND (closed_at, upload_id) > (CAST(:last_at AS timestamptz), :last_id)
ORDER BY closed_at, upload_id LIMIT :page;

-- name: delete_uploads
DELETE FROM maintenance.uploads
WHERE closed_at < :before AND closed_at >= :since AND (closed_at, upload_id) <= (:until, :last_id) RETURNING 1;

-- name: left_uploads
SELECT FROM maintenance.uploads
WHERE closed_at < :before AND closed_at >= :since AND (closed_at, upload_id) <= (:until, :last_id)
ORDER BY closed_at, upload_id LIMIT 1;

-- name: old_audit
SELECT at, id FROM maintenance.audit
WHERE at < :before AND (at, id) > (CAST(:last_at AS timestamptz), CAST(:last_id AS bigint))
ORDER BY at, id LIMIT :page;

-- name: delete_audit
DELETE FROM maintenance.audit
WHERE at < :before AND at >= :since AND (at, id) <= (:until, CAST(:last_id AS bigint)) RETURNING 1;

-- name: left_audit
SELECT FROM maintenance.audit
WHERE at < :before AND at >= :since AND (at, id) <= (:until, CAST(:last_id AS bigint))
ORDER BY at, id LIMIT 1;
