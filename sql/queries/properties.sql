-- name: statements
-- Statements that copy owner, grants, connection limit, labels and settings from one database to another.
-- A setting that is a list of names (GUC_LIST_QUOTE) is set in this connection first and copied FROM CURRENT: its
-- text as a literal would be one name.
WITH live AS (SELECT * FROM pg_database WHERE datname = :live),
grants AS (
    SELECT CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END AS role,
        privilege_type AS right, CASE WHEN is_grantable THEN ' WITH GRANT OPTION' ELSE '' END AS further
    FROM live, aclexplode(datacl)
), settings AS (
    SELECT setrole, split_part(one, '=', 1) AS name, substr(one, strpos(one, '=') + 1) AS value
    FROM pg_db_role_setting JOIN live ON setdatabase = live.oid, unnest(setconfig) AS one
), whose AS (
    SELECT *, name IN ('search_path', 'temp_tablespaces', 'session_preload_libraries', 'local_preload_libraries')
        AS list, CASE setrole
        WHEN 0 THEN format('ALTER DATABASE %I', CAST(:new AS text))
        ELSE format('ALTER ROLE %I IN DATABASE %I', pg_get_userbyid(setrole), CAST(:new AS text)) END AS alter
    FROM settings
)
SELECT 1 AS turn, format('ALTER DATABASE %I OWNER TO %I', CAST(:new AS text), pg_get_userbyid(live.datdba)) AS statement
FROM live JOIN pg_database AS new ON new.datname = :new AND new.datdba <> live.datdba
UNION ALL
SELECT 2, format('ALTER DATABASE %I CONNECTION LIMIT %s', CAST(:new AS text), datconnlimit) FROM live WHERE datconnlimit <> -1
UNION ALL
SELECT 3, format('REVOKE ALL ON DATABASE %I FROM PUBLIC', CAST(:new AS text)) FROM live WHERE datacl IS NOT NULL
UNION ALL
SELECT 4, format('GRANT %s ON DATABASE %I TO %s%s', "right", CAST(:new AS text), role, further) FROM grants
UNION ALL
SELECT 5, format('SECURITY LABEL FOR %I ON DATABASE %I IS %L', provider, CAST(:new AS text), label)
FROM pg_shseclabel JOIN live ON objoid = live.oid WHERE classoid = 'pg_database'::regclass
UNION ALL
SELECT 6, CASE WHEN list THEN format('SELECT set_config(%L, %L, true); %s SET %I FROM CURRENT', name, value, alter, name)
    ELSE format('%s SET %s TO %L', alter, name, value) END FROM whose
ORDER BY turn;

-- name: settings
-- Settings of a database, and of roles in it, as the server applies them when a session begins; and the statement
-- that removes each.
SELECT coalesce(r.rolname, '') AS role, split_part(one, '=', 1) AS name, substr(one, strpos(one, '=') + 1) AS value,
    CASE WHEN r.rolname IS NULL THEN format('ALTER DATABASE %I', datname)
        ELSE format('ALTER ROLE %I IN DATABASE %I', r.rolname, datname) END
        || format(' RESET %s', split_part(one, '=', 1)) AS remedy
FROM pg_db_role_setting JOIN pg_database AS d ON d.oid = setdatabase LEFT JOIN pg_roles AS r ON r.oid = setrole,
    unnest(setconfig) AS one
WHERE datname = :name ORDER BY 1, 2;

-- name: tablespace
SELECT spcname AS name FROM pg_database JOIN pg_tablespace AS t ON t.oid = dattablespace WHERE datname = :name;

-- name: unlike
-- Columns in which two databases differ, but for those that always do, that the dump decides (the locale), and the
-- grants, whose order and grantor may differ.
SELECT theirs.key AS name FROM pg_database AS live, pg_database AS new,
    jsonb_each_text(to_jsonb(live)) AS theirs, jsonb_each_text(to_jsonb(new)) AS ours
WHERE live.datname = :live AND new.datname = :new AND ours.key = theirs.key AND ours.value IS DISTINCT FROM theirs.value
    AND theirs.key NOT IN ('oid', 'datname', 'datfrozenxid', 'datminmxid', 'datlastsysoid', 'datacl', 'dathasloginevt',
        'encoding', 'datlocprovider', 'datcollate', 'datctype', 'datlocale', 'daticulocale', 'daticurules', 'datcollversion')
ORDER BY 1;
