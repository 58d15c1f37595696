-- name: etags
SELECT DISTINCT ON (key) key, etag FROM maintenance.quarantine_notes
WHERE bucket = :bucket AND key = ANY(CAST(:keys AS text[])) ORDER BY key, noted_at DESC;

-- name: note
INSERT INTO maintenance.quarantine_notes (bucket, key, etag, size, last_modified, run_id)
SELECT :bucket, one.key, one.etag, one.size, one.last_modified, one.run_id
FROM jsonb_to_recordset(CAST(:notes AS jsonb))
    AS one (key text, etag text, size bigint, last_modified timestamptz, run_id text)
ON CONFLICT DO NOTHING;

-- name: all
SELECT key, etag, size, last_modified, run_id FROM maintenance.quarantine_notes
WHERE bucket = :bucket ORDER BY key, noted_at;
