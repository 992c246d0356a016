-- Functions that $1, an array of roles with 0 for PUBLIC, may call and that matter to a wall: those that run with their
-- owner's rights (definer), and those that run text which they put together (dynamic). Trigger functions cannot be called.
SELECT n.nspname AS schema, p.proname AS name, oidvectortypes(p.proargtypes) AS arguments, p.prosecdef AS definer,
       p.proowner::bigint AS owner, a.grantor::bigint AS grantor, a.grantee::bigint AS grantee
FROM pg_proc AS p
JOIN pg_namespace AS n ON n.oid = p.pronamespace
JOIN pg_language AS l ON l.oid = p.prolang
CROSS JOIN aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) AS a
WHERE n.nspname NOT IN ('pg_catalog', 'information_schema')
  AND p.prorettype NOT IN ('trigger'::regtype, 'event_trigger'::regtype)
  AND (p.prosecdef OR l.lanname NOT IN ('c', 'internal', 'sql') AND p.prosrc ~* '\mexecute\M')
  AND a.privilege_type = 'EXECUTE'
  AND a.grantee::bigint = ANY ($1::bigint[]) AND a.grantee <> p.proowner
ORDER BY 1, 2, 3, a.grantee
