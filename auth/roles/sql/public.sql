-- Which of what hardening takes away is there to be taken. $1: functions as "schema.name(types)", those that this version
-- does not have being left out; then the trusted languages, the view of everybody's queries, the database and public.
SELECT 'FUNCTION' AS kind, f.name AS object, a.privilege_type AS privilege, a.grantee::bigint AS grantee
FROM unnest($1::text[]) AS f (name)
JOIN pg_proc AS p ON p.oid = to_regprocedure(f.name)
CROSS JOIN aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) AS a
UNION ALL
SELECT 'LANGUAGE', l.lanname, a.privilege_type, a.grantee::bigint
FROM pg_language AS l
CROSS JOIN aclexplode(coalesce(l.lanacl, acldefault('l', l.lanowner))) AS a
WHERE l.lanpltrusted
UNION ALL
SELECT 'TABLE', 'pg_catalog.' || c.relname, a.privilege_type, a.grantee::bigint
FROM pg_class AS c
CROSS JOIN aclexplode(c.relacl) AS a
WHERE c.oid = 'pg_catalog.pg_stat_activity'::regclass
UNION ALL
SELECT 'DATABASE', d.datname, a.privilege_type, a.grantee::bigint
FROM pg_database AS d
CROSS JOIN aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) AS a
WHERE d.datname = current_database()
UNION ALL
SELECT 'SCHEMA', n.nspname, a.privilege_type, a.grantee::bigint
FROM pg_namespace AS n
CROSS JOIN aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner))) AS a
WHERE n.nspname = 'public'
