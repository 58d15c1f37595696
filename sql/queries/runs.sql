-- name: save
INSERT INTO maintenance.runs (id, job, bucket, as_of, state, plan_uri, plan_sha256,
    considered_count, considered_bytes, planned_count, planned_bytes, done_count, done_bytes,
    skipped_count, skipped_bytes, failed_count, failed_bytes,
    params, kept, message, requested_by, started_at, finished_at)
VALUES (:id, :job, :bucket, :as_of, :state, :plan_uri, :plan_sha256,
    :considered_count, :considered_bytes, :planned_count, :planned_bytes, :done_count, :done_bytes,
    :skipped_count, :skipped_bytes, :failed_count, :failed_bytes,
    CAST(:params AS jsonb), CAST(:kept AS jsonb), :message, :requested_by, :started_at, :finished_at)
ON CONFLICT (id) DO UPDATE SET bucket = excluded.bucket, as_of = excluded.as_of, params = excluded.params,
    kept = excluded.kept,
    started_at = excluded.started_at, requested_by = excluded.requested_by, state = excluded.state, plan_uri = excluded.plan_uri,
    plan_sha256 = excluded.plan_sha256,
    considered_count = excluded.considered_count, considered_bytes = excluded.considered_bytes,
    planned_count = excluded.planned_count, planned_bytes = excluded.planned_bytes,
    done_count = excluded.done_count, done_bytes = excluded.done_bytes,
    skipped_count = excluded.skipped_count, skipped_bytes = excluded.skipped_bytes,
    failed_count = excluded.failed_count, failed_bytes = excluded.failed_bytes,
    message = excluded.message, finished_at = excluded.finished_at
WHERE runs.state <> 'rejected'
    AND (runs.state NOT IN ('applying', 'verified', 'failed') OR excluded.state IN ('applying', 'verified', 'failed'))
RETURNING id;

-- name: get
SELECT * FROM maintenance.runs WHERE id = :id;

-- name: latest
SELECT * FROM maintenance.runs
WHERE (CAST(:job AS text) IS NULL OR job = :job) AND (CAST(:state AS text) IS NULL OR state = :state)
ORDER BY started_at DESC NULLS LAST, id DESC LIMIT :limit;

-- name: latest_of_all
SELECT * FROM maintenance.runs WHERE started_at IS NOT NULL ORDER BY started_at DESC, id DESC LIMIT :limit;

-- name: newest
-- One look-up in the index for each job and state, however many runs there are.
SELECT run.* FROM unnest(CAST(:jobs AS text[])) AS one_job (job)
CROSS JOIN unnest(CAST(:states AS text[])) AS one_state (state)
CROSS JOIN LATERAL (
    SELECT * FROM maintenance.runs AS mine WHERE mine.job = one_job.job AND mine.state = one_state.state
    ORDER BY mine.started_at DESC NULLS LAST, mine.id DESC LIMIT 1) AS run
ORDER BY run.started_at DESC NULLS LAST, run.id DESC;

-- name: approve
UPDATE maintenance.runs SET approved_sha256 = :sha256, approved_by = :by
WHERE id = :id AND plan_sha256 = :sha256 AND state NOT IN ('refused', 'rejected')
RETURNING id;

-- name: reject
UPDATE maintenance.runs SET state = 'rejected', finished_at = now(),
    message = 'rejected by ' || :by || ', ' || to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI') || ' UTC'
WHERE id = :id AND plan_sha256 = :sha256 AND state IN ('planned', 'waiting')
RETURNING id;

-- name: ask
UPDATE maintenance.runs SET asked_in = :task, asked_sha256 = plan_sha256
WHERE id = :id AND plan_sha256 = :sha256
RETURNING id;

-- name: asked
SELECT id, asked_sha256 FROM maintenance.runs WHERE asked_in = :task;

-- name: finished
SELECT number, not_done FROM maintenance.batches AS batch
JOIN maintenance.runs AS run ON run.id = batch.run_id AND run.plan_sha256 = batch.plan_sha256
WHERE run_id = :run_id;

