-- What the roles $1 own in this database, and of what belongs to the whole server. Default privileges and user mappings are
-- no more than notes about a role.
SELECT s.refobjid::bigint AS owner, o.type AS type, o.identity AS identity
FROM pg_shdepend AS s
CROSS JOIN pg_identify_object(s.classid, s.objid, s.objsubid) AS o
WHERE s.refclassid = 'pg_authid'::regclass AND s.deptype = 'o' AND s.refobjid::bigint = ANY ($1::bigint[])
  AND (s.dbid = 0 OR s.dbid = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database()))
  AND s.classid NOT IN ('pg_default_acl'::regclass, 'pg_user_mapping'::regclass)
  AND o.identity IS NOT NULL AND coalesce(o.schema, '') !~ '^pg_(temp|toast)'
ORDER BY 1, 2, 3
