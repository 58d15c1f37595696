-- name: server
SELECT current_setting('server_version_num')::integer / 10000 AS major, rolsuper OR rolcreatedb AS creates
FROM pg_roles WHERE rolname = current_user;

-- name: now
SELECT now() AS now;

-- name: lock
SELECT pg_try_advisory_lock(hashtextextended('storage-maintenance:database:' || :name, 0)) AS held;

-- name: database
SELECT datname AS name, datistemplate AS template, pg_has_role(datdba, 'USAGE') AS ours,
    coalesce(shobj_description(oid, 'pg_database'), '') AS mark
FROM pg_database WHERE datname = :name;

-- name: marked
SELECT datname AS name, shobj_description(oid, 'pg_database') AS mark
FROM pg_database WHERE starts_with(shobj_description(oid, 'pg_database'), :mark) ORDER BY datname;

-- name: sessions
-- System processes have no user and are left out: the server itself ends those that block a rename.
SELECT coalesce(nullif(application_name, ''), 'a program without a name') AS program, one.rolname AS role,
    me.rolsuper OR pg_has_role(usesysid, 'USAGE') OR NOT one.rolsuper AND pg_has_role('pg_signal_backend', 'USAGE')
        AS endable
FROM pg_stat_activity JOIN pg_roles AS one ON one.oid = usesysid JOIN pg_roles AS me ON me.rolname = current_user
WHERE datname = :name ORDER BY 1, 2;

-- name: end_sessions
SELECT count(pg_terminate_backend(pid)) AS ended FROM pg_stat_activity
WHERE datname = ANY(CAST(:names AS text[])) AND usesysid IS NOT NULL;

-- name: strange_roles
-- Roles that own objects in the database and of which the current user is no member. Only ownership matters:
-- privileges can be granted to any role.
SELECT rolname AS role FROM pg_roles WHERE NOT pg_has_role(oid, 'USAGE') AND oid IN (
    SELECT refobjid FROM pg_shdepend JOIN pg_database AS d ON d.datname = :name
    WHERE refclassid = 'pg_authid'::regclass AND deptype = 'o' AND (dbid = d.oid OR dbid = 0 AND objid = d.oid))
ORDER BY 1;

-- name: bound
-- What belongs to a database by its oid and is in no dump: after a swap it would still belong to the replaced
-- one. And the statement that removes it.
SELECT format('the subscription %I', subname) AS name, format('DROP SUBSCRIPTION %I', subname) AS remedy
FROM pg_subscription JOIN pg_database AS d ON d.oid = subdbid WHERE datname = :name
UNION ALL
SELECT format('the replication slot %I', slot_name), format('SELECT pg_drop_replication_slot(%L)', slot_name)
FROM pg_replication_slots WHERE database = :name AND NOT temporary
UNION ALL
SELECT format('the prepared transaction %L', gid), format('COMMIT PREPARED %L or ROLLBACK PREPARED %1$L', gid)
FROM pg_prepared_xacts WHERE database = :name
ORDER BY name;

-- name: columns
-- Writable columns of a table; no rows if the table does not exist.
SELECT attname AS name FROM pg_attribute
WHERE attrelid = to_regclass(:name) AND attnum > 0 AND NOT attisdropped AND attgenerated = '' ORDER BY attnum;

-- name: void_tombstones
UPDATE maintenance.tombstones SET state = 'undone', note = 'restored', changed_at = now()
WHERE state IN ('condemned', 'reaping');

-- name: void_claims
UPDATE maintenance.claims SET closed_at = now() WHERE closed_at IS NULL;

-- name: pause
-- Keeps an existing pause: it has the same effect, and belongs to whoever set it.
INSERT INTO maintenance.control (name, value) VALUES ('paused', :reason) ON CONFLICT (name) DO NOTHING;

-- name: written_since
SELECT EXISTS (SELECT FROM maintenance.jobs WHERE updated_at > :instant) AS written;

-- name: primary_key
SELECT attname AS name FROM pg_index JOIN pg_attribute AS a ON a.attrelid = indrelid AND a.attnum = ANY(indkey)
WHERE indrelid = to_regclass(:name) AND indisprimary ORDER BY array_position(indkey::int2[], attnum);

-- name: tables_with
-- Tables with at least one of the given columns, and which of these they have.
SELECT format('%I.%I', n.nspname, c.relname) AS name, array_agg(a.attname::text) AS columns
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace JOIN pg_attribute AS a ON a.attrelid = c.oid
WHERE c.relkind = 'r' AND c.relpersistence <> 't' AND a.attnum > 0 AND NOT a.attisdropped
    AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast', 'maintenance')
    AND a.attname = ANY(CAST(:columns AS text[]))
GROUP BY 1 ORDER BY 1;

-- name: named
-- Schema-qualified, quoted name of a table; no rows if it does not exist.
SELECT format('%I.%I', n.nspname, c.relname) AS name
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace WHERE c.oid = to_regclass(:name);

-- name: parents
SELECT format('%I.%I', cn.nspname, c.relname) AS child, format('%I.%I', pn.nspname, p.relname) AS parent
FROM pg_constraint AS k
JOIN pg_class AS c ON c.oid = k.conrelid JOIN pg_namespace AS cn ON cn.oid = c.relnamespace
JOIN pg_class AS p ON p.oid = k.confrelid JOIN pg_namespace AS pn ON pn.oid = p.relnamespace
WHERE k.contype = 'f' AND k.conrelid <> k.confrelid;