-- name: finish_batch
INSERT INTO maintenance.batches (run_id, plan_sha256, number, done_count, done_bytes, skipped_count, skipped_bytes,
    failed_count, failed_bytes, not_done, details, first_line)
SELECT id, plan_sha256, :number, :done_count, :done_bytes, :skipped_count, :skipped_bytes,
    :failed_count, :failed_bytes, CAST(:not_done AS bigint[]), CAST(:details AS jsonb), :first_line
FROM maintenance.runs WHERE id = :run_id
ON CONFLICT (run_id, plan_sha256, number) DO NOTHING;

-- name: totals
SELECT coalesce(sum(batch.done_count), 0)::bigint AS done_count, coalesce(sum(batch.done_bytes), 0)::bigint AS done_bytes,
    coalesce(sum(batch.skipped_count), 0)::bigint AS skipped_count,
    coalesce(sum(batch.skipped_bytes), 0)::bigint AS skipped_bytes,
    coalesce(sum(batch.failed_count), 0)::bigint AS failed_count, coalesce(sum(batch.failed_bytes), 0)::bigint AS failed_bytes
FROM maintenance.batches AS batch
JOIN maintenance.runs AS run ON run.id = batch.run_id AND run.plan_sha256 = batch.plan_sha256
WHERE run_id = :run_id;

-- name: details
SELECT item ->> 0 AS status, item ->> 1 AS reason, sum((item ->> 2)::bigint)::bigint AS count
FROM maintenance.batches AS batch
JOIN maintenance.runs AS run ON run.id = batch.run_id AND run.plan_sha256 = batch.plan_sha256
CROSS JOIN jsonb_array_elements(details) AS item
WHERE run_id = :run_id GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2;

-- name: try_lock
SELECT CASE WHEN :shared
    THEN pg_try_advisory_lock_shared(hashtextextended('storage-maintenance:' || :job, 0))
    ELSE pg_try_advisory_lock(hashtextextended('storage-maintenance:' || :job, 0)) END AS held;

-- name: unlock
SELECT CASE WHEN :shared
    THEN pg_advisory_unlock_shared(hashtextextended('storage-maintenance:' || :job, 0))
    ELSE pg_advisory_unlock(hashtextextended('storage-maintenance:' || :job, 0)) END AS held;

-- name: audit
INSERT INTO maintenance.audit (event, run_id, detail) VALUES (:event, :run_id, CAST(:detail AS jsonb));

-- name: lock_request
SELECT pg_advisory_xact_lock(hashtextextended('storage-request:' || :request, 0));

-- name: question
-- The last question of a request, or of one task of it: the answer that task got, or any rejection of what it asks.
SELECT ask.detail ->> 'what' AS what, answer.event = 'approve' AS approved,
    coalesce(answer.detail ->> 'by', '') AS by, answer.at
FROM maintenance.audit AS ask
LEFT JOIN LATERAL (
    SELECT event, detail, at FROM maintenance.audit
    WHERE run_id = ask.run_id AND detail ->> 'what' = ask.detail ->> 'what'
        AND (event = 'reject' OR event = 'approve' AND detail ->> 'task' = ask.detail ->> 'task')
    ORDER BY event = 'reject' DESC, id LIMIT 1) AS answer ON true
WHERE ask.run_id = :request AND ask.event = 'ask' AND (CAST(:task AS text) IS NULL OR ask.detail ->> 'task' = :task)
ORDER BY ask.id DESC LIMIT 1;

-- name: read
SELECT value, changed_at FROM maintenance.control WHERE name = :name;

-- name: write
INSERT INTO maintenance.control (name, value) VALUES (:name, :value)
ON CONFLICT (name) DO UPDATE SET value = excluded.value, changed_at = now();

-- name: erase
DELETE FROM maintenance.control WHERE name = :name;

-- name: capabilities
SELECT found FROM maintenance.capabilities WHERE endpoint = :endpoint;

-- name: save_capabilities
INSERT INTO maintenance.capabilities (endpoint, found) VALUES (:endpoint, CAST(:found AS jsonb))
ON CONFLICT (endpoint) DO UPDATE SET found = excluded.found, probed_at = now();
