-- name: now
SELECT now() AS now;

-- name: identity
SELECT (SELECT system_identifier FROM pg_control_system())::text || '/' || oid::text AS identity
FROM pg_database WHERE datname = current_database();

-- name: get
SELECT wanted.id AS wanted, job.id, job.status,
    CASE WHEN job.updated_at BETWEEN '0001-01-02' AND '9999-12-30' THEN job.updated_at END AS updated_at,
    CASE WHEN job.completed_at BETWEEN '0001-01-02' AND '9999-12-30' THEN job.completed_at END AS completed_at
FROM maintenance.jobs AS job JOIN unnest(CAST(:ids AS text[])) AS wanted (id) ON job.id = wanted.id;

-- name: get_folded
-- For ids of type citext: folded by the server, as it compares them.
SELECT wanted.id AS wanted, job.id, job.status,
    CASE WHEN job.updated_at BETWEEN '0001-01-02' AND '9999-12-30' THEN job.updated_at END AS updated_at,
    CASE WHEN job.completed_at BETWEEN '0001-01-02' AND '9999-12-30' THEN job.completed_at END AS completed_at
FROM maintenance.jobs AS job JOIN unnest(CAST(:ids AS text[])) AS wanted (id) ON lower(job.id) = lower(wanted.id);

-- name: failed_before
SELECT id, status, updated_at,
    CASE WHEN completed_at BETWEEN '0001-01-02' AND '9999-12-30' THEN completed_at END AS completed_at
FROM maintenance.jobs
WHERE status = 'failed' AND updated_at <= :instant
  AND (updated_at, id) > (CAST(:last_updated_at AS timestamptz), CAST(:last_id AS text))
ORDER BY updated_at, id LIMIT :page;

-- name: unended_before
SELECT id, status, updated_at,
    CASE WHEN completed_at BETWEEN '0001-01-02' AND '9999-12-30' THEN completed_at END AS completed_at
FROM maintenance.jobs
WHERE status IN ('queued', 'processing', 'transcoding', 'uploading') AND updated_at <= :instant
  AND (updated_at, id) > (CAST(:last_updated_at AS timestamptz), CAST(:last_id AS text))
ORDER BY updated_at, id LIMIT :page;

-- name: ended_since
SELECT id, status, updated_at,
    CASE WHEN completed_at BETWEEN '0001-01-02' AND '9999-12-30' THEN completed_at END AS completed_at
FROM maintenance.jobs
WHERE status IN ('completed', 'failed') AND updated_at >= :instant AND updated_at <= '9999-12-30'
  AND (updated_at, id) > (CAST(:last_updated_at AS timestamptz), CAST(:last_id AS text))
ORDER BY updated_at, id LIMIT :page;

-- name: counts
SELECT status, count(*) AS count FROM maintenance.jobs GROUP BY status;

-- name: fail
-- Compare-and-set in one statement: a job that finishes concurrently is either left alone or failed before it
-- finished.
UPDATE maintenance.jobs AS job
SET status = 'failed', error_message = :message, updated_at = now()
FROM unnest(CAST(:ids AS text[]), CAST(:statuses AS text[]), CAST(:seen_at AS timestamptz[]))
    AS seen (id, status, updated_at)
WHERE job.id = seen.id AND job.status::text = seen.status AND job.updated_at = seen.updated_at
RETURNING job.id, job.status;

-- name: as_seen
SELECT job.id
FROM maintenance.jobs AS job
JOIN unnest(CAST(:ids AS text[]), CAST(:statuses AS text[]), CAST(:seen_at AS timestamptz[]))
    AS seen (id, status, updated_at)
    ON job.id = seen.id AND job.status::text = seen.status AND job.updated_at = seen.updated_at;

-- name: referenced
-- One pass over the rows for up to a thousand keys.
SELECT wanted.key, min(job.id) AS id
FROM maintenance.jobs AS job,
    LATERAL (VALUES (output_360p_path), (output_720p_path), (output_audio_path), (transcription_txt_path),
        (transcription_srt_path), (transcription_vtt_path), (transcription_json_path)) AS output (key)
    JOIN unnest(CAST(:keys AS text[])) AS wanted (key) ON wanted.key = output.key
WHERE job.status <> 'cleaned_up'
GROUP BY wanted.key;
