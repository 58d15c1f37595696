-- name: add
INSERT INTO maintenance.lifecycle_versions
    (bucket, number, state, document, sha256, plan_sha256, requested, left_out, by, note)
SELECT :bucket, coalesce(max(number), 0) + 1, :state, :document, :sha256, :plan_sha256,
    CAST(:requested AS text[]), CAST(:left_out AS jsonb), :by, :note
FROM maintenance.lifecycle_versions WHERE bucket = :bucket
RETURNING number;

-- name: end
UPDATE maintenance.lifecycle_versions
SET state = :state, document = :document, sha256 = :sha256, left_out = CAST(:left_out AS jsonb), note = :note
WHERE bucket = :bucket AND number = :number;

-- name: get
SELECT * FROM maintenance.lifecycle_versions WHERE bucket = :bucket AND number = :number;

-- name: all
SELECT * FROM maintenance.lifecycle_versions WHERE bucket = :bucket ORDER BY number DESC LIMIT :limit;

-- name: latest
SELECT * FROM maintenance.lifecycle_versions
WHERE bucket = :bucket AND state IN ('begun', 'applied') ORDER BY number DESC LIMIT 1;
