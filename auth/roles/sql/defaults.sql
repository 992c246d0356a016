-- Default privileges on tables and sequences. Schema "": in every schema.
SELECT d.defaclrole::bigint AS owner, coalesce(n.nspname, '') AS schema,
       CASE d.defaclobjtype WHEN 'r' THEN 'TABLES' ELSE 'SEQUENCES' END AS kind,
       a.grantee::bigint AS grantee, a.privilege_type AS privilege
FROM pg_default_acl AS d
LEFT JOIN pg_namespace AS n ON n.oid = d.defaclnamespace
CROSS JOIN aclexplode(d.defaclacl) AS a
WHERE d.defaclobjtype IN ('r', 'S')
