-- Every role. A VALID UNTIL that is out of the range of other programs' dates is "never", or 1970.
SELECT oid::bigint    AS oid,
       rolname        AS name,
       rolsuper       AS superuser,
       rolinherit     AS inherit,
       rolcreaterole  AS createrole,
       rolcreatedb    AS createdb,
       rolreplication AS replication,
       rolbypassrls   AS bypassrls,
       rolconnlimit   AS connection_limit,
       CASE WHEN rolvaliduntil < '9999-01-01' THEN greatest(rolvaliduntil, 'epoch') END AS valid_until,
       has_database_privilege(oid, current_database(), 'CONNECT') AS connect
FROM pg_roles
