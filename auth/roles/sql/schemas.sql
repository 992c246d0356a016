-- Who may do what with the schemas that are not the system's, their owners included.
SELECT n.nspname AS schema, a.grantee::bigint AS grantee, a.privilege_type AS privilege
FROM pg_namespace AS n
CROSS JOIN aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner))) AS a
WHERE n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
ORDER BY 1
