-- name: calm
SELECT set_config(name, wanted, false) FROM pg_settings JOIN (VALUES
    ('statement_timeout', '0'), ('idle_in_transaction_session_timeout', '0'), ('transaction_timeout', '0'),
    ('lock_timeout', '600000'), ('search_path', ''), ('row_security', 'off'), ('DateStyle', 'ISO, YMD'),
    ('IntervalStyle', 'postgres'), ('extra_float_digits', '1'), ('bytea_output', 'hex'),
    ('xmloption', 'content'), ('lc_monetary', 'C'), ('TimeZone', 'UTC')) AS calm (of, wanted) ON of = name;

-- name: database
SELECT d.datname AS name, v / 10000 || '.' || v % 10000 AS version,
    (SELECT system_identifier::text FROM pg_control_system()) AS system_identifier,
    CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END::text AS lsn,
    now() AS taken_at, pg_database_size(d.oid) AS bytes, pg_encoding_to_char(d.encoding) AS encoding, d.datcollate AS "collate", d.datctype AS ctype,
    ARRAY(SELECT extname::text FROM pg_extension WHERE extname <> 'plpgsql' ORDER BY 1) AS extensions
FROM pg_database AS d, CAST(current_setting('server_version_num') AS integer) AS v WHERE d.datname = current_database();

-- name: tables
SELECT format('%I.%I', n.nspname, c.relname) AS name
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND c.relpersistence <> 't'
    AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
    AND NOT EXISTS (SELECT FROM pg_depend AS d
        WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
ORDER BY 1;

-- name: lockable
-- Every table that TRUNCATE or ALTER may rewrite and whose rows pg_dump dumps: of an extension's tables only
-- its configuration. With :unlocked only those that this session has not locked.
SELECT format('%I.%I', n.nspname, c.relname) AS name
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't'
    AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
    AND (c.oid IN (SELECT unnest(extconfig) FROM pg_extension)
        OR NOT EXISTS (SELECT FROM pg_depend AS d
            WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'))
    AND (NOT :unlocked OR c.oid NOT IN (SELECT relation FROM pg_locks
        WHERE pid = pg_backend_pid() AND locktype = 'relation' AND mode = 'AccessShareLock' AND granted))
ORDER BY c.oid;

-- name: sequences
SELECT format('%I.%I', n.nspname, c.relname) AS name, s.seqincrement AS step
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace JOIN pg_sequence AS s ON s.seqrelid = c.oid
WHERE c.relpersistence <> 't' AND NOT s.seqcycle
    AND NOT EXISTS (SELECT FROM pg_depend AS d
        WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
ORDER BY 1;

-- name: large_objects
SELECT count(*) AS rows, coalesce(sum(hashtextextended(oid::text || ' ' || md5(lo_get(oid)), 0)), 0) AS hash
FROM pg_catalog.pg_largeobject_metadata;
