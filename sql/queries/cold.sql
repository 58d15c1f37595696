-- name: get_records
SELECT key, etag, size, object_class, owner, coding AS compression, skipped, tier, tier_state, asked_at
FROM maintenance.cold_objects WHERE bucket = :bucket AND key = ANY(CAST(:keys AS text[]));

-- name: save_records
INSERT INTO maintenance.cold_objects
    (bucket, key, etag, size, object_class, owner, coding, skipped, tier, tier_state, asked_at)
SELECT :bucket, key, etag, size, object_class, owner, compression, skipped, tier, tier_state, asked_at
FROM jsonb_to_recordset(CAST(:records AS jsonb)) AS record (
    key text, etag text, size bigint, object_class text, owner text, compression text, skipped text, tier text,
    tier_state text, asked_at timestamptz)
ORDER BY key
ON CONFLICT (bucket, key) DO UPDATE SET
    etag = excluded.etag, size = excluded.size, object_class = excluded.object_class, owner = excluded.owner,
    coding = excluded.coding, skipped = excluded.skipped, tier = excluded.tier, tier_state = excluded.tier_state,
    asked_at = excluded.asked_at, changed_at = now();

-- name: moving
SELECT key, etag, size, object_class, owner, coding AS compression, skipped, tier, tier_state, asked_at
FROM maintenance.cold_objects
WHERE bucket = :bucket AND tier_state IN ('asked', 'stuck') AND key > CAST(:last_key AS text) COLLATE "C"
ORDER BY key COLLATE "C" LIMIT :page;

-- name: tiers
SELECT tier, tier_state, count(*) AS count, sum(size)::bigint AS bytes FROM maintenance.cold_objects
WHERE bucket = :bucket AND tier_state <> '' GROUP BY tier, tier_state;

-- name: accessed
SELECT key, at FROM maintenance.accesses WHERE bucket = :bucket AND key = ANY(CAST(:keys AS text[]));

-- name: touch
INSERT INTO maintenance.accesses (bucket, key, at)
SELECT :bucket, key, :at FROM unnest(CAST(:keys AS text[])) AS one (key) ORDER BY key
ON CONFLICT (bucket, key) DO UPDATE SET at = greatest(accesses.at, excluded.at);

-- name: pins
SELECT owner, reason FROM maintenance.cold_pins WHERE owner = ANY(CAST(:owners AS text[]));

-- name: pin
INSERT INTO maintenance.cold_pins (owner, reason, by) VALUES (:owner, :reason, :by)
ON CONFLICT (owner) DO UPDATE SET reason = excluded.reason, by = excluded.by, at = now();

-- name: unpin
DELETE FROM maintenance.cold_pins WHERE owner = :owner;

-- name: alone_in_the_ledger
-- A separate statement, run first: the insert that follows must see what other transactions entered meanwhile.
SELECT pg_advisory_xact_lock(hashtextextended('storage-maintenance:ledger:' || :bucket, 0));

-- name: enter
-- Skips an entry equal to the key's last one, so that a run repeated after a kill enters each saving once.
INSERT INTO maintenance.savings
    (run_id, bucket, key, object_class, owner, api_key, kind, etag, before_bytes, after_bytes, left_behind_bytes,
     tier, codec)
SELECT saving.run_id, :bucket, saving.key, saving.object_class, saving.owner,
    (SELECT to_jsonb(job) ->> 'api_key' FROM maintenance.jobs AS job WHERE job.id = saving.owner),
    saving.kind, saving.etag, saving.before, saving.after, saving.left_behind, saving.tier, saving.codec
FROM jsonb_to_recordset(CAST(:savings AS jsonb)) AS saving (
    run_id text, key text, object_class text, owner text, kind text, etag text, before bigint, after bigint,
    left_behind bigint, tier text, codec text)
LEFT JOIN LATERAL (
    SELECT kind, etag, tier FROM maintenance.savings AS earlier
    WHERE earlier.bucket = :bucket AND earlier.key = saving.key
        AND (earlier.kind IN ('compress', 'decompress')) = (saving.kind IN ('compress', 'decompress'))
    ORDER BY id DESC LIMIT 1) AS last ON true
WHERE (last.kind, last.etag, last.tier) IS DISTINCT FROM (saving.kind, saving.etag, saving.tier);

-- name: saved
SELECT CASE :by WHEN 'day' THEN to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD') WHEN 'class' THEN object_class
        WHEN 'job' THEN coalesce(owner, '') ELSE coalesce(api_key, '') END AS one,
    count(*) FILTER (WHERE kind = 'compress') - count(*) FILTER (WHERE kind = 'decompress') AS objects,
    sum(before_bytes)::bigint AS before, sum(after_bytes)::bigint AS after,
    sum(left_behind_bytes)::bigint AS left_behind
FROM maintenance.savings
WHERE bucket = :bucket AND kind IN ('compress', 'decompress') AND at >= coalesce(:since, '-infinity'::timestamptz)
GROUP BY 1;

-- name: not_worth_it
SELECT CASE :by WHEN 'day' THEN to_char(changed_at AT TIME ZONE 'UTC', 'YYYY-MM-DD') WHEN 'class' THEN object_class
        WHEN 'job' THEN coalesce(owner, '') ELSE coalesce(
            (SELECT to_jsonb(job) ->> 'api_key' FROM maintenance.jobs AS job WHERE job.id = owner), '') END AS one,
    skipped, count(*) AS count, sum(size)::bigint AS bytes
FROM maintenance.cold_objects
WHERE bucket = :bucket AND coding = 'skipped' AND changed_at >= coalesce(:since, '-infinity'::timestamptz)
GROUP BY 1, 2;
