-- name: catalogues
-- A statement that lists what was made after initdb: every entry, in every catalogue of the database with oids,
-- from FirstNormalObjectId on. Catalogues that may not be read (user mappings) are covered by pg_depend.
SELECT string_agg(format('SELECT %s::oid AS classid, oid AS objid FROM %s WHERE oid >= 16384', c.oid, c.oid::regclass),
    ' UNION ') || ' UNION SELECT classid, objid FROM pg_depend WHERE objid >= 16384' AS statement
FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attname = 'oid'
WHERE c.relnamespace = 'pg_catalog'::regnamespace AND c.relkind = 'r' AND NOT c.relisshared
    AND has_column_privilege(c.oid, a.attnum, 'SELECT');
