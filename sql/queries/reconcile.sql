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
-- In one order, so that two at once wait for each other; who says the same again changes nothing.
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
-- By folder, as listings come: '/' counts, so job a-b stands before job a.
SELECT id, updated_at, id || '/' AS folder FROM maintenance.jobs
WHERE updated_at > :since AND (id || '/') COLLATE "C" > CAST(:last_folder AS text) COLLATE "C"
ORDER BY (id || '/') COLLATE "C" LIMIT :page;

-- name: tables
-- What the view of the jobs selects from.
SELECT DISTINCT base.oid::bigint AS oid, format('%I.%I', n.nspname, base.relname) AS name, base.relkind IN ('r', 'p') AS fit
FROM pg_rewrite AS r
JOIN pg_depend AS d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid AND d.refclassid = 'pg_class'::regclass
JOIN pg_class AS base ON base.oid = d.refobjid AND base.oid <> r.ev_class
JOIN pg_namespace AS n ON n.oid = base.relnamespace
WHERE r.ev_class = to_regclass('maintenance.jobs') ORDER BY 2;

-- name: columns
-- The columns a row is made of; ``rank`` is that of a key the view shows: 1 primary, 2 unique.
-- Modifier -1: a value too long for the column is an error then, not cut.
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
