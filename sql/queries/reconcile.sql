-- name: of
SELECT DISTINCT ON (owner) owner, verdict, epoch FROM maintenance.verdicts
WHERE owner = ANY(CAST(:owners AS text[]))
  AND (CAST(:epoch AS timestamptz) IS NULL OR epoch = CAST(:epoch AS timestamptz))
ORDER BY owner, epoch DESC;

-- name: condemned
SELECT owner, verdict, epoch FROM maintenance.verdicts AS one
WHERE verdict = 'condemn' AND closed_at IS NOT NULL AND owner > :last_owner
  AND NOT EXISTS (SELECT FROM maintenance.verdicts AS later WHERE later.owner = one.owner AND later.epoch > one.epoch)
ORDER BY owner LIMIT :page;

-- name: record
-- Inserted in key order, so that concurrent transactions wait instead of deadlocking; repeating the same verdict
-- changes nothing.
INSERT INTO maintenance.verdicts (owner, epoch, verdict, by)
SELECT DISTINCT wanted.owner, CAST(:epoch AS timestamptz), CAST(:verdict AS text), CAST(:by AS text)
FROM unnest(CAST(:owners AS text[])) AS wanted (owner) ORDER BY wanted.owner
ON CONFLICT (owner, epoch) DO UPDATE SET verdict = excluded.verdict, by = excluded.by, at = now()
    WHERE verdicts.verdict <> excluded.verdict;

-- name: close
UPDATE maintenance.verdicts SET closed_at = :now WHERE epoch = :epoch AND closed_at IS NULL;

-- name: database
SELECT datname FROM pg_database WHERE datname = :name;

-- name: changed_since
-- In the order of S3 listings, by folder: '/' takes part in the comparison, so job a-b sorts before job a.
SELECT id, updated_at, id || '/' AS folder FROM maintenance.jobs
WHERE updated_at > :since AND (id || '/') COLLATE "C" > CAST(:last_folder AS text) COLLATE "C"
ORDER BY (id || '/') COLLATE "C" LIMIT :page;

-- name: tables
-- Base tables of the view maintenance.jobs.
SELECT DISTINCT base.oid::bigint AS oid, format('%I.%I', n.nspname, base.relname) AS name, base.relkind IN ('r', 'p') AS fit
FROM pg_rewrite AS r
JOIN pg_depend AS d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid AND d.refclassid = 'pg_class'::regclass
JOIN pg_class AS base ON base.oid = d.refobjid AND base.oid <> r.ev_class
JOIN pg_namespace AS n ON n.oid = base.relnamespace
WHERE r.ev_class = to_regclass('maintenance.jobs') ORDER BY 2;

-- name: columns
-- Columns of a table but generated ones; ``rank`` ranks a key column that the view exposes: 1 primary, 2 unique.
-- Type modifier -1: a value too long for the column then raises an error instead of being truncated.
SELECT quote_ident(a.attname) AS name, format_type(a.atttypid, -1) AS type, a.attidentity = 'a' AS fixed,
    (SELECT min(CASE WHEN i.indisprimary THEN 1 ELSE 2 END) FROM pg_index AS i
     WHERE i.indrelid = a.attrelid AND i.indisunique AND i.indimmediate AND i.indpred IS NULL AND i.indisvalid
       AND i.indnkeyatts = 1 AND i.indkey[0] = a.attnum
       AND EXISTS (SELECT FROM pg_rewrite AS r JOIN pg_depend AS d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
           WHERE r.ev_class = to_regclass('maintenance.jobs') AND d.refobjid = a.attrelid AND d.refobjsubid = a.attnum)
    ) AS rank
FROM pg_attribute AS a
WHERE a.attrelid = CAST(CAST(:oid AS bigint) AS oid) AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
ORDER BY a.attnum;

-- name: locked
SELECT id, updated_at FROM maintenance.jobs WHERE id = ANY(CAST(:ids AS text[])) ORDER BY id FOR UPDATE;
