-- What $1, an array of roles with 0 for PUBLIC, have been granted on objects of this database that are not theirs.
-- pg_settings may be updated by everybody: that is another way to say SET.
WITH granted AS (
    SELECT CASE c.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END AS kind,
           n.nspname AS schema, c.relname AS name, NULL::name AS "column", c.relowner AS owner, a.*
    FROM pg_class AS c
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
    CROSS JOIN aclexplode(c.relacl) AS a
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND c.relpersistence <> 't'
      AND NOT (n.nspname = 'pg_catalog' AND c.relname = 'pg_settings')
    UNION ALL
    SELECT 'TABLE', n.nspname, c.relname, t.attname, c.relowner, a.*
    FROM pg_attribute AS t
    JOIN pg_class AS c ON c.oid = t.attrelid
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
    CROSS JOIN aclexplode(t.attacl) AS a
    WHERE t.attacl IS NOT NULL AND NOT t.attisdropped AND c.relpersistence <> 't'
    UNION ALL
    SELECT 'SCHEMA', NULL, n.nspname, NULL, n.nspowner, a.*
    FROM pg_namespace AS n
    CROSS JOIN aclexplode(n.nspacl) AS a
    UNION ALL
    SELECT 'DATABASE', NULL, d.datname, NULL, d.datdba, a.*
    FROM pg_database AS d
    CROSS JOIN aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) AS a
    WHERE d.datname = current_database()
    UNION ALL
    SELECT 'LARGE OBJECT', NULL, l.oid::text::name, NULL, l.lomowner, a.*
    FROM pg_largeobject_metadata AS l
    CROSS JOIN aclexplode(l.lomacl) AS a
)
SELECT kind, coalesce(schema, '') AS schema, name, coalesce("column", '') AS "column",
       owner::bigint AS owner, grantor::bigint AS grantor, grantee::bigint AS grantee, privilege_type AS privilege
FROM granted
WHERE grantee::bigint = ANY ($1::bigint[]) AND grantee <> owner
ORDER BY kind DESC, schema, name, "column", grantee, privilege_type
